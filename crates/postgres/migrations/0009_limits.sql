-- The tables of tower-api-key's PostgresStore, version 9: what a limit on the keys of a subject counts, and
-- descriptions that can be read.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0009_limits.sql
-- It is one transaction, and fails where it was applied before. It writes no row.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- The keys of a subject that have not ended, counted without a look at the table.
CREATE INDEX tower_api_keys_by_holder ON tower_api_keys (realm, subject, expires_at)
    INCLUDE (retire_at, lineage) WHERE revoked_at IS NULL;

-- What Subject, Label and Metadata refuse beyond what the versions before do: what a terminal or a
-- spreadsheet obeys, what is too long, and an escaped U+0000. A trigger and no constraint: a constraint would
-- be tried with every change of a row, and keep one that does not meet it from being revoked.
CREATE FUNCTION tower_api_keys_texts() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    obeyed CONSTANT text NOT NULL := ('^=|[\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891'
        || '\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd'
        || '\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a'
        || '\U000e0001\U000e0020-\U000e007f]');
    refused text;
BEGIN
    IF TG_OP = 'INSERT' AND NEW.subject ~ obeyed THEN
        refused := 'its subject cannot be read';
    ELSIF (TG_OP = 'INSERT' OR NEW.label IS DISTINCT FROM OLD.label)
        AND (octet_length(NEW.label) > 256 OR NEW.label ~ obeyed
            OR NEW.label ~ '[\u0001-\u001f\u007f-\u009f]')
    THEN
        refused := 'its label cannot be read';
    ELSIF TG_OP = 'INSERT' OR NEW.metadata IS DISTINCT FROM OLD.metadata THEN
        -- Without the escaped backslashes, every other begins an escape. A surrogate, which the other guard
        -- refuses, is not decoded.
        IF replace(NEW.metadata, '\\', '') ~ '\\u0000' THEN
            refused := 'its metadata cannot be read';
        ELSIF replace(NEW.metadata, '\\', '') !~ '\\u[dD][89a-fA-F]'
            AND json_typeof(NEW.metadata::json) = 'object'
            AND (SELECT sum(octet_length(entry.key) + octet_length(entry.value)) > 8192
                FROM json_each_text(NEW.metadata::json) AS entry)
        THEN
            refused := 'its metadata cannot be read';
        END IF;
    END IF;
    IF refused IS NULL THEN
        RETURN NEW;
    ELSIF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'key % cannot come in like this: %', NEW.id, refused
            USING ERRCODE = '23514',
                CONSTRAINT = 'tower_api_keys_entry',
                HINT = 'Issue keys through tower-api-key.';
    ELSE
        RAISE EXCEPTION 'key % cannot be changed like this: %', OLD.id, refused
            USING ERRCODE = 'TAK01',
                CONSTRAINT = 'tower_api_keys_guard',
                HINT = 'Change keys through tower-api-key; more authority is a new key.';
    END IF;
END
$$;

-- An update that names neither column, as a revocation is, does not call it.
CREATE TRIGGER tower_api_keys_texts BEFORE INSERT OR UPDATE OF label, metadata ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_texts();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_texts;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (9, 7);

COMMIT;
