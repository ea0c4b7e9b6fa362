-- The tables of tower-api-key's PostgresStore, version 15: each notice of expiry that is claimed is an entry of the history.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0015_noted_notices.sql
-- It is one transaction, and fails where it was applied before. It writes and reads no row of the keys and of their history.
-- It locks both tables for a moment, for which it waits at most a second for transactions that change keys: services that
-- change keys, or read the history, wait behind it. If it fails for that reason, apply it again.
--
-- Services of version 7 can go on. Notices that were claimed before have no entry. Those that a service of version 11 to 14
-- claims from now on have one, which says that it was made by hand. A server needs no further grant.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

SET LOCAL lock_timeout = '1s';

-- In this order, which is that of a change.
LOCK TABLE tower_api_keys IN SHARE ROW EXCLUSIVE MODE;

-- The entries that are there have met the former rule, which allows no other word, so they are not read again.
ALTER TABLE tower_api_key_history
    DROP CONSTRAINT tower_api_key_history_action_check,
    ADD CONSTRAINT tower_api_key_history_action_check
        CHECK (action IN ('added', 'changed', 'expiry_noticed', 'removed', 'emptied', 'forgotten')) NOT VALID;

-- Each names the schema of the tables, whatever the search_path of its caller: `@.` becomes the schema.
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
-- The step is in seconds before the expiry.
$function$
CREATE FUNCTION @.tower_api_keys_noted_expiry() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM @.tower_api_key_history_note(
        NEW.realm, 'expiry_noticed', NEW.id, NEW.subject, NULL,
        jsonb_build_object('notice_step', NEW.noticed_step, 'expires_at', NEW.expires_at));
    RETURN NULL;
END
$body$
$function$,
        -- A role that could name the function could write what did not happen.
        'REVOKE EXECUTE ON FUNCTION @.tower_api_keys_noted_expiry() FROM PUBLIC'
    ]
    LOOP
        EXECUTE replace(definition, '@.', space || '.');
    END LOOP;
END
$install$;

-- In the transaction of the claim, so whatever ends a process leaves both or neither. An entry stands for a notice that is due
-- to somebody: the step is narrower than the one before, it began after the key was issued, and the key is neither revoked
-- nor replaced. By hand, a step of 0 ends the notices of a key without an entry. `numeric`, because no number that a row holds
-- keeps it from being changed.
CREATE TRIGGER tower_api_keys_note_expiry AFTER UPDATE ON tower_api_keys
    FOR EACH ROW WHEN (
        NEW.noticed_step > 0 AND (OLD.noticed_step IS NULL OR NEW.noticed_step < OLD.noticed_step)
        AND NEW.revoked_at IS NULL AND NEW.retire_at IS NULL
        AND NEW.noticed_step::numeric < NEW.expires_at::numeric - NEW.issued_at
    )
    EXECUTE FUNCTION tower_api_keys_noted_expiry();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_note_expiry;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (15, 7);

COMMIT;
