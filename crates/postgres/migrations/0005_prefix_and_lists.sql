-- The tables of tower-api-key's PostgresStore, version 5: how a key begins, and indexes that
-- hold what a list asks.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0005_prefix_and_lists.sql
-- It is one transaction, and fails where it was applied before. It writes the table anew, for the new
-- column of hours, and locks it meanwhile: with a million keys, that is some ten seconds. No other column
-- changes.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- No prefix: imported, or issued before this version.
ALTER TABLE tower_api_keys ADD COLUMN prefix text COLLATE "C";

-- A trigger and no constraint: a constraint would be tried with every change of a row, and keep one
-- that does not meet it from being revoked.
CREATE FUNCTION tower_api_keys_prefix() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.prefix IS DISTINCT FROM OLD.prefix THEN
            RAISE EXCEPTION 'key % cannot be changed like this: its prefix is fixed', OLD.id
                USING ERRCODE = 'TAK01',
                    CONSTRAINT = 'tower_api_keys_guard',
                    HINT = 'Change keys through tower-api-key; more authority is a new key.';
        END IF;
    ELSIF NEW.prefix !~ '^[a-z]([a-z0-9_]{0,18}[a-z0-9])?$' THEN
        RAISE EXCEPTION 'key % cannot come in like this: its prefix cannot be read', NEW.id
            USING ERRCODE = '23514',
                CONSTRAINT = 'tower_api_keys_entry',
                HINT = 'Issue keys through tower-api-key.';
    END IF;
    RETURN NEW;
END
$$;

-- An update that does not name the column, as a revocation is, does not call it.
CREATE TRIGGER tower_api_keys_prefix BEFORE INSERT OR UPDATE OF prefix ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_prefix();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_prefix;

-- How keys end, in the order of revocation, retirement and expiry; purges read it too.
CREATE INDEX tower_api_keys_by_end ON tower_api_keys (realm, revoked_at, retire_at, expires_at);
DROP INDEX tower_api_keys_by_fate;

-- The hour of the last use, or of the issue, in the place of the day: keys of a whole day are too many to
-- be looked at for a page. Uses change the column once an hour, and leave the indexes alone in between.
ALTER TABLE tower_api_keys
    DROP COLUMN used_on,
    ADD COLUMN used_hour bigint GENERATED ALWAYS AS (coalesce(last_used_at, issued_at) / 3600) STORED;
CREATE INDEX tower_api_keys_by_use ON tower_api_keys (realm, used_hour)
    INCLUDE (expires_at, retire_at) WHERE revoked_at IS NULL;

INSERT INTO tower_api_key_migrations (version) VALUES (5);

COMMIT;
