-- Version 6 of the keys of tower-api-key: label and metadata, which are no authority, can change, by
-- themselves and with the version.
--
-- A statement that changes them changes nothing else that a key has, so that no change of authority
-- looks like that of a name. A revocation names neither column, and calls none of these triggers.

DROP TRIGGER api_keys_keep_their_description;

CREATE TRIGGER api_keys_are_described_alone BEFORE UPDATE OF label, metadata ON api_keys
WHEN (NEW.label IS NOT OLD.label OR NEW.metadata IS NOT OLD.metadata)
    AND (NEW.scopes IS NOT OLD.scopes OR NEW.caveats IS NOT OLD.caveats
        OR NEW.expires_at IS NOT OLD.expires_at OR NEW.retire_at IS NOT OLD.retire_at
        OR NEW.revoked_at IS NOT OLD.revoked_at
        OR NEW.revocation_reason IS NOT OLD.revocation_reason)
BEGIN
    SELECT RAISE(ABORT, 'api_keys: label and metadata change by themselves');
END;

CREATE TRIGGER api_keys_count_their_descriptions BEFORE UPDATE OF label, metadata ON api_keys
WHEN (NEW.label IS NOT OLD.label OR NEW.metadata IS NOT OLD.metadata)
    AND NEW.version - 1 IS NOT OLD.version
BEGIN
    SELECT RAISE(ABORT, 'api_keys: a change raises the version by one');
END;

-- As version 2 has it for new rows.
CREATE TRIGGER api_keys_are_described_in_texts BEFORE UPDATE OF metadata ON api_keys
WHEN NEW.metadata IS NOT OLD.metadata
    AND (instr(NEW.metadata, char(0))
        OR NOT json_valid(NEW.metadata)
        OR json_type(CASE WHEN json_valid(NEW.metadata) THEN NEW.metadata ELSE '[]' END)
            IS NOT 'object'
        OR EXISTS (
            SELECT 1
            FROM json_each(CASE WHEN json_valid(NEW.metadata) THEN NEW.metadata ELSE '{}' END)
            WHERE type IS NOT 'text')
        OR replace(NEW.metadata, '\\', '') GLOB '*\u[dD][89a-fA-F]*')
BEGIN
    SELECT RAISE(ABORT, 'api_keys: metadata is an object of texts');
END;

-- As version 3 has it for new rows.
CREATE TRIGGER api_keys_are_described_in_utf_8 BEFORE UPDATE OF label, metadata ON api_keys
WHEN (NEW.label IS NOT OLD.label OR NEW.metadata IS NOT OLD.metadata)
    AND (instr(NEW.label, char(0))
        OR (coalesce(NEW.label, '') || NEW.metadata GLOB '*[^' || char(1) || '-' || char(127) || ']*'
        AND EXISTS (
            SELECT 1
            FROM (SELECT ' ' || coalesce(NEW.label, '') || ' ' || NEW.metadata AS text) AS texts,
                json_each('[0' || replace(hex(zeroblob(length(texts.text))), '00', ',0') || ']')
                    AS place
            WHERE CAST(substr(texts.text, place.key, 1) AS BLOB)
                    IS NOT CAST(char(unicode(substr(texts.text, place.key, 1))) AS BLOB)
                AND place.key > 0
                AND CAST(substr(texts.text, place.key, 1) AS BLOB) NOT IN (x'EFBFBE', x'EFBFBF'))))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: label or metadata is not UTF-8, or has U+0000');
END;
