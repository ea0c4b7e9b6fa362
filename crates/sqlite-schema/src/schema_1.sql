-- Version 1 of the keys of tower-api-key.
--
-- The look-up of a request is one descent in one tree: the table itself, in the order of the digests.
CREATE TABLE api_keys (
    id                TEXT    NOT NULL UNIQUE
                              CHECK (length(id) = 12 AND id NOT GLOB '*[^0-9A-Za-z]*'),
    realm             TEXT    NOT NULL CHECK (length(realm) BETWEEN 1 AND 64),
    digest            BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    pepper_version    INTEGER CHECK (pepper_version BETWEEN 0 AND 4294967295),
    subject           TEXT    NOT NULL CHECK (length(CAST(subject AS BLOB)) BETWEEN 1 AND 256),
    -- Sorted, separated by single spaces; of the characters that RFC 6749, section 3.3, allows.
    scopes            TEXT    NOT NULL
                              CHECK (scopes NOT GLOB '*[^]!#-[^-~ ]*' AND scopes NOT GLOB '*  *'
                                     AND scopes = trim(scopes)),
    -- Times are seconds since the Unix epoch.
    issued_at         INTEGER NOT NULL CHECK (issued_at >= 0),
    not_before        INTEGER NOT NULL CHECK (not_before >= 0),
    expires_at        INTEGER CHECK (expires_at >= 0),
    retire_at         INTEGER CHECK (retire_at >= 0),
    lineage           TEXT    NOT NULL
                              CHECK (length(lineage) = 12 AND lineage NOT GLOB '*[^0-9A-Za-z]*'),
    generation        INTEGER NOT NULL CHECK (generation BETWEEN 0 AND 4294967295),
    version           INTEGER NOT NULL CHECK (version >= 1),
    revoked_at        INTEGER CHECK (revoked_at >= 0),
    revocation_reason TEXT    CHECK (revocation_reason IN ('unspecified', 'key_compromise',
                                     'affiliation_changed', 'superseded',
                                     'cessation_of_operation', 'privilege_withdrawn')),
    label             TEXT,
    metadata          TEXT    NOT NULL CHECK (json_valid(metadata)
                                              AND json_type(metadata) = 'object'),
    last_used_at      INTEGER CHECK (last_used_at >= 0),
    -- The revocation, else the earlier of expiry and retirement.
    ended_at          INTEGER AS (coalesce(revoked_at, min(coalesce(expires_at, retire_at),
                                                           coalesce(retire_at, expires_at)))),
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_lineage ON api_keys (lineage, id);
CREATE INDEX api_keys_by_subject ON api_keys (realm, subject, id);
CREATE INDEX api_keys_by_end ON api_keys (realm, ended_at) WHERE ended_at IS NOT NULL;

-- What follows holds against statements by hand too: a key only ever shrinks.

-- REPLACE would else remove a key and put a wider one in its place.
CREATE TRIGGER api_keys_are_not_replaced BEFORE INSERT ON api_keys
WHEN EXISTS (SELECT 1 FROM api_keys WHERE digest = NEW.digest OR id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the id or the digest is taken');
END;

CREATE TRIGGER api_keys_keep_their_identity BEFORE UPDATE ON api_keys
WHEN NEW.id IS NOT OLD.id OR NEW.realm IS NOT OLD.realm OR NEW.digest IS NOT OLD.digest
    OR NEW.pepper_version IS NOT OLD.pepper_version OR NEW.subject IS NOT OLD.subject
    OR NEW.issued_at IS NOT OLD.issued_at OR NEW.not_before IS NOT OLD.not_before
    OR NEW.lineage IS NOT OLD.lineage OR NEW.generation IS NOT OLD.generation
BEGIN
    SELECT RAISE(ABORT, 'api_keys: id, realm, digest, pepper_version, subject, issued_at, not_before, lineage and generation never change');
END;

CREATE TRIGGER api_keys_stay_revoked BEFORE UPDATE ON api_keys
WHEN OLD.revoked_at IS NOT NULL
    AND (NEW.revoked_at IS NOT OLD.revoked_at
         OR NEW.revocation_reason IS NOT OLD.revocation_reason)
BEGIN
    SELECT RAISE(ABORT, 'api_keys: a revocation is for good');
END;

CREATE TRIGGER api_keys_expire_no_later BEFORE UPDATE ON api_keys
WHEN OLD.expires_at IS NOT NULL
    AND (NEW.expires_at IS NULL OR NEW.expires_at > OLD.expires_at)
BEGIN
    SELECT RAISE(ABORT, 'api_keys: expires_at never moves later');
END;

CREATE TRIGGER api_keys_retire_no_later BEFORE UPDATE ON api_keys
WHEN OLD.retire_at IS NOT NULL
    AND (NEW.retire_at IS NULL OR NEW.retire_at > OLD.retire_at)
BEGIN
    SELECT RAISE(ABORT, 'api_keys: retire_at never moves later');
END;

-- A scope holds no quote and no backslash, so the texts are JSON as they are.
CREATE TRIGGER api_keys_gain_no_scope BEFORE UPDATE ON api_keys
WHEN NEW.scopes IS NOT OLD.scopes AND NEW.scopes IS NOT ''
    AND (NEW.scopes GLOB '*[^]!#-[^-~ ]*'
         OR EXISTS (
            SELECT value FROM json_each('["' || replace(NEW.scopes, ' ', '","') || '"]')
            EXCEPT
            SELECT value FROM json_each('["' || replace(OLD.scopes, ' ', '","') || '"]')))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: a key gains no scope');
END;

CREATE TRIGGER api_keys_count_their_changes BEFORE UPDATE ON api_keys
WHEN NEW.version < OLD.version
    OR (NEW.version = OLD.version
        AND (NEW.scopes IS NOT OLD.scopes OR NEW.expires_at IS NOT OLD.expires_at
             OR NEW.retire_at IS NOT OLD.retire_at OR NEW.revoked_at IS NOT OLD.revoked_at
             OR NEW.label IS NOT OLD.label OR NEW.metadata IS NOT OLD.metadata))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: a change raises the version');
END;

CREATE TRIGGER api_keys_are_used_forward BEFORE UPDATE ON api_keys
WHEN OLD.last_used_at IS NOT NULL
    AND (NEW.last_used_at IS NULL OR NEW.last_used_at < OLD.last_used_at)
BEGIN
    SELECT RAISE(ABORT, 'api_keys: last_used_at never moves back');
END;
