-- The tables of tower-api-key's PostgresStore, version 1.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0001_keys.sql
-- It is one transaction, and fails where it was applied before. The tables come into being in the
-- first schema of the search_path. The database's encoding must be UTF8.
--
-- Times are whole seconds since the epoch. Texts compare by their bytes (COLLATE "C").

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

CREATE TABLE tower_api_key_migrations (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tower_api_keys (
    id text COLLATE "C" NOT NULL
        CONSTRAINT tower_api_keys_pkey PRIMARY KEY
        CONSTRAINT tower_api_keys_id_check CHECK (id ~ '^[0-9A-Za-z]{12}$'),
    realm text COLLATE "C" NOT NULL
        CONSTRAINT tower_api_keys_realm_check
        CHECK (octet_length(realm) BETWEEN 1 AND 64 AND realm ~ '^[] !#-[^-~]*$'),
    digest bytea NOT NULL
        CONSTRAINT tower_api_keys_digest_key UNIQUE
        CONSTRAINT tower_api_keys_digest_check CHECK (octet_length(digest) = 32),
    pepper_version bigint
        CONSTRAINT tower_api_keys_pepper_version_check
        CHECK (pepper_version BETWEEN 0 AND 4294967295),
    subject text COLLATE "C" NOT NULL
        CONSTRAINT tower_api_keys_subject_check
        CHECK (octet_length(subject) BETWEEN 1 AND 256 AND subject !~ '[\u0001-\u001f\u007f-\u009f]'),
    -- Separated by single spaces.
    scopes text COLLATE "C" NOT NULL
        CONSTRAINT tower_api_keys_scopes_check
        CHECK (scopes ~ '^([]!#-[^-~]{1,128}( []!#-[^-~]{1,128})*)?$'),
    issued_at bigint NOT NULL
        CONSTRAINT tower_api_keys_issued_at_check CHECK (issued_at >= 0),
    not_before bigint NOT NULL
        CONSTRAINT tower_api_keys_not_before_check CHECK (not_before >= 0),
    expires_at bigint
        CONSTRAINT tower_api_keys_expires_at_check CHECK (expires_at >= 0),
    retire_at bigint
        CONSTRAINT tower_api_keys_retire_at_check CHECK (retire_at >= 0),
    lineage text COLLATE "C" NOT NULL
        CONSTRAINT tower_api_keys_lineage_check CHECK (lineage ~ '^[0-9A-Za-z]{12}$'),
    generation bigint NOT NULL
        CONSTRAINT tower_api_keys_generation_check CHECK (generation BETWEEN 0 AND 4294967295),
    version bigint NOT NULL
        CONSTRAINT tower_api_keys_version_check CHECK (version >= 1),
    revoked_at bigint
        CONSTRAINT tower_api_keys_revoked_at_check CHECK (revoked_at >= 0),
    revocation_reason text COLLATE "C"
        CONSTRAINT tower_api_keys_revocation_reason_check CHECK (revocation_reason IN (
            'unspecified', 'key_compromise', 'affiliation_changed', 'superseded',
            'cessation_of_operation', 'privilege_withdrawn'
        )),
    label text COLLATE "C",
    -- A JSON object of texts. Not jsonb, which cannot hold every text.
    metadata text COLLATE "C" NOT NULL
        CONSTRAINT tower_api_keys_metadata_check CHECK (json_typeof(metadata::json) = 'object'),
    last_used_at bigint
        CONSTRAINT tower_api_keys_last_used_at_check CHECK (last_used_at >= 0),
    CONSTRAINT tower_api_keys_revocation_check
        CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
) WITH (fillfactor = 90);

CREATE INDEX tower_api_keys_by_id ON tower_api_keys (realm, id);
CREATE INDEX tower_api_keys_by_subject ON tower_api_keys (realm, subject, id);
CREATE INDEX tower_api_keys_by_lineage ON tower_api_keys (realm, lineage, id);
CREATE INDEX tower_api_keys_by_end
    ON tower_api_keys (realm, (coalesce(revoked_at, least(expires_at, retire_at))));

-- A key's authority is fixed when it is issued, and from then on only shrinks.
CREATE FUNCTION tower_api_keys_guard() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused text;
BEGIN
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
        WHEN NEW.version IS DISTINCT FROM OLD.version AND NEW.version <> OLD.version + 1
            THEN 'its version rises by one'
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

CREATE TRIGGER tower_api_keys_guard BEFORE UPDATE ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_guard();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_guard;

INSERT INTO tower_api_key_migrations (version) VALUES (1);

COMMIT;
