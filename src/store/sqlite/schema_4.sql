-- Version 4 of the keys of tower-api-key: how a key begins.
--
-- Triggers and no constraint: as in version 2, nothing that a row holds keeps it from being revoked.

-- No prefix: imported, or issued before this version.
ALTER TABLE api_keys ADD COLUMN prefix TEXT;

CREATE TRIGGER api_keys_have_a_prefix BEFORE INSERT ON api_keys
WHEN NEW.prefix IS NOT NULL
    AND (length(CAST(NEW.prefix AS BLOB)) NOT BETWEEN 1 AND 20 OR instr(NEW.prefix, char(0))
        OR NEW.prefix GLOB '*[^a-z0-9_]*' OR NEW.prefix NOT GLOB '[a-z]*' OR NEW.prefix GLOB '*_')
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the prefix cannot be read');
END;

CREATE TRIGGER api_keys_keep_their_prefix BEFORE UPDATE OF prefix ON api_keys
WHEN NEW.prefix IS NOT OLD.prefix
BEGIN
    SELECT RAISE(ABORT, 'api_keys: prefix never changes');
END;
