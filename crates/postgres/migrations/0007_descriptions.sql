-- The tables of tower-api-key's PostgresStore, version 7: label and metadata, which are no authority, can
-- change, by themselves and with the version.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0007_descriptions.sql
-- It is one transaction, and fails where it was applied before. It writes no row.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- A key's authority is fixed when it is issued, and from then on only shrinks.
CREATE FUNCTION tower_api_keys_update() RETURNS trigger
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
        -- No change of authority looks like that of a name.
        WHEN (NEW.label, NEW.metadata) IS DISTINCT FROM (OLD.label, OLD.metadata)
            AND (NEW.scopes, NEW.caveats, NEW.expires_at, NEW.retire_at, NEW.revoked_at,
                NEW.revocation_reason)
            IS DISTINCT FROM
                (OLD.scopes, OLD.caveats, OLD.expires_at, OLD.retire_at, OLD.revoked_at,
                OLD.revocation_reason)
            THEN 'its label and metadata change by themselves'
        -- As version 2 has it for new rows. A metadata that stays is not decoded: it may be no JSON.
        WHEN CASE
            WHEN NEW.metadata IS NOT DISTINCT FROM OLD.metadata THEN false
            ELSE json_typeof(NEW.metadata::json) IS DISTINCT FROM 'object'
                OR NEW.metadata !~ ('^\s*\{(?:\s*"(?:[^"\\]|\\.)*"\s*:\s*"(?:[^"\\]|\\.)*"\s*,?)*\s*\}\s*$')
                OR replace(NEW.metadata, '\\', '') ~ '\\u[dD][89a-fA-F]'
            END
            THEN 'its metadata is an object of texts'
        WHEN NEW.version IS DISTINCT FROM OLD.version
            AND (NEW.version - 1 IS DISTINCT FROM OLD.version
                OR NEW.version NOT BETWEEN 1 AND 4611686018427387904)
            THEN 'its version rises by one, up to 4611686018427387904'
        WHEN NEW.version = OLD.version
            AND (NEW.scopes, NEW.expires_at, NEW.retire_at, NEW.revoked_at, NEW.label, NEW.metadata)
            IS DISTINCT FROM
                (OLD.scopes, OLD.expires_at, OLD.retire_at, OLD.revoked_at, OLD.label, OLD.metadata)
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

-- Not CREATE OR REPLACE FUNCTION: with another search_path than that of version 2, it would make a
-- second function and leave the trigger with the first.
CREATE OR REPLACE TRIGGER tower_api_keys_guard BEFORE UPDATE ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_update();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_guard;
DROP FUNCTION tower_api_keys_change();

INSERT INTO tower_api_key_migrations (version) VALUES (7);

COMMIT;
