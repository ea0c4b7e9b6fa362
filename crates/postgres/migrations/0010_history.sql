-- The tables of tower-api-key's PostgresStore, version 10: the history of keys, who changed which key, when
-- and how.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0010_history.sql
-- It is one transaction, and fails where it was applied before. It writes no row of tower_api_keys, and
-- locks the table only for the new triggers. Services of version 7 can go on, and their changes are recorded.
--
-- Triggers write an entry for each change of a key, in its transaction, whoever makes it. It holds no digest, no
-- label and no metadata. It outlives the key.
--
-- role is who was logged in (session_user). The server has checked it.
-- actor is who is said to have made the change. A ring says it. Others can say it for a transaction:
--     SELECT set_config('tower_api_key.actor', 'ops@example.com', true);
-- by_hand: the statement was not one of a ring. It is for people, because a session can pretend to be a ring.
-- at is in microseconds since the epoch: to_timestamp(at / 1000000.0) shows it.
--
-- Nobody updates or deletes an entry but with
--     SELECT tower_api_key_forget_history(realm, before);
-- which removes the entries of a realm from before a time, in whole seconds since the epoch, returns how many
-- there were, and leaves an entry that says so. Only the owner may call it, and those to whom the owner
-- grants it.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- No number of a sequence: a dump of the rows alone is restored over an entry that was written meanwhile.
CREATE TABLE tower_api_key_history (
    realm text COLLATE "C" NOT NULL,
    at bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()) * 1000000),
    entry uuid NOT NULL DEFAULT gen_random_uuid(),
    action text COLLATE "C" NOT NULL
        CONSTRAINT tower_api_key_history_action_check
        CHECK (action IN ('added', 'changed', 'removed', 'emptied', 'forgotten')),
    key_id text COLLATE "C",
    subject text COLLATE "C",
    actor text COLLATE "C",
    role text COLLATE "C" NOT NULL,
    by_hand boolean NOT NULL,
    before jsonb,
    after jsonb,
    CONSTRAINT tower_api_key_history_pkey PRIMARY KEY (realm, at, entry)
);
CREATE INDEX tower_api_key_history_by_key ON tower_api_key_history (realm, key_id, at, entry);
CREATE INDEX tower_api_key_history_by_subject ON tower_api_key_history (realm, subject, at, entry);

-- Each names the schema of the tables, whatever the search_path of its caller: `@.` becomes the schema.
DO $install$
DECLARE
    space text;
    definition text;
    role record;
BEGIN
    SELECT quote_ident(spaces.nspname) INTO STRICT space
    FROM pg_catalog.pg_class AS class
    JOIN pg_catalog.pg_namespace AS spaces ON spaces.oid = class.relnamespace
    WHERE class.oid = 'tower_api_keys'::regclass;
    FOREACH definition IN ARRAY ARRAY[
-- What an entry has of a key. A column that is not named here is in no entry. Not of the type of the table, which
-- would keep it from being dropped.
$function$
CREATE FUNCTION @.tower_api_key_history_fields(key jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_object_agg(field.name, $1 -> field.name)
    FROM unnest(ARRAY['scopes', 'caveats', 'issued_at', 'not_before', 'expires_at', 'retire_at',
        'lineage', 'generation', 'version', 'revoked_at', 'revocation_reason', 'prefix',
        'pepper_version']) AS field (name)
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_key_history_note(
    realm text, action text, key_id text, subject text, before jsonb, after jsonb
) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    -- A ring writes a sign before its actor, so that no actor is another thing than no ring.
    ring CONSTANT text := coalesce(current_setting('tower_api_key.ring', true), '');
    actor CONSTANT text := CASE
        WHEN ring = '' THEN current_setting('tower_api_key.actor', true)
        ELSE substr(ring, 2)
    END;
BEGIN
    INSERT INTO @.tower_api_key_history
        (realm, action, key_id, subject, actor, role, by_hand, before, after)
    VALUES ($1, $2, $3, $4, left(nullif(actor, ''), 256), session_user, ring = '', $5, $6);
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_keys_noted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    had jsonb;
    has jsonb := @.tower_api_key_history_fields(to_jsonb(NEW));
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM @.tower_api_key_history_note(
            NEW.realm, 'added', NEW.id, NEW.subject, NULL, jsonb_strip_nulls(has));
        RETURN NULL;
    END IF;
    SELECT jsonb_object_agg(was.key, was.value), jsonb_object_agg(is_now.key, is_now.value) INTO had, has
    FROM jsonb_each(@.tower_api_key_history_fields(to_jsonb(OLD))) AS was
    JOIN jsonb_each(has) AS is_now ON is_now.key = was.key
    WHERE is_now.value IS DISTINCT FROM was.value;
    -- Of these, only that they changed.
    SELECT coalesce(has, '{}') || coalesce(jsonb_object_agg(changed.name, 'changed'), '{}') INTO has
    FROM (VALUES
        ('label', NEW.label IS DISTINCT FROM OLD.label),
        ('metadata', NEW.metadata IS DISTINCT FROM OLD.metadata),
        ('id', NEW.id IS DISTINCT FROM OLD.id),
        ('realm', NEW.realm IS DISTINCT FROM OLD.realm),
        ('subject', NEW.subject IS DISTINCT FROM OLD.subject),
        ('digest', NEW.digest IS DISTINCT FROM OLD.digest)
    ) AS changed (name, is_so) WHERE changed.is_so;
    PERFORM @.tower_api_key_history_note(OLD.realm, 'changed', OLD.id, OLD.subject, had, has);
    RETURN NULL;
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_keys_noted_gone() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM @.tower_api_key_history_note(emptied.realm, 'emptied', NULL, NULL, NULL, NULL)
        FROM (SELECT DISTINCT keys.realm FROM @.tower_api_keys AS keys) AS emptied;
    ELSE
        PERFORM @.tower_api_key_history_note(
            gone.realm, 'removed', gone.id, gone.subject,
            jsonb_strip_nulls(@.tower_api_key_history_fields(to_jsonb(gone))), NULL)
        FROM gone;
    END IF;
    RETURN NULL;
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_key_history_stays() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('tower_api_key.forgets', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the history of keys stays as it is'
        USING ERRCODE = 'TAK03',
            HINT = 'To remove its entries from before a time, call tower_api_key_forget_history.';
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_key_forget_history(realm text, before bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET tower_api_key.forgets = 'on'
AS $body$
DECLARE
    -- No entry is later.
    bound CONSTANT bigint := least($2, 9000000000000) * 1000000;
    removed bigint;
BEGIN
    IF $1 IS NULL OR $2 IS NULL THEN
        RAISE EXCEPTION 'the realm and the time must not be NULL'
            USING ERRCODE = 'TAK02', HINT = 'Nothing was changed.';
    END IF;
    DELETE FROM @.tower_api_key_history AS entries
    WHERE entries.realm = $1 COLLATE "C" AND entries.at < bound;
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed > 0 THEN
        PERFORM @.tower_api_key_history_note($1, 'forgotten', NULL, NULL, NULL,
            jsonb_build_object('before', $2, 'entries', removed));
    END IF;
    RETURN removed;
END
$body$
$function$,
        -- A role that could name the functions of triggers could write what did not happen.
        'REVOKE EXECUTE ON FUNCTION @.tower_api_key_history_fields(jsonb),
            @.tower_api_key_history_note(text, text, text, text, jsonb, jsonb),
            @.tower_api_keys_noted(), @.tower_api_keys_noted_gone(), @.tower_api_key_history_stays(),
            @.tower_api_key_forget_history(text, bigint) FROM PUBLIC'
    ]
    LOOP
        EXECUTE replace(definition, '@.', space || '.');
    END LOOP;
    -- Whatever the default privileges of the schema's owner are, nobody else writes to it.
    EXECUTE 'REVOKE ALL ON tower_api_key_history FROM PUBLIC';
    -- Who reads the keys may read who changed them.
    FOR role IN
        SELECT privilege.privilege_type AS privilege,
            CASE privilege.grantee WHEN 0 THEN 'PUBLIC' ELSE privilege.grantee::regrole::text END AS name
        FROM pg_catalog.pg_class AS class, pg_catalog.aclexplode(class.relacl) AS privilege
        WHERE class.oid = 'tower_api_keys'::regclass AND privilege.privilege_type = 'SELECT'
    LOOP
        EXECUTE 'GRANT SELECT ON tower_api_key_history TO ' || role.name;
    END LOOP;
END
$install$;

CREATE TRIGGER tower_api_keys_note_new AFTER INSERT ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_noted();
-- All columns but that of the last use, as version 8 has it, and those that never change.
CREATE TRIGGER tower_api_keys_note_changed AFTER UPDATE ON tower_api_keys
    FOR EACH ROW WHEN (
        (OLD.version, OLD.revoked_at, OLD.revocation_reason, OLD.scopes, OLD.caveats, OLD.not_before,
            OLD.expires_at, OLD.retire_at, OLD.realm, OLD.subject, OLD.label, OLD.metadata, OLD.id,
            OLD.digest, OLD.issued_at, OLD.lineage, OLD.generation, OLD.prefix, OLD.pepper_version)
        IS DISTINCT FROM
        (NEW.version, NEW.revoked_at, NEW.revocation_reason, NEW.scopes, NEW.caveats, NEW.not_before,
            NEW.expires_at, NEW.retire_at, NEW.realm, NEW.subject, NEW.label, NEW.metadata, NEW.id,
            NEW.digest, NEW.issued_at, NEW.lineage, NEW.generation, NEW.prefix, NEW.pepper_version)
    )
    EXECUTE FUNCTION tower_api_keys_noted();
CREATE TRIGGER tower_api_keys_note_gone AFTER DELETE ON tower_api_keys
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION tower_api_keys_noted_gone();
-- Before, because afterwards no realm is known.
CREATE TRIGGER tower_api_keys_note_emptied BEFORE TRUNCATE ON tower_api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tower_api_keys_noted_gone();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys
    ENABLE ALWAYS TRIGGER tower_api_keys_note_new,
    ENABLE ALWAYS TRIGGER tower_api_keys_note_changed,
    ENABLE ALWAYS TRIGGER tower_api_keys_note_gone,
    ENABLE ALWAYS TRIGGER tower_api_keys_note_emptied;

CREATE TRIGGER tower_api_key_history_stays BEFORE UPDATE OR DELETE ON tower_api_key_history
    FOR EACH ROW EXECUTE FUNCTION tower_api_key_history_stays();
CREATE TRIGGER tower_api_key_history_is_not_emptied BEFORE TRUNCATE ON tower_api_key_history
    FOR EACH STATEMENT EXECUTE FUNCTION tower_api_key_history_stays();
ALTER TABLE tower_api_key_history
    ENABLE ALWAYS TRIGGER tower_api_key_history_stays,
    ENABLE ALWAYS TRIGGER tower_api_key_history_is_not_emptied;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (10, 7);

COMMIT;
