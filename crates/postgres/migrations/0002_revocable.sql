-- The tables of tower-api-key's PostgresStore, version 2: what a key is issued with stays, no row
-- comes in that cannot be read, and nothing that a row holds keeps it from being revoked.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0002_revocable.sql
-- It is one transaction, and fails where it was applied before. It writes no row of
-- tower_api_keys: those that are there stay as they are, and can be revoked.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- A key's authority is fixed when it is issued, and from then on only shrinks.
CREATE FUNCTION tower_api_keys_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused text;
BEGIN
    -- A revocation that changes nothing else is never refused: the version rises by one, or from
    -- below the first to the first, or is the last that the column holds and stays.
    IF OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL AND NEW.revocation_reason IS NOT NULL
        AND (NEW.version - 1 = OLD.version
            OR (OLD.version = 9223372036854775807 AND NEW.version = OLD.version)
            OR (OLD.version < 1 AND NEW.version = 1))
        AND (NEW.id, NEW.realm, NEW.digest, NEW.pepper_version, NEW.subject, NEW.scopes,
            NEW.issued_at, NEW.not_before, NEW.expires_at, NEW.retire_at, NEW.lineage,
            NEW.generation, NEW.label, NEW.metadata, NEW.last_used_at)
        IS NOT DISTINCT FROM
            (OLD.id, OLD.realm, OLD.digest, OLD.pepper_version, OLD.subject, OLD.scopes,
            OLD.issued_at, OLD.not_before, OLD.expires_at, OLD.retire_at, OLD.lineage,
            OLD.generation, OLD.label, OLD.metadata, OLD.last_used_at)
    THEN
        RETURN NEW;
    END IF;
    refused := CASE
        WHEN NEW.id IS DISTINCT FROM OLD.id THEN 'its id is fixed'
        WHEN NEW.realm IS DISTINCT FROM OLD.realm THEN 'its realm is fixed'
        WHEN NEW.digest IS DISTINCT FROM OLD.digest THEN 'its digest is fixed'
        WHEN NEW.pepper_version IS DISTINCT FROM OLD.pepper_version
            THEN 'its pepper_version is fixed'
        WHEN NEW.subject IS DISTINCT FROM OLD.subject THEN 'its subject is fixed'
        WHEN NEW.issued_at IS DISTINCT FROM OLD.issued_at THEN 'its issued_at is fixed'
        WHEN NEW.not_before IS DISTINCT FROM OLD.not_before THEN 'its not_before is fixed'
        WHEN NEW.lineage IS DISTINCT FROM OLD.lineage THEN 'its lineage is fixed'
        WHEN NEW.generation IS DISTINCT FROM OLD.generation THEN 'its generation is fixed'
        WHEN NEW.label IS DISTINCT FROM OLD.label THEN 'its label is fixed'
        WHEN NEW.metadata IS DISTINCT FROM OLD.metadata THEN 'its metadata is fixed'
        WHEN OLD.revoked_at IS NOT NULL
            AND (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
                OR NEW.revocation_reason IS DISTINCT FROM OLD.revocation_reason)
            THEN 'a revocation is final'
        WHEN OLD.expires_at IS NOT NULL AND coalesce(NEW.expires_at > OLD.expires_at, true)
            THEN 'its expires_at only moves to an earlier time'
        WHEN OLD.retire_at IS NOT NULL AND coalesce(NEW.retire_at > OLD.retire_at, true)
            THEN 'its retire_at only moves to an earlier time'
        WHEN NOT string_to_array(NEW.scopes, ' ') <@ string_to_array(OLD.scopes, ' ')
            THEN 'its scopes only become fewer'
        WHEN OLD.last_used_at IS NOT NULL AND coalesce(NEW.last_used_at < OLD.last_used_at, true)
            THEN 'its last_used_at only moves to a later time'
        WHEN NEW.version IS DISTINCT FROM OLD.version
            AND (NEW.version - 1 IS DISTINCT FROM OLD.version
                OR NEW.version NOT BETWEEN 1 AND 4611686018427387904)
            THEN 'its version rises by one, up to 4611686018427387904'
        WHEN NEW.version = OLD.version
            AND (NEW.scopes, NEW.expires_at, NEW.retire_at, NEW.revoked_at)
            IS DISTINCT FROM (OLD.scopes, OLD.expires_at, OLD.retire_at, OLD.revoked_at)
            THEN 'its version rises with every change but that of last_used_at'
    END;
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'key % cannot be changed like this: %', OLD.id, refused
            USING ERRCODE = 'TAK01',
                CONSTRAINT = 'tower_api_keys_guard',
                HINT = 'Change keys through tower-api-key; more authority is a new key.';
    END IF;
    RETURN NEW;
END
$$;

-- Not CREATE OR REPLACE FUNCTION: with another search_path than that of version 1, it would make a
-- second function and leave the trigger with the first.
CREATE OR REPLACE TRIGGER tower_api_keys_guard BEFORE UPDATE ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_change();
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_guard;
DROP FUNCTION tower_api_keys_guard();

-- What comes in can be read. A trigger and no constraint: a constraint would be tried with every
-- change of a row that was there before, and keep it from being revoked. The texts are not decoded,
-- because one of them may hold an escaped U+0000.
CREATE FUNCTION tower_api_keys_entry() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused text;
BEGIN
    refused := CASE
        WHEN NEW.version > 4611686018427387904 THEN 'its version is too high'
        WHEN json_typeof(NEW.metadata::json) = 'object'
            AND NEW.metadata !~ ('^\s*\{(?:\s*"(?:[^"\\]|\\.)*"\s*:\s*"(?:[^"\\]|\\.)*"\s*,?)*\s*\}\s*$')
            THEN 'its metadata is an object of texts'
        -- Half a surrogate pair is JSON and no text. Without the escaped backslashes, every other
        -- begins an escape.
        WHEN replace(NEW.metadata, '\\', '') ~ '\\u[dD][89a-fA-F]'
            THEN 'its metadata holds no escaped surrogates'
    END;
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'key % cannot come in like this: %', NEW.id, refused
            USING ERRCODE = '23514',
                CONSTRAINT = 'tower_api_keys_entry',
                HINT = 'Issue keys through tower-api-key.';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER tower_api_keys_entry BEFORE INSERT ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_entry();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_entry;

INSERT INTO tower_api_key_migrations (version) VALUES (2);

COMMIT;
