-- Version 4 of the keys of tower-api-key: how a key begins, and indexes that hold all that a list asks.
--
-- Triggers and no constraint: as in version 2, nothing that a row holds keeps it from being revoked.

-- No prefix: imported, or issued before this version. SQLite would else look at every row, and refuse a
-- file with one that breaks a constraint: such a key can be revoked, and has to be.
PRAGMA ignore_check_constraints = ON;
ALTER TABLE api_keys ADD COLUMN prefix TEXT;
PRAGMA ignore_check_constraints = OFF;

CREATE TRIGGER api_keys_have_a_prefix BEFORE INSERT ON api_keys
WHEN NEW.prefix IS NOT NULL
    AND (length(CAST(NEW.prefix AS BLOB)) NOT BETWEEN 1 AND 20 OR instr(NEW.prefix, char(0))
        OR NEW.prefix GLOB '*[^a-z0-9_]*' OR NEW.prefix NOT GLOB '[a-z]*' OR NEW.prefix GLOB '*_')
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the prefix cannot be read');
END;

CREATE TRIGGER api_keys_keep_their_prefix BEFORE UPDATE OF prefix ON api_keys
WHEN NEW.prefix IS NOT OLD.prefix
BEGIN
    SELECT RAISE(ABORT, 'api_keys: prefix never changes');
END;

-- How keys end, in the order of revocation, retirement and expiry; purges read it too. The columns that
-- follow are those by which a list is in order: it then reads no row of the table that it does not show.
-- SQLite reads the row all the same if an expression or a generated column is in the index, so neither is.
DROP INDEX api_keys_by_fate;
CREATE INDEX api_keys_by_end ON api_keys (
    realm, revoked_at, retire_at, expires_at, id, issued_at, not_before);
ALTER TABLE api_keys DROP COLUMN ended_at;

DROP INDEX api_keys_by_use;
CREATE INDEX api_keys_by_use ON api_keys (
    realm, revoked_at, last_used_at, issued_at, id, expires_at, retire_at);

DROP INDEX api_keys_by_scopes;
CREATE INDEX api_keys_by_scopes ON api_keys (realm, scopes, id, issued_at);
