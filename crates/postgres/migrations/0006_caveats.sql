-- The tables of tower-api-key's PostgresStore, version 6: the restrictions of a key, which only grow.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0006_caveats.sql
-- It is one transaction, and fails where it was applied before. It writes no row.
--
-- Services of version 5 do not read the column, so they pass over the restrictions of a key. They refuse the
-- new version of the tables as they open their next connection. Stop them before the first key with a
-- caveat is issued.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- Sorted, separated by single spaces; of the characters that RFC 6749, section 3.3, allows.
ALTER TABLE tower_api_keys ADD COLUMN caveats text COLLATE "C" NOT NULL DEFAULT '';

-- A trigger and no constraint: a constraint would be tried with every change of a row, and keep one
-- that does not meet it from being revoked.
CREATE FUNCTION tower_api_keys_caveats() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused text;
    is_readable boolean NOT NULL := length(NEW.caveats) <= 4096
        AND NEW.caveats ~ '^([]!#-[^-~]+( []!#-[^-~]+)*)?$'
        AND NOT EXISTS (
            SELECT FROM unnest(string_to_array(NEW.caveats, ' ')) AS caveat
            WHERE length(caveat) > 1024);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        refused := CASE
            WHEN NEW.caveats = OLD.caveats THEN NULL
            WHEN NOT is_readable
                OR NOT string_to_array(NEW.caveats, ' ') @> string_to_array(OLD.caveats, ' ')
                THEN 'it loses no caveat'
            WHEN NEW.version <= OLD.version
                THEN 'its version rises with every change but that of last_used_at'
        END;
        IF refused IS NOT NULL THEN
            RAISE EXCEPTION 'key % cannot be changed like this: %', OLD.id, refused
                USING ERRCODE = 'TAK01',
                    CONSTRAINT = 'tower_api_keys_guard',
                    HINT = 'Change keys through tower-api-key; more authority is a new key.';
        END IF;
    ELSIF NOT is_readable THEN
        RAISE EXCEPTION 'key % cannot come in like this: its caveats cannot be read', NEW.id
            USING ERRCODE = '23514',
                CONSTRAINT = 'tower_api_keys_entry',
                HINT = 'Issue keys through tower-api-key.';
    END IF;
    RETURN NEW;
END
$$;

-- An update that does not name the column, as a revocation is, does not call it.
CREATE TRIGGER tower_api_keys_caveats BEFORE INSERT OR UPDATE OF caveats ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_caveats();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_caveats;

INSERT INTO tower_api_key_migrations (version) VALUES (6);

COMMIT;
