-- Version 9 of the keys of tower-api-key: the history of keys, who changed which key, when and how.
--
-- Triggers write an entry for each change of a key, in its commit, by whatever program. It holds no digest, no
-- label and no metadata. It outlives the key. Nothing of it is updated, or removed but by
-- SqliteStore::forget_history.
--
-- Times are seconds since the Unix epoch. The token is random, so that an entry has one name wherever its file
-- is copied to. by_hand: no store of this crate has sent the statement.
CREATE TABLE api_key_history (
    seq     INTEGER PRIMARY KEY,
    token   BLOB    NOT NULL,
    at      INTEGER NOT NULL,
    realm   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    key_id  TEXT,
    subject TEXT,
    actor   TEXT,
    by_hand INTEGER NOT NULL,
    before  TEXT,
    after   TEXT
) STRICT;

CREATE INDEX api_key_history_by_time ON api_key_history (realm, at, seq);
CREATE INDEX api_key_history_by_key ON api_key_history (realm, key_id, at, seq);
CREATE INDEX api_key_history_by_subject ON api_key_history (realm, subject, at, seq);

-- One row: whose changes the present transaction makes. A store of this crate sets it after the transaction has
-- begun, and back before it ends. So other programs find it empty.
CREATE TABLE api_key_acting (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    by_store      INTEGER NOT NULL,
    actor         TEXT,
    forget_before INTEGER
) STRICT;

INSERT INTO api_key_acting (one, by_store) VALUES (1, 0);

CREATE TRIGGER api_key_acting_stays BEFORE DELETE ON api_key_acting
BEGIN
    SELECT RAISE(ABORT, 'api_key_acting: its row stays');
END;

CREATE TRIGGER api_key_history_stays_as_it_is BEFORE UPDATE ON api_key_history
BEGIN
    SELECT RAISE(ABORT, 'api_key_history: an entry stays as it is');
END;

CREATE TRIGGER api_key_history_stays BEFORE DELETE ON api_key_history
WHEN NOT EXISTS (SELECT 1 FROM api_key_acting WHERE OLD.at < forget_before)
BEGIN
    SELECT RAISE(ABORT, 'api_key_history: an entry stays until it is forgotten by a call of the store');
END;

-- REPLACE would else remove an entry.
CREATE TRIGGER api_key_history_is_not_replaced BEFORE INSERT ON api_key_history
WHEN EXISTS (SELECT 1 FROM api_key_history WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'api_key_history: an entry stays as it is');
END;

CREATE TRIGGER api_keys_note_in_history_new_keys AFTER INSERT ON api_keys
BEGIN
    INSERT INTO api_key_history (token, at, realm, action, key_id, subject, actor, by_hand, after)
    SELECT randomblob(12), unixepoch(), NEW.realm, 'added', NEW.id, NEW.subject, (SELECT actor FROM api_key_acting),
        coalesce((SELECT NOT by_store FROM api_key_acting), 1),
        json_object('scopes', NEW.scopes, 'caveats', NEW.caveats, 'issued_at', NEW.issued_at,
            'not_before', NEW.not_before, 'expires_at', NEW.expires_at, 'retire_at', NEW.retire_at,
            'lineage', NEW.lineage, 'generation', NEW.generation, 'version', NEW.version,
            'revoked_at', NEW.revoked_at, 'revocation_reason', NEW.revocation_reason,
            'prefix', NEW.prefix, 'pepper_version', NEW.pepper_version);
END;

-- Every column but that of the last use. The fields are those that have changed. Of a label and of metadata, an
-- entry says only that.
CREATE TRIGGER api_keys_note_in_history_changes AFTER UPDATE ON api_keys
WHEN OLD.version IS NOT NEW.version OR OLD.revoked_at IS NOT NEW.revoked_at
    OR OLD.revocation_reason IS NOT NEW.revocation_reason OR OLD.scopes IS NOT NEW.scopes
    OR OLD.caveats IS NOT NEW.caveats OR OLD.expires_at IS NOT NEW.expires_at
    OR OLD.retire_at IS NOT NEW.retire_at OR OLD.label IS NOT NEW.label OR OLD.metadata IS NOT NEW.metadata
BEGIN
    INSERT INTO api_key_history (token, at, realm, action, key_id, subject, actor, by_hand, before, after)
    SELECT randomblob(12), unixepoch(), OLD.realm, 'changed', OLD.id, OLD.subject, (SELECT actor FROM api_key_acting),
        coalesce((SELECT NOT by_store FROM api_key_acting), 1),
        (SELECT json_group_object(field, old) FROM (
            SELECT 'scopes' AS field, OLD.scopes AS old, NEW.scopes AS new
            UNION ALL SELECT 'caveats', OLD.caveats, NEW.caveats
            UNION ALL SELECT 'expires_at', OLD.expires_at, NEW.expires_at
            UNION ALL SELECT 'retire_at', OLD.retire_at, NEW.retire_at
            UNION ALL SELECT 'version', OLD.version, NEW.version
            UNION ALL SELECT 'revoked_at', OLD.revoked_at, NEW.revoked_at
            UNION ALL SELECT 'revocation_reason', OLD.revocation_reason, NEW.revocation_reason
        ) WHERE old IS NOT new),
        (SELECT json_group_object(field, new) FROM (
            SELECT 'scopes' AS field, OLD.scopes AS old, NEW.scopes AS new
            UNION ALL SELECT 'caveats', OLD.caveats, NEW.caveats
            UNION ALL SELECT 'expires_at', OLD.expires_at, NEW.expires_at
            UNION ALL SELECT 'retire_at', OLD.retire_at, NEW.retire_at
            UNION ALL SELECT 'version', OLD.version, NEW.version
            UNION ALL SELECT 'revoked_at', OLD.revoked_at, NEW.revoked_at
            UNION ALL SELECT 'revocation_reason', OLD.revocation_reason, NEW.revocation_reason
            UNION ALL SELECT 'label', 'as before', CASE WHEN OLD.label IS NEW.label THEN 'as before' ELSE 'changed' END
            UNION ALL SELECT 'metadata', 'as before', CASE WHEN OLD.metadata IS NEW.metadata THEN 'as before' ELSE 'changed' END
        ) WHERE old IS NOT new);
END;

-- SQLite calls it for each key also if a statement removes all of them.
CREATE TRIGGER api_keys_note_in_history_removed_keys AFTER DELETE ON api_keys
BEGIN
    INSERT INTO api_key_history (token, at, realm, action, key_id, subject, actor, by_hand, before)
    SELECT randomblob(12), unixepoch(), OLD.realm, 'removed', OLD.id, OLD.subject, (SELECT actor FROM api_key_acting),
        coalesce((SELECT NOT by_store FROM api_key_acting), 1),
        json_object('scopes', OLD.scopes, 'caveats', OLD.caveats, 'issued_at', OLD.issued_at,
            'not_before', OLD.not_before, 'expires_at', OLD.expires_at, 'retire_at', OLD.retire_at,
            'lineage', OLD.lineage, 'generation', OLD.generation, 'version', OLD.version,
            'revoked_at', OLD.revoked_at, 'revocation_reason', OLD.revocation_reason,
            'prefix', OLD.prefix, 'pepper_version', OLD.pepper_version);
END;
