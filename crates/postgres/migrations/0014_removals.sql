-- The tables of tower-api-key's PostgresStore, version 14: many keys that are removed are few rows of the change feed, so
-- that a purge is no flood for the services of a fleet.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0014_removals.sql
-- It is one transaction, and fails where it was applied before. It writes no row. It locks tower_api_key_changes for a
-- moment, for which it waits at most a second for transactions that change keys: services that ask for changes wait
-- behind it. If it fails for that reason, apply it again.
--
-- Services of version 7 can go on. A service of version 8 to 13 that follows the changes does not hear that a key was
-- removed which was dead by then: it keeps the record, which answers nothing, until it compares its checksums. It hears of
-- each removal that takes authority away. A replica of this version needs the column, so the migration comes before it.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

SET LOCAL lock_timeout = '1s';

-- Digests of 32 bytes each, one after the other: keys that were removed with the one of the row, and were dead. NULL: none.
ALTER TABLE tower_api_key_changes ADD COLUMN removed_too bytea;

-- It names the schema of the tables, whatever the search_path of its caller: `@.` becomes the schema.
DO $install$
DECLARE
    space text;
BEGIN
    SELECT quote_ident(spaces.nspname) INTO STRICT space
    FROM pg_catalog.pg_class AS class
    JOIN pg_catalog.pg_namespace AS spaces ON spaces.oid = class.relnamespace
    WHERE class.oid = 'tower_api_keys'::regclass;
-- 60 digests of dead keys are a row, which is stored in line: it has less than 2 kB. If the same transaction has changed the
-- first of them before, its row is there.
    EXECUTE replace($function$
CREATE OR REPLACE FUNCTION @.tower_api_keys_removed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    at CONSTANT bigint := floor(extract(epoch FROM clock_timestamp()));
BEGIN
    PERFORM @.tower_api_key_commit_durably();
    INSERT INTO @.tower_api_key_changes AS logged (xid, digest, removed_too)
    SELECT pg_current_xact_id(), substring(grouped.digests FROM 1 FOR 32),
        nullif(substring(grouped.digests FROM 33), '')
    FROM (
        SELECT string_agg(numbered.digest, ''::bytea) AS digests
        FROM (
            SELECT judged.digest, judged.is_dead,
                row_number() OVER (PARTITION BY judged.is_dead) - 1 AS number
            FROM (
                SELECT removed.digest, removed.revoked_at IS NOT NULL
                    OR coalesce(least(removed.expires_at, removed.retire_at) <= at, false) AS is_dead
                FROM removed WHERE octet_length(removed.digest) = 32
            ) AS judged
        ) AS numbered
        GROUP BY numbered.is_dead, numbered.number / CASE WHEN numbered.is_dead THEN 60 ELSE 1 END
    ) AS grouped
    ON CONFLICT (xid, digest) DO UPDATE
        SET removed_too = coalesce(logged.removed_too, ''::bytea) || excluded.removed_too
    WHERE excluded.removed_too IS NOT NULL;
    RETURN NULL;
END
$body$
$function$, '@.', space || '.');
END
$install$;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (14, 7);

COMMIT;
