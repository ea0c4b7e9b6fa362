-- The tables of tower-api-key's PostgresStore, version 11: which notices of its expiry a key has had.
--
-- `tower-api-key migrate` applies this file. By hand: psql -v ON_ERROR_STOP=1 -f 0011_expiry_notices.sql
-- It is one transaction, and fails where it was applied before. It writes no row. Writers of tower_api_keys wait until the
-- index is there, seconds for a million keys. Services of version 7 can go on: they send no notices.
--
-- A server needs no further grant: it claims a notice by an UPDATE of tower_api_keys.

BEGIN;

-- The lock that every migration takes: one at a time.
SELECT pg_advisory_xact_lock(8387794199273235065);

-- The narrowest step, in seconds before the expiry, whose notice was claimed. It is no field of the record: a claim
-- changes no version, and nothing of it is in the history or in the feed, whose triggers name their columns.
ALTER TABLE tower_api_keys ADD COLUMN noticed_step bigint;

-- The keys that can get a notice, those of each claim together, so that nothing is read of keys that are not due. The
-- number stands for no claim: no step is as wide.
CREATE INDEX tower_api_keys_by_notice ON tower_api_keys
    (realm, coalesce(noticed_step, 9223372036854775807), expires_at)
    WHERE revoked_at IS NULL AND retire_at IS NULL AND expires_at IS NOT NULL;

INSERT INTO tower_api_key_migrations (version, readable_from) VALUES (11, 7);

COMMIT;
