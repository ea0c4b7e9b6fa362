-- The tables of tower-api-key's PostgresStore, version 4: what lists need.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0004_listing.sql
-- It is one transaction, and fails where it was applied before. It writes the table anew, for the new
-- column, and locks it meanwhile: with a million keys, that is some ten seconds. No other column
-- changes.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- The day of the last use, or of the issue. A column of its own and no expression, so that last uses
-- change no column that an index has, but for the first of a day: Postgres then leaves the indexes
-- alone (HOT).
ALTER TABLE tower_api_keys ADD COLUMN used_on bigint
    GENERATED ALWAYS AS (coalesce(last_used_at, issued_at) / 86400) STORED;

CREATE INDEX tower_api_keys_by_use ON tower_api_keys (realm, used_on) WHERE revoked_at IS NULL;

-- How a key ends: by its expiry or not at all (0), by its expiry before the end of its grace period
-- (1), by the end of its grace period (2), or it was revoked (3). It takes the place of
-- tower_api_keys_by_end: purges read it too.
CREATE INDEX tower_api_keys_by_fate ON tower_api_keys (
    realm,
    (CASE WHEN revoked_at IS NOT NULL THEN 3 WHEN retire_at IS NULL THEN 0
          WHEN retire_at <= coalesce(expires_at, retire_at) THEN 2 ELSE 1 END),
    (coalesce(revoked_at, least(expires_at, retire_at), 9223372036854775807))
);
DROP INDEX tower_api_keys_by_end;

CREATE INDEX tower_api_keys_by_issue ON tower_api_keys (realm, issued_at, id);

-- Keys that begin after their issue are few.
CREATE INDEX tower_api_keys_by_beginning ON tower_api_keys (realm, not_before)
    WHERE not_before > issued_at;

CREATE INDEX tower_api_keys_by_scope ON tower_api_keys USING gin (string_to_array(scopes, ' '));

INSERT INTO tower_api_key_migrations (version) VALUES (4);

COMMIT;
