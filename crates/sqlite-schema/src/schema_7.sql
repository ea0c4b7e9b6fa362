-- Version 7 of the keys of tower-api-key: which keys changed, in the order of the commits, for copies of
-- the keys in the memory of other processes.
--
-- A writer holds the lock of the file from its first write to its commit, so the order of seq is that of
-- the commits. The log says which key changed, and the table of keys says how it is now. The newest row
-- is never removed, so that no seq is given out twice.
--
-- The token is random: two files that have the same one at the same seq have the same history up to
-- there, whatever was copied, restored or moved meanwhile. The first row is that of all keys from before
-- this version.
CREATE TABLE api_key_changes (
    seq    INTEGER PRIMARY KEY,
    token  INTEGER NOT NULL,
    digest BLOB
) STRICT;

INSERT INTO api_key_changes (seq, token) VALUES (1, random());

CREATE TRIGGER api_key_changes_stay_as_they_are BEFORE UPDATE ON api_key_changes
BEGIN
    SELECT RAISE(ABORT, 'api_key_changes: a change stays as it is');
END;

-- A process that has not read for long begins anew if what it would read next is gone.
CREATE TRIGGER api_key_changes_stay_a_while BEFORE DELETE ON api_key_changes
WHEN OLD.seq > (SELECT max(seq) FROM api_key_changes) - 100000
BEGIN
    SELECT RAISE(ABORT, 'api_key_changes: the newest 100000 changes stay');
END;

CREATE TRIGGER api_keys_note_new_keys AFTER INSERT ON api_keys
BEGIN
    INSERT INTO api_key_changes (token, digest) VALUES (random(), NEW.digest);
END;

-- Everything but a last use raises the version, except a revocation at the end of its column.
CREATE TRIGGER api_keys_note_their_changes AFTER UPDATE OF version, revoked_at ON api_keys
WHEN NEW.version IS NOT OLD.version OR NEW.revoked_at IS NOT OLD.revoked_at
BEGIN
    INSERT INTO api_key_changes (token, digest) VALUES (random(), NEW.digest);
END;

-- SQLite calls it for each key also if a statement removes all of them.
CREATE TRIGGER api_keys_note_removed_keys AFTER DELETE ON api_keys
BEGIN
    INSERT INTO api_key_changes (token, digest) VALUES (random(), OLD.digest);
END;

-- The staleness of all copies, in milliseconds: none accepts a key later than this after the key's
-- revocation. The longest former one of the last twenty minutes may still be
-- in use: a copy goes by it for ten, and the rest is for clocks that differ and commits that are slow.
CREATE TABLE api_key_feed (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    staleness_ms INTEGER NOT NULL CHECK (staleness_ms BETWEEN 100 AND 600000),
    former_ms    INTEGER NOT NULL CHECK (former_ms BETWEEN 100 AND 600000),
    changed_at   INTEGER NOT NULL
) STRICT;

INSERT INTO api_key_feed (one, staleness_ms, former_ms, changed_at) VALUES (1, 1000, 1000, 0);

CREATE TRIGGER api_key_feed_stays BEFORE DELETE ON api_key_feed
BEGIN
    SELECT RAISE(ABORT, 'api_key_feed: its row stays');
END;

CREATE TRIGGER api_key_feed_keeps_the_former AFTER UPDATE OF staleness_ms ON api_key_feed
WHEN NEW.staleness_ms IS NOT OLD.staleness_ms
BEGIN
    UPDATE api_key_feed
    SET former_ms = CASE WHEN unixepoch() - OLD.changed_at > 1200 THEN OLD.staleness_ms
                         ELSE max(OLD.former_ms, OLD.staleness_ms) END,
        changed_at = unixepoch();
END;
