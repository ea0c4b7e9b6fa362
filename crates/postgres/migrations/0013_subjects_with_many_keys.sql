-- The tables of tower-api-key's PostgresStore, version 13: how many keys a subject has, so that a limit on them
-- costs the same for any number of keys.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0013_subjects_with_many_keys.sql
-- It is one transaction, and fails where it was applied before. It writes no row of tower_api_keys, and
-- locks the table only for the new triggers. Services of version 7 can go on: their keys count, and they
-- count all of them.
--
-- The number of a subject may be too high, and never is too low: then its keys are counted, and it is exact again.
-- It is only believed while the triggers that raise it are ENABLE ALWAYS and have been since it was counted.
--
-- A session that gives a subject a key has the lock of its row until the end of the transaction, and so has one that
-- counts. So a count shows each key that is not added to it afterwards. The changes of a ring take turns for each subject
-- anyway. Statements by hand now take turns with them, except those that take keys away: they leave a number that is
-- too high, and wait for nothing.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- A row for each subject that was given a key since. Unlogged on purpose: it is empty after a crash, on a standby that
-- was promoted and on a logical replica, where the subjects are counted anew.
CREATE UNLOGGED TABLE tower_api_key_subjects (
    realm text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    -- How many keys were not revoked and end after counted_at. Of no meaning if that is NULL.
    keys bigint NOT NULL,
    counted_at bigint,
    -- The triggers by which it was kept since.
    counted_by text COLLATE "C",
    -- The transaction that has last written the number, and how often.
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    changes integer NOT NULL DEFAULT 1,
    CONSTRAINT tower_api_key_subjects_pkey PRIMARY KEY (realm, subject)
) WITH (fillfactor = 90);

-- Each names the schema of the tables, whatever the search_path of its caller: `@.` becomes the schema,
-- `@literal` the name of the table as a literal.
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
-- A statement locks the row even if it does not write it. Each version of a row that one transaction writes makes the
-- next more expensive, so after some the number is forgotten.
$function$
CREATE FUNCTION @.tower_api_keys_counted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    INSERT INTO @.tower_api_key_subjects AS kept (realm, subject, keys) VALUES (NEW.realm, NEW.subject, 1)
    ON CONFLICT (realm, subject) DO UPDATE SET
        keys = kept.keys + 1,
        counted_at = CASE WHEN kept.changed_in = excluded.changed_in AND kept.changes >= 16
            THEN NULL ELSE kept.counted_at END,
        changes = CASE WHEN kept.changed_in = excluded.changed_in THEN kept.changes + 1 ELSE 1 END,
        changed_in = excluded.changed_in
    WHERE kept.counted_at IS NOT NULL;
    RETURN NULL;
END
$body$
$function$,
-- No revocation waits for the row. If another session has it, the number stays as it is.
$function$
CREATE FUNCTION @.tower_api_keys_discounted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM FROM @.tower_api_key_subjects AS kept
    WHERE kept.realm = OLD.realm AND kept.subject = OLD.subject
        AND coalesce(OLD.expires_at > kept.counted_at, kept.counted_at IS NOT NULL)
        AND coalesce(OLD.retire_at > kept.counted_at, true)
        AND (kept.changed_in <> pg_current_xact_id() OR kept.changes < 16)
    FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE @.tower_api_key_subjects AS kept SET
            keys = greatest(kept.keys, 1) - 1,
            changes = CASE WHEN kept.changed_in = pg_current_xact_id() THEN kept.changes + 1 ELSE 1 END,
            changed_in = pg_current_xact_id()
        WHERE kept.realm = OLD.realm AND kept.subject = OLD.subject;
    END IF;
    RETURN NULL;
END
$body$
$function$,
-- The name of a subject without keys is not kept. A row that another session has is in use.
$function$
CREATE FUNCTION @.tower_api_key_subjects_gone() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM @.tower_api_key_subjects;
        RETURN NULL;
    END IF;
    DELETE FROM @.tower_api_key_subjects AS kept USING (
        SELECT named.realm, named.subject FROM @.tower_api_key_subjects AS named
        JOIN (SELECT DISTINCT gone.realm, gone.subject FROM gone) AS due
            ON due.realm = named.realm AND due.subject = named.subject
        WHERE NOT EXISTS (
            SELECT FROM @.tower_api_keys AS keys WHERE keys.realm = named.realm AND keys.subject = named.subject)
        FOR UPDATE OF named SKIP LOCKED
    ) AS idle
    WHERE kept.realm = idle.realm AND kept.subject = idle.subject;
    RETURN NULL;
END
$body$
$function$,
-- Whether the keys of a subject that have not ended by a time are of so many lineages at the most. NULL: this function
-- cannot see them all.
$function$
CREATE FUNCTION @.tower_api_key_within(realm text, subject text, at bigint, most bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    -- Up to this many keys are counted each time. Most subjects have fewer.
    few CONSTANT bigint := 32;
    -- A lineage has at most two keys that have not ended, except if another hand wrote more.
    enough bigint := CASE WHEN $4 < 4611686018427387903 THEN 2 * $4 + 1 END;
    counting text;
    is_prepared boolean;
    kept record;
    living record;
BEGIN
    -- A snapshot would miss keys that others have added since.
    IF row_security_active(@literal::regclass)
        OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')
    THEN
        RETURN NULL;
    END IF;
    -- A trigger that was disabled and enabled again has another xmin.
    SELECT string_agg(rule.xmin::text, ' ' ORDER BY rule.tgname) INTO counting
    FROM pg_trigger AS rule
    WHERE rule.tgrelid = @literal::regclass AND rule.tgenabled = 'A'
        AND rule.tgname IN ('tower_api_keys_count_new', 'tower_api_keys_count_revived')
    HAVING count(*) = 2;
    SELECT numbers.* INTO kept FROM @.tower_api_key_subjects AS numbers
    WHERE numbers.realm = $1 COLLATE "C" AND numbers.subject = $2 COLLATE "C"
    FOR NO KEY UPDATE;
    IF kept.keys <= $4 AND kept.counted_at <= $3 AND kept.counted_by = counting THEN
        RETURN true;
    END IF;
    -- After a crash a prepared transaction lives on, and has no lock of a row here. One that commits from here on is
    -- counted.
    is_prepared := EXISTS (SELECT FROM pg_prepared_xacts AS prepared WHERE prepared.database = current_database());
    LOOP
        -- In two parts, so that keys that have expired are not read.
        SELECT count(*) AS keys, count(DISTINCT counted.lineage) AS lineages INTO living FROM (
            SELECT one.lineage FROM @.tower_api_keys AS one
            WHERE one.realm = $1 COLLATE "C" AND one.subject = $2 COLLATE "C" AND one.revoked_at IS NULL
                AND one.expires_at IS NULL AND (one.retire_at IS NULL OR one.retire_at > $3)
            UNION ALL
            SELECT one.lineage FROM @.tower_api_keys AS one
            WHERE one.realm = $1 COLLATE "C" AND one.subject = $2 COLLATE "C" AND one.revoked_at IS NULL
                AND one.expires_at > $3 AND (one.retire_at IS NULL OR one.retire_at > $3)
            LIMIT enough
        ) AS counted;
        IF living.lineages > $4 THEN
            RETURN false;
        END IF;
        EXIT WHEN enough IS NULL OR living.keys < enough;
        enough := NULL;
    END LOOP;
    -- Only of a row whose lock this session had before it counted.
    IF counting IS NOT NULL AND kept.realm IS NOT NULL AND NOT is_prepared
        AND (living.keys > few OR kept.counted_at IS NOT NULL)
    THEN
        UPDATE @.tower_api_key_subjects AS numbers SET
            keys = living.keys,
            counted_at = $3,
            counted_by = counting,
            changes = CASE WHEN numbers.changed_in = pg_current_xact_id() THEN numbers.changes + 1 ELSE 1 END,
            changed_in = pg_current_xact_id()
        WHERE numbers.realm = $1 COLLATE "C" AND numbers.subject = $2 COLLATE "C"
            AND (numbers.changed_in <> pg_current_xact_id() OR numbers.changes < 16);
    END IF;
    RETURN true;
END
$body$
$function$,
        -- A role that could fire them from a table of its own could keep the lock of any subject, and one that could ask
        -- would learn who has keys.
        'REVOKE EXECUTE ON FUNCTION @.tower_api_keys_counted(), @.tower_api_keys_discounted(),
            @.tower_api_key_subjects_gone(), @.tower_api_key_within(text, text, bigint, bigint) FROM PUBLIC'
    ]
    LOOP
        definition := replace(definition, '@literal', quote_literal(space || '.tower_api_keys'));
        EXECUTE replace(definition, '@.', space || '.');
    END LOOP;
    -- No other role reads or writes a number, unless the default privileges of the schema's owner name it.
    EXECUTE 'REVOKE ALL ON tower_api_key_subjects FROM PUBLIC';
    -- Who gives subjects keys may ask whether there is room.
    FOR role IN
        SELECT CASE privilege.grantee WHEN 0 THEN 'PUBLIC' ELSE privilege.grantee::regrole::text END AS name
        FROM pg_catalog.pg_class AS class, pg_catalog.aclexplode(class.relacl) AS privilege
        WHERE class.oid = 'tower_api_keys'::regclass AND privilege.privilege_type = 'INSERT'
    LOOP
        EXECUTE 'GRANT EXECUTE ON FUNCTION ' || space || '.tower_api_key_within(text, text, bigint, bigint) TO '
            || role.name;
    END LOOP;
END
$install$;

CREATE TRIGGER tower_api_keys_count_new AFTER INSERT ON tower_api_keys
    FOR EACH ROW WHEN (NEW.revoked_at IS NULL) EXECUTE FUNCTION tower_api_keys_counted();
-- The guard refuses it. It can be dropped.
CREATE TRIGGER tower_api_keys_count_revived AFTER UPDATE ON tower_api_keys
    FOR EACH ROW WHEN (
        NEW.revoked_at IS NULL AND (
            OLD.revoked_at IS NOT NULL OR NEW.realm <> OLD.realm OR NEW.subject <> OLD.subject
            OR (OLD.expires_at IS NOT NULL AND coalesce(NEW.expires_at > OLD.expires_at, true))
            OR (OLD.retire_at IS NOT NULL AND coalesce(NEW.retire_at > OLD.retire_at, true)))
    )
    EXECUTE FUNCTION tower_api_keys_counted();
-- Only for a ring. A session by hand that stays open would keep the row from others. A ring that ends one key has the row
-- until it commits, and no lock of the subject.
CREATE TRIGGER tower_api_keys_discount AFTER UPDATE ON tower_api_keys
    FOR EACH ROW WHEN (
        OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL
        AND current_setting('tower_api_key.ring', true) <> ''
    )
    EXECUTE FUNCTION tower_api_keys_discounted();
CREATE TRIGGER tower_api_keys_take_their_subjects_along AFTER DELETE ON tower_api_keys
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION tower_api_key_subjects_gone();
CREATE TRIGGER tower_api_keys_take_all_subjects_along AFTER TRUNCATE ON tower_api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tower_api_key_subjects_gone();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys
    ENABLE ALWAYS TRIGGER tower_api_keys_count_new,
    ENABLE ALWAYS TRIGGER tower_api_keys_count_revived,
    ENABLE ALWAYS TRIGGER tower_api_keys_discount,
    ENABLE ALWAYS TRIGGER tower_api_keys_take_their_subjects_along,
    ENABLE ALWAYS TRIGGER tower_api_keys_take_all_subjects_along;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (13, 7);

COMMIT;
