-- Version 2 of the keys of tower-api-key: what a key is issued with stays, a version rises by one,
-- no row comes in that cannot be read, and nothing that a row holds keeps it from being revoked.
--
-- There are triggers alone, no constraints, so that rows that are there already stay as they are and
-- can be revoked. A revocation writes revoked_at, revocation_reason and version, and of the triggers
-- only that of the version looks at it.

DROP TRIGGER api_keys_count_their_changes;

-- A version ends at 4611686018427387904, half-way: what comes after is for revocations, which are
-- allowed at the last number of the column, and below the first, too.
CREATE TRIGGER api_keys_count_their_changes BEFORE UPDATE ON api_keys
WHEN NOT (
    (NEW.version = OLD.version AND NEW.scopes IS OLD.scopes AND NEW.expires_at IS OLD.expires_at
        AND NEW.retire_at IS OLD.retire_at AND NEW.revoked_at IS OLD.revoked_at
        AND NEW.revocation_reason IS OLD.revocation_reason)
    OR (NEW.version - 1 = OLD.version AND NEW.version BETWEEN 1 AND 4611686018427387904)
    OR (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL AND NEW.scopes IS OLD.scopes
        AND NEW.expires_at IS OLD.expires_at AND NEW.retire_at IS OLD.retire_at
        AND (NEW.version - 1 = OLD.version
            OR (OLD.version = 9223372036854775807 AND NEW.version = OLD.version)
            OR (OLD.version < 1 AND NEW.version = 1))))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: a change raises the version by one');
END;

CREATE TRIGGER api_keys_keep_their_description BEFORE UPDATE ON api_keys
WHEN NEW.label IS NOT OLD.label OR NEW.metadata IS NOT OLD.metadata
BEGIN
    SELECT RAISE(ABORT, 'api_keys: label and metadata never change');
END;

CREATE TRIGGER api_keys_begin_low BEFORE INSERT ON api_keys
WHEN NEW.version > 4611686018427387904
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the version is too high');
END;

-- GLOB and length() stop at U+0000, so that the constraints of version 1 do not see what follows.
CREATE TRIGGER api_keys_are_readable BEFORE INSERT ON api_keys
WHEN length(CAST(NEW.id AS BLOB)) IS NOT 12 OR length(CAST(NEW.lineage AS BLOB)) IS NOT 12
    OR length(CAST(NEW.realm AS BLOB)) NOT BETWEEN 1 AND 64
    OR NEW.realm GLOB '*[^]!#-[^-~ ]*' OR instr(NEW.realm, char(0))
    OR instr(NEW.subject, char(0))
    OR NEW.subject GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
    OR instr(NEW.scopes, char(0))
    OR (NEW.scopes IS NOT '' AND NEW.scopes NOT GLOB '*[^]!#-[^-~ ]*'
        AND EXISTS (
            SELECT 1 FROM json_each('["' || replace(NEW.scopes, ' ', '","') || '"]')
            WHERE length(value) > 128))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: id, lineage, realm, subject or scopes cannot be read');
END;

-- Half a surrogate pair is JSON and no text. Without the escaped backslashes, every other begins an
-- escape.
CREATE TRIGGER api_keys_hold_texts BEFORE INSERT ON api_keys
WHEN instr(NEW.metadata, char(0))
    OR NOT json_valid(NEW.metadata)
    OR EXISTS (
        SELECT 1 FROM json_each(CASE WHEN json_valid(NEW.metadata) THEN NEW.metadata ELSE '{}' END)
        WHERE type IS NOT 'text')
    OR replace(NEW.metadata, '\\', '') GLOB '*\u[dD][89a-fA-F]*'
BEGIN
    SELECT RAISE(ABORT, 'api_keys: metadata is an object of texts');
END;
