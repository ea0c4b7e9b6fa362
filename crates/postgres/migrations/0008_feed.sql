-- The tables of tower-api-key's PostgresStore, version 8: the change feed, from which the services of a
-- fleet keep copies of the keys in memory.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0008_feed.sql
-- It is one transaction, and fails where it was applied before. It writes no row of tower_api_keys, and
-- locks the table only for the new triggers. Services of version 7 can go on.
--
-- tower_api_key_changes says which keys changed in which transaction. What they changed to is in
-- tower_api_keys. A copy asks for the keys of all transactions that the snapshot of its last question did
-- not show. So nothing is missed, in whatever order transactions commit, and a transaction that stays
-- open holds nothing back.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- From which version of the schema on a service can read this one. NULL: from this one on.
ALTER TABLE tower_api_key_migrations ADD COLUMN readable_from integer;

CREATE TABLE tower_api_key_changes (
    xid xid8 NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT tower_api_key_changes_pkey PRIMARY KEY (xid, digest)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);

-- One row: which history the changes belong to, from where on they are whole, and how old a copy may be.
CREATE TABLE tower_api_key_feed (
    one boolean NOT NULL DEFAULT true
        CONSTRAINT tower_api_key_feed_pkey PRIMARY KEY
        CONSTRAINT tower_api_key_feed_one_check CHECK (one),
    -- The server, the database and the table. After a dump was restored, they are others.
    home text COLLATE "C" NOT NULL,
    -- Rises with a TRUNCATE, and by hand if all copies shall begin anew. It begins with the time, so that
    -- the epoch of a new row is a new one.
    epoch bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()) * 1000000),
    -- Changes by transactions before this one may be missing.
    pruned xid8 NOT NULL DEFAULT '0',
    -- A copy that is older refuses.
    staleness_ms integer NOT NULL DEFAULT 5000
        CONSTRAINT tower_api_key_feed_staleness_ms_check CHECK (staleness_ms BETWEEN 100 AND 600000),
    -- The longest one before that a copy may still count on, and until when.
    former_staleness_ms integer,
    former_until timestamptz
);

-- Unlogged on purpose. The table is empty after a crash, on a standby that was promoted, and after a base
-- backup was restored. After these an acknowledged commit may be lost, and its transaction's number may be
-- given out again.
CREATE UNLOGGED TABLE tower_api_key_incarnation (
    one boolean NOT NULL DEFAULT true
        CONSTRAINT tower_api_key_incarnation_pkey PRIMARY KEY
        CONSTRAINT tower_api_key_incarnation_one_check CHECK (one),
    token uuid NOT NULL DEFAULT gen_random_uuid()
);

-- Each names the schema of the tables, whatever the search_path of its caller: `@.` becomes the schema,
-- `@literal` the name of a table as a literal.
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
$function$
CREATE FUNCTION @.tower_api_key_home() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT control.system_identifier || '/' || database.oid || '/' || @literal::regclass::oid
    FROM pg_control_system() AS control, pg_database AS database
    WHERE database.datname = current_database()
$body$
$function$,
-- A change that takes authority away is durable when it is acknowledged, whatever the setting of the session is.
-- A stronger one stays.
$function$
CREATE FUNCTION @.tower_api_key_commit_durably() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$body$
$function$,
-- No key has a digest of another length.
$function$
CREATE FUNCTION @.tower_api_keys_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM @.tower_api_key_commit_durably();
    END IF;
    IF octet_length(NEW.digest) = 32 THEN
        INSERT INTO @.tower_api_key_changes (xid, digest)
        VALUES (pg_current_xact_id(), NEW.digest) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_keys_removed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM @.tower_api_key_commit_durably();
    INSERT INTO @.tower_api_key_changes (xid, digest)
    SELECT pg_current_xact_id(), removed.digest FROM removed
    WHERE octet_length(removed.digest) = 32 ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$body$
$function$,
$function$
CREATE FUNCTION @.tower_api_keys_truncated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM @.tower_api_key_commit_durably();
    UPDATE @.tower_api_key_feed SET epoch = epoch + 1;
    RETURN NULL;
END
$body$
$function$,
-- A copy may count on the staleness before a change until that time is over: ten minutes at the most.
-- Twenty, because the change becomes visible only when its transaction commits.
$function$
CREATE FUNCTION @.tower_api_key_feed_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    NEW.former_staleness_ms := greatest(
        OLD.staleness_ms,
        CASE WHEN OLD.former_until > clock_timestamp() THEN OLD.former_staleness_ms END);
    NEW.former_until := clock_timestamp() + interval '20 minutes';
    RETURN NEW;
END
$body$
$function$,
-- For the first copy that finds no token, or the tables in another home. In another home, copies may still count
-- on any staleness that was in force there.
$function$
CREATE FUNCTION @.tower_api_key_incarnate() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    INSERT INTO @.tower_api_key_feed (home, former_staleness_ms, former_until)
    VALUES (@.tower_api_key_home(), 600000, clock_timestamp() + interval '20 minutes') ON CONFLICT DO NOTHING;
    UPDATE @.tower_api_key_feed SET home = @.tower_api_key_home(), epoch = epoch + 1, pruned = '0',
        former_staleness_ms = 600000, former_until = clock_timestamp() + interval '20 minutes'
    WHERE home <> @.tower_api_key_home();
    IF FOUND THEN
        -- Numbers of transactions that ran elsewhere.
        DELETE FROM @.tower_api_key_changes;
        DELETE FROM @.tower_api_key_incarnation;
    END IF;
    INSERT INTO @.tower_api_key_incarnation DEFAULT VALUES ON CONFLICT DO NOTHING;
END
$body$
$function$,
-- Removes a part of the changes by transactions before this one, and returns how many. 0: there are no
-- more, or another session removes them.
$function$
CREATE FUNCTION @.tower_api_key_forget(before xid8) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    -- No copy could begin with a position before `pruned`.
    bound CONSTANT xid8 := least($1, pg_snapshot_xmin(pg_current_snapshot()));
    removed bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(8387794199273235066) THEN
        RETURN 0;
    END IF;
    UPDATE @.tower_api_key_feed SET pruned = bound WHERE pruned < bound;
    DELETE FROM @.tower_api_key_changes AS changes USING (
        SELECT due.xid, due.digest FROM @.tower_api_key_changes AS due
        WHERE due.xid < bound ORDER BY due.xid, due.digest LIMIT 10000
    ) AS due
    WHERE changes.xid = due.xid AND changes.digest = due.digest;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$body$
$function$,
        -- Whatever the default privileges of the schema's owner are.
        'GRANT EXECUTE ON FUNCTION @.tower_api_key_home() TO PUBLIC',
        -- A role that may execute these could fire them from a table of its own: all copies would begin anew, or
        -- wait for a transaction that it leaves open.
        'REVOKE EXECUTE ON FUNCTION @.tower_api_keys_changed(), @.tower_api_keys_removed(),
            @.tower_api_keys_truncated(), @.tower_api_key_incarnate(), @.tower_api_key_forget(xid8) FROM PUBLIC'
    ]
    LOOP
        definition := replace(definition, '@literal', quote_literal(space || '.tower_api_key_changes'));
        EXECUTE replace(definition, '@.', space || '.');
    END LOOP;
    -- Who reads the keys may read which of them changed, and who removes keys may remove that.
    FOR role IN
        SELECT privilege.privilege_type AS privilege,
            CASE privilege.grantee WHEN 0 THEN 'PUBLIC' ELSE privilege.grantee::regrole::text END AS name
        FROM pg_catalog.pg_class AS class, pg_catalog.aclexplode(class.relacl) AS privilege
        WHERE class.oid = 'tower_api_keys'::regclass
    LOOP
        IF role.privilege = 'SELECT' THEN
            EXECUTE 'GRANT SELECT ON tower_api_key_changes, tower_api_key_feed, tower_api_key_incarnation TO '
                || role.name;
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || space || '.tower_api_key_incarnate() TO ' || role.name;
        ELSIF role.privilege = 'DELETE' THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || space || '.tower_api_key_forget(xid8) TO ' || role.name;
        END IF;
    END LOOP;
END
$install$;

INSERT INTO tower_api_key_feed (home) VALUES (tower_api_key_home());
INSERT INTO tower_api_key_incarnation DEFAULT VALUES;

CREATE TRIGGER tower_api_key_feed_changed BEFORE UPDATE ON tower_api_key_feed
    FOR EACH ROW WHEN (OLD.staleness_ms <> NEW.staleness_ms)
    EXECUTE FUNCTION tower_api_key_feed_changed();
ALTER TABLE tower_api_key_feed ENABLE ALWAYS TRIGGER tower_api_key_feed_changed;

CREATE TRIGGER tower_api_keys_inserted AFTER INSERT ON tower_api_keys
    FOR EACH ROW EXECUTE FUNCTION tower_api_keys_changed();
-- All columns but that of the last use. Not the version alone: the last one that the column holds stays
-- as the key is revoked.
CREATE TRIGGER tower_api_keys_updated AFTER UPDATE ON tower_api_keys
    FOR EACH ROW WHEN (
        (OLD.version, OLD.revoked_at, OLD.revocation_reason, OLD.scopes, OLD.caveats, OLD.not_before,
            OLD.expires_at, OLD.retire_at, OLD.realm, OLD.subject, OLD.label, OLD.metadata)
        IS DISTINCT FROM
        (NEW.version, NEW.revoked_at, NEW.revocation_reason, NEW.scopes, NEW.caveats, NEW.not_before,
            NEW.expires_at, NEW.retire_at, NEW.realm, NEW.subject, NEW.label, NEW.metadata)
    )
    EXECUTE FUNCTION tower_api_keys_changed();
CREATE TRIGGER tower_api_keys_deleted AFTER DELETE ON tower_api_keys
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tower_api_keys_removed();
CREATE TRIGGER tower_api_keys_truncated AFTER TRUNCATE ON tower_api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tower_api_keys_truncated();
-- Also for sessions whose session_replication_role passes over other triggers.
ALTER TABLE tower_api_keys
    ENABLE ALWAYS TRIGGER tower_api_keys_inserted,
    ENABLE ALWAYS TRIGGER tower_api_keys_updated,
    ENABLE ALWAYS TRIGGER tower_api_keys_deleted,
    ENABLE ALWAYS TRIGGER tower_api_keys_truncated;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (8, 7);

COMMIT;
