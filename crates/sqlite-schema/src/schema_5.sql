-- Version 5 of the keys of tower-api-key: the restrictions of a key, which only grow.
--
-- Triggers and no constraint: as in version 2, nothing that a row holds keeps it from being revoked.

-- See version 4 for why checks are ignored meanwhile.
PRAGMA ignore_check_constraints = ON;
-- Sorted, separated by single spaces; of the characters that RFC 6749, section 3.3, allows.
ALTER TABLE api_keys ADD COLUMN caveats TEXT NOT NULL DEFAULT '';
PRAGMA ignore_check_constraints = OFF;

CREATE TRIGGER api_keys_have_caveats BEFORE INSERT ON api_keys
WHEN length(CAST(NEW.caveats AS BLOB)) > 4096 OR instr(NEW.caveats, char(0))
    OR NEW.caveats GLOB '*[^]!#-[^-~ ]*' OR NEW.caveats GLOB '*  *' OR NEW.caveats IS NOT trim(NEW.caveats)
    OR (NEW.caveats NOT GLOB '*[^]!#-[^-~ ]*' AND EXISTS (
        SELECT 1 FROM json_each('["' || replace(NEW.caveats, ' ', '","') || '"]')
        WHERE length(value) > 1024))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the caveats cannot be read');
END;

-- A caveat holds no quote and no backslash, so the texts are JSON as they are.
CREATE TRIGGER api_keys_lose_no_caveat BEFORE UPDATE OF caveats ON api_keys
WHEN NEW.caveats IS NOT OLD.caveats
    AND (length(CAST(NEW.caveats AS BLOB)) > 4096 OR instr(NEW.caveats, char(0))
        OR NEW.caveats GLOB '*[^]!#-[^-~ ]*' OR NEW.caveats GLOB '*  *'
        OR NEW.caveats IS NOT trim(NEW.caveats)
        OR (NEW.caveats NOT GLOB '*[^]!#-[^-~ ]*' AND EXISTS (
            SELECT 1 FROM json_each('["' || replace(NEW.caveats, ' ', '","') || '"]')
            WHERE length(value) > 1024))
        OR (OLD.caveats IS NOT '' AND EXISTS (
            SELECT value FROM json_each('["' || replace(OLD.caveats, ' ', '","') || '"]')
            EXCEPT
            SELECT value FROM json_each('["' || replace(NEW.caveats, ' ', '","') || '"]'))))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: a key loses no caveat');
END;

CREATE TRIGGER api_keys_count_their_caveats BEFORE UPDATE OF caveats ON api_keys
WHEN NEW.caveats IS NOT OLD.caveats AND NEW.version <= OLD.version
BEGIN
    SELECT RAISE(ABORT, 'api_keys: a change raises the version by one');
END;
