-- The tables of tower-api-key's PostgresStore, version 12: what keys were used for, as far as rings track it.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0012_usage.sql
-- It is one transaction, and fails where it was applied before. It writes no row of tower_api_keys, and
-- locks the table only for the new triggers. Services of version 7 can go on, and keep no usage.
--
-- One row for a key, if anything is known: the scopes that requests needed, and the networks that they came from,
-- both as sorted text, of a bounded length. Times are seconds since the Unix epoch. No verdict reads it. It is removed
-- with the key.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- No foreign key: it would refuse a TRUNCATE of the keys.
CREATE TABLE tower_api_key_usage (
    realm text COLLATE "C" NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    scopes text COLLATE "C",
    scopes_first bigint,
    scopes_last bigint,
    networks text COLLATE "C",
    networks_first bigint,
    networks_further bigint,
    CONSTRAINT tower_api_key_usage_pkey PRIMARY KEY (realm, key_id)
);

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
-- Whoever removes a key need not have a right on the usage.
$function$
CREATE FUNCTION @.tower_api_keys_usage_gone() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM @.tower_api_key_usage;
    ELSE
        DELETE FROM @.tower_api_key_usage AS used USING gone
        WHERE used.realm = gone.realm AND used.key_id = gone.id;
    END IF;
    RETURN NULL;
END
$body$
$function$,
        'REVOKE EXECUTE ON FUNCTION @.tower_api_keys_usage_gone() FROM PUBLIC'
    ]
    LOOP
        EXECUTE replace(definition, '@.', space || '.');
    END LOOP;
    EXECUTE 'REVOKE ALL ON tower_api_key_usage FROM PUBLIC';
    -- Who reads the keys may read what they were used for, and who changes them may write it.
    FOR role IN
        SELECT CASE privilege.privilege_type
                WHEN 'UPDATE' THEN 'SELECT, INSERT, UPDATE' ELSE 'SELECT' END AS rights,
            CASE privilege.grantee WHEN 0 THEN 'PUBLIC' ELSE privilege.grantee::regrole::text END AS name
        FROM pg_catalog.pg_class AS class, pg_catalog.aclexplode(class.relacl) AS privilege
        WHERE class.oid = 'tower_api_keys'::regclass
            AND privilege.privilege_type IN ('SELECT', 'UPDATE')
    LOOP
        EXECUTE 'GRANT ' || role.rights || ' ON tower_api_key_usage TO ' || role.name;
    END LOOP;
END
$install$;

CREATE TRIGGER tower_api_keys_take_their_usage_along AFTER DELETE ON tower_api_keys
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION tower_api_keys_usage_gone();
CREATE TRIGGER tower_api_keys_take_all_usage_along AFTER TRUNCATE ON tower_api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tower_api_keys_usage_gone();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys
    ENABLE ALWAYS TRIGGER tower_api_keys_take_their_usage_along,
    ENABLE ALWAYS TRIGGER tower_api_keys_take_all_usage_along;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (12, 7);

COMMIT;
