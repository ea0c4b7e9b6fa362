-- The tables of tower-api-key's PostgresStore, version 3: functions that end or narrow every key of
-- a subject, for triggers on the application's own tables; and a row that breaks a rule of version 1
-- can be revoked.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0003_subjects.sql
-- It is one transaction, and fails where it was applied before. It writes no row of
-- tower_api_keys.
--
-- tower_api_key_end_subject(realm, subject, reason)
--     Revokes every key of the subject in the realm. The reason is one that tower_api_keys knows;
--     without it, 'privilege_withdrawn'.
-- tower_api_key_narrow_subject(realm, subject, scopes)
--     Leaves every key of the subject in the realm those of its scopes that are in the array. A key
--     that had some and keeps none is revoked, and so is a key in its grace period, and one that
--     the database cannot narrow.
--
-- Both return how many keys they changed. Neither gives a key anything. They do what their caller may
-- do, no more: it needs SELECT and UPDATE on tower_api_keys, and every role may call them. They
-- wait for those who issue keys to the subject, and these wait for the end of the transaction. They
-- fail, and the transaction with them, for an argument that is NULL, for a role from which row-level
-- security hides rows, and at another isolation level than READ COMMITTED: a snapshot would miss keys
-- that others have issued since it was taken.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- A rule that a row breaks is tried with every change of the row, so that it could not be revoked. Now
-- it is a rule for keys that are not revoked. NOT VALID, because such rows may be there.
ALTER TABLE tower_api_keys
    DROP CONSTRAINT IF EXISTS tower_api_keys_id_check,
    ADD CONSTRAINT tower_api_keys_id_check
        CHECK (CASE WHEN revoked_at IS NULL THEN id ~ '^[0-9A-Za-z]{12}$' ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_realm_check,
    ADD CONSTRAINT tower_api_keys_realm_check
        CHECK (CASE WHEN revoked_at IS NULL
            THEN octet_length(realm) BETWEEN 1 AND 64 AND realm ~ '^[] !#-[^-~]*$' ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_digest_check,
    ADD CONSTRAINT tower_api_keys_digest_check
        CHECK (CASE WHEN revoked_at IS NULL THEN octet_length(digest) = 32 ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_pepper_version_check,
    ADD CONSTRAINT tower_api_keys_pepper_version_check
        CHECK (CASE WHEN revoked_at IS NULL
            THEN pepper_version BETWEEN 0 AND 4294967295 ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_subject_check,
    ADD CONSTRAINT tower_api_keys_subject_check
        CHECK (CASE WHEN revoked_at IS NULL
            THEN octet_length(subject) BETWEEN 1 AND 256 AND subject !~ '[\u0001-\u001f\u007f-\u009f]'
            ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_scopes_check,
    ADD CONSTRAINT tower_api_keys_scopes_check
        CHECK (CASE WHEN revoked_at IS NULL
            THEN scopes ~ '^([]!#-[^-~]{1,128}( []!#-[^-~]{1,128})*)?$' ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_issued_at_check,
    ADD CONSTRAINT tower_api_keys_issued_at_check
        CHECK (CASE WHEN revoked_at IS NULL THEN issued_at >= 0 ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_not_before_check,
    ADD CONSTRAINT tower_api_keys_not_before_check
        CHECK (CASE WHEN revoked_at IS NULL THEN not_before >= 0 ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_expires_at_check,
    ADD CONSTRAINT tower_api_keys_expires_at_check
        CHECK (CASE WHEN revoked_at IS NULL THEN expires_at >= 0 ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_retire_at_check,
    ADD CONSTRAINT tower_api_keys_retire_at_check
        CHECK (CASE WHEN revoked_at IS NULL THEN retire_at >= 0 ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_lineage_check,
    ADD CONSTRAINT tower_api_keys_lineage_check
        CHECK (CASE WHEN revoked_at IS NULL THEN lineage ~ '^[0-9A-Za-z]{12}$' ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_generation_check,
    ADD CONSTRAINT tower_api_keys_generation_check
        CHECK (CASE WHEN revoked_at IS NULL
            THEN generation BETWEEN 0 AND 4294967295 ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_metadata_check,
    ADD CONSTRAINT tower_api_keys_metadata_check
        CHECK (CASE WHEN revoked_at IS NULL
            THEN json_typeof(metadata::json) = 'object' ELSE true END) NOT VALID,
    DROP CONSTRAINT IF EXISTS tower_api_keys_last_used_at_check,
    ADD CONSTRAINT tower_api_keys_last_used_at_check
        CHECK (CASE WHEN revoked_at IS NULL THEN last_used_at >= 0 ELSE true END) NOT VALID;

-- What comes in as revoked, from a backup for example, is a record too.
CREATE FUNCTION tower_api_keys_entry_revoked() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.id ~ '^[0-9A-Za-z]{12}$'
        AND octet_length(NEW.realm) BETWEEN 1 AND 64 AND NEW.realm ~ '^[] !#-[^-~]*$'
        AND octet_length(NEW.digest) = 32
        AND coalesce(NEW.pepper_version, 0) BETWEEN 0 AND 4294967295
        AND octet_length(NEW.subject) BETWEEN 1 AND 256 AND NEW.subject !~ '[\u0001-\u001f\u007f-\u009f]'
        AND NEW.scopes ~ '^([]!#-[^-~]{1,128}( []!#-[^-~]{1,128})*)?$'
        AND NEW.issued_at >= 0 AND NEW.not_before >= 0
        AND coalesce(NEW.expires_at, 0) >= 0 AND coalesce(NEW.retire_at, 0) >= 0
        AND coalesce(NEW.last_used_at, 0) >= 0
        AND NEW.lineage ~ '^[0-9A-Za-z]{12}$'
        AND NEW.generation BETWEEN 0 AND 4294967295
        AND json_typeof(NEW.metadata::json) = 'object') IS NOT TRUE
    THEN
        RAISE EXCEPTION 'key % cannot come in like this: it is no record', NEW.id
            USING ERRCODE = '23514',
                CONSTRAINT = 'tower_api_keys_entry_revoked',
                HINT = 'Issue keys through tower-api-key.';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER tower_api_keys_entry_revoked BEFORE INSERT ON tower_api_keys
    FOR EACH ROW WHEN (NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION tower_api_keys_entry_revoked();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_entry_revoked;

-- Each names the schema of the tables, whatever the search_path of its caller: `@.` becomes the
-- schema, `@literal` the name of the table as a literal.
DO $install$
DECLARE
    space text;
    definition text;
BEGIN
    SELECT quote_ident(spaces.nspname) INTO STRICT space
    FROM pg_catalog.pg_class AS class
    JOIN pg_catalog.pg_namespace AS spaces ON spaces.oid = class.relnamespace
    WHERE class.oid = 'tower_api_keys'::regclass;
    FOREACH definition IN ARRAY ARRAY[
$function$
CREATE FUNCTION @.tower_api_key_hold_subject(realm text, subject text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF $1 IS NULL OR $2 IS NULL THEN
        RAISE EXCEPTION 'the realm and the subject must not be NULL'
            USING ERRCODE = 'TAK02', HINT = 'Nothing was changed.';
    ELSIF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'keys cannot be changed by subject at this isolation level'
            USING ERRCODE = 'TAK02',
                HINT = 'Begin the transaction with ISOLATION LEVEL READ COMMITTED: a snapshot would miss keys that others have issued since.';
    ELSIF row_security_active(@literal::regclass) THEN
        RAISE EXCEPTION 'keys cannot be changed by subject: a policy may hide rows from this role'
            USING ERRCODE = 'TAK02',
                HINT = 'Give the role BYPASSRLS, or disable row-level security on tower_api_keys.';
    END IF;
    -- The lock that PostgresStore takes for each subject whose keys it writes.
    PERFORM pg_advisory_xact_lock(('x' || encode(substring(sha256(
        convert_to('tower-api-key subject', 'UTF8') || decode('00', 'hex')
        || convert_to($1, 'UTF8') || decode('00', 'hex') || convert_to($2, 'UTF8')
    ) FROM 1 FOR 8), 'hex'))::bit(64)::bigint);
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_key_end_key(id text, reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    UPDATE @.tower_api_keys AS keys
    SET revoked_at = floor(extract(epoch FROM clock_timestamp()))::bigint,
        revocation_reason = $2,
        version = CASE
            WHEN keys.version < 1 THEN 1
            WHEN keys.version < 9223372036854775807 THEN keys.version + 1
            ELSE keys.version
        END
    WHERE keys.id = $1 COLLATE "C" AND keys.revoked_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key % could not be revoked', $1
            USING ERRCODE = 'TAK02',
                HINT = 'Drop the rule or the trigger of tower_api_keys that passes over a change.';
    END IF;
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_key_end_subject(
    realm text, subject text, reason text DEFAULT 'privilege_withdrawn'
) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    due record;
    changed bigint := 0;
BEGIN
    PERFORM @.tower_api_key_hold_subject($1, $2);
    FOR due IN
        SELECT keys.id FROM @.tower_api_keys AS keys
        WHERE keys.realm = $1 COLLATE "C" AND keys.subject = $2 COLLATE "C" AND keys.revoked_at IS NULL
        ORDER BY keys.id FOR NO KEY UPDATE
    LOOP
        PERFORM @.tower_api_key_end_key(due.id, $3);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_key_narrow_subject(realm text, subject text, scopes text[])
    RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    due record;
    kept text;
    changed bigint := 0;
BEGIN
    IF $3 IS NULL THEN
        RAISE EXCEPTION 'the scopes must not be NULL'
            USING ERRCODE = 'TAK02', HINT = 'To end every key, call tower_api_key_end_subject.';
    END IF;
    PERFORM @.tower_api_key_hold_subject($1, $2);
    FOR due IN
        SELECT keys.id, keys.scopes, keys.retire_at FROM @.tower_api_keys AS keys
        WHERE keys.realm = $1 COLLATE "C" AND keys.subject = $2 COLLATE "C" AND keys.revoked_at IS NULL
        ORDER BY keys.id FOR NO KEY UPDATE
    LOOP
        -- In the order in which the key has them.
        SELECT coalesce(string_agg(had.scope, ' ' ORDER BY had.place), '') INTO kept
        FROM unnest(string_to_array(due.scopes, ' ')) WITH ORDINALITY AS had (scope, place)
        WHERE had.scope COLLATE "C" = ANY ($3);
        IF due.retire_at IS NOT NULL OR (kept = '' AND due.scopes <> '') THEN
            PERFORM @.tower_api_key_end_key(due.id, 'privilege_withdrawn');
        ELSIF kept COLLATE "C" <> due.scopes THEN
            BEGIN
                UPDATE @.tower_api_keys AS keys SET scopes = kept, version = keys.version + 1
                WHERE keys.id = due.id AND keys.revoked_at IS NULL;
                IF NOT FOUND THEN
                    RAISE SQLSTATE 'TAK01';
                END IF;
            EXCEPTION
                WHEN SQLSTATE 'TAK01' OR check_violation OR invalid_text_representation
                    OR numeric_value_out_of_range
                THEN
                    -- What it has beyond the list must not live on.
                    PERFORM @.tower_api_key_end_key(due.id, 'privilege_withdrawn');
            END;
        ELSE
            CONTINUE;
        END IF;
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END
$body$
$function$,
        -- Whatever the default privileges of the schema's owner are.
        'GRANT EXECUTE ON FUNCTION @.tower_api_key_hold_subject(text, text),
            @.tower_api_key_end_key(text, text),
            @.tower_api_key_end_subject(text, text, text),
            @.tower_api_key_narrow_subject(text, text, text[]) TO PUBLIC'
    ]
    LOOP
        definition := replace(definition, '@literal', quote_literal(space || '.tower_api_keys'));
        EXECUTE replace(definition, '@.', space || '.');
    END LOOP;
END
$install$;

INSERT INTO tower_api_key_migrations (version) VALUES (3);

COMMIT;
