-- Version 10 of the keys of tower-api-key: which notices of its expiry a key has had.
--
-- The narrowest step, in seconds before the expiry, whose notice was claimed. It is no field of the record: a claim
-- changes no version, and nothing of it is in the history or in the log of changes. No constraint: nothing that a
-- row holds keeps it from being revoked.

-- See version 4 for why checks are ignored meanwhile.
PRAGMA ignore_check_constraints = ON;
ALTER TABLE api_keys ADD COLUMN noticed_step INTEGER;
PRAGMA ignore_check_constraints = OFF;

-- The keys that can get a notice, those of each claim together, so that nothing is read of keys that are not due. The
-- number stands for no claim: no step is as wide.
CREATE INDEX api_keys_by_notice ON api_keys (
    realm, coalesce(noticed_step, 9223372036854775807), expires_at)
    WHERE revoked_at IS NULL AND retire_at IS NULL AND expires_at IS NOT NULL;
