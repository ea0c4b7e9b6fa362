-- Version 8 of the keys of tower-api-key: how many keys a subject has, and descriptions that can be read.
--
-- Triggers and no constraint: as in version 2, nothing that a row holds keeps it from being revoked.

-- The keys of a subject that have not ended, counted without a look at the table. Lists do not use it: it is
-- for statements that say of revoked_at that it is NULL.
CREATE INDEX api_keys_by_holder ON api_keys (
    realm, subject, revoked_at, expires_at, retire_at, lineage) WHERE revoked_at IS NULL;

-- A limit on the keys of a subject counts them. Of a subject with many the number is kept here, so that the
-- next limit need not count: how many were not revoked and ended after counted_at. It may be too high, and
-- never is too low. A subject without a row is counted.
CREATE TABLE api_key_subjects (
    realm      TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    counted_at INTEGER NOT NULL,
    keys       INTEGER NOT NULL,
    PRIMARY KEY (realm, subject)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER api_keys_count_for_their_subject AFTER INSERT ON api_keys
WHEN NEW.revoked_at IS NULL
BEGIN
    UPDATE api_key_subjects SET keys = keys + 1 WHERE realm = NEW.realm AND subject = NEW.subject;
END;

-- Ends only move earlier, so a key ceases to count once.
CREATE TRIGGER api_keys_cease_to_count AFTER UPDATE OF revoked_at, expires_at, retire_at ON api_keys
WHEN OLD.revoked_at IS NULL
BEGIN
    UPDATE api_key_subjects SET keys = keys - 1
    WHERE realm = OLD.realm AND subject = OLD.subject
        AND coalesce(OLD.expires_at > counted_at, 1) AND coalesce(OLD.retire_at > counted_at, 1)
        AND (NEW.revoked_at IS NOT NULL
            OR NEW.expires_at <= counted_at OR NEW.retire_at <= counted_at);
END;

CREATE TRIGGER api_keys_cease_to_exist AFTER DELETE ON api_keys
WHEN OLD.revoked_at IS NULL
BEGIN
    UPDATE api_key_subjects SET keys = keys - 1
    WHERE realm = OLD.realm AND subject = OLD.subject
        AND coalesce(OLD.expires_at > counted_at, 1) AND coalesce(OLD.retire_at > counted_at, 1);
END;

-- The name of a subject without keys is not kept.
CREATE TRIGGER api_keys_forget_their_subject AFTER DELETE ON api_keys
WHEN NOT EXISTS (SELECT 1 FROM api_keys WHERE realm = OLD.realm AND subject = OLD.subject)
BEGIN
    DELETE FROM api_key_subjects WHERE realm = OLD.realm AND subject = OLD.subject;
END;

-- What Subject, Label and Metadata refuse beyond what the versions before do: what a terminal or a
-- spreadsheet obeys, what is too long, and an escaped U+0000.
CREATE TRIGGER api_keys_have_a_plain_subject BEFORE INSERT ON api_keys
WHEN NEW.subject GLOB '=*'
    OR NEW.subject GLOB '*[' || char(173) ||
        char(1536) || '-' || char(1541) || char(1564) || char(1757) || char(1807) ||
        char(2192) || '-' || char(2193) || char(2274) || char(6158) ||
        char(8203) || '-' || char(8207) || char(8232) || '-' || char(8238) ||
        char(8288) || '-' || char(8303) || char(65279) || char(65529) || '-' || char(65531) ||
        char(69821) || char(69837) || char(78896) || '-' || char(78911) ||
        char(113824) || '-' || char(113827) || char(119155) || '-' || char(119162) ||
        char(917505) || char(917536) || '-' || char(917631) || ']*'
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the subject cannot be read');
END;

CREATE TRIGGER api_keys_have_a_label BEFORE INSERT ON api_keys
WHEN length(CAST(NEW.label AS BLOB)) > 256 OR NEW.label GLOB '=*'
    OR NEW.label GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(173) ||
        char(1536) || '-' || char(1541) || char(1564) || char(1757) || char(1807) ||
        char(2192) || '-' || char(2193) || char(2274) || char(6158) ||
        char(8203) || '-' || char(8207) || char(8232) || '-' || char(8238) ||
        char(8288) || '-' || char(8303) || char(65279) || char(65529) || '-' || char(65531) ||
        char(69821) || char(69837) || char(78896) || '-' || char(78911) ||
        char(113824) || '-' || char(113827) || char(119155) || '-' || char(119162) ||
        char(917505) || char(917536) || '-' || char(917631) || ']*'
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the label cannot be read');
END;

CREATE TRIGGER api_keys_are_labelled BEFORE UPDATE OF label ON api_keys
WHEN NEW.label IS NOT OLD.label
    AND (length(CAST(NEW.label AS BLOB)) > 256 OR NEW.label GLOB '=*'
        OR NEW.label GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(173) ||
            char(1536) || '-' || char(1541) || char(1564) || char(1757) || char(1807) ||
            char(2192) || '-' || char(2193) || char(2274) || char(6158) ||
            char(8203) || '-' || char(8207) || char(8232) || '-' || char(8238) ||
            char(8288) || '-' || char(8303) || char(65279) || char(65529) || '-' || char(65531) ||
            char(69821) || char(69837) || char(78896) || '-' || char(78911) ||
            char(113824) || '-' || char(113827) || char(119155) || '-' || char(119162) ||
            char(917505) || char(917536) || '-' || char(917631) || ']*')
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the label cannot be read');
END;

CREATE TRIGGER api_keys_have_metadata BEFORE INSERT ON api_keys
WHEN replace(NEW.metadata, '\\', '') GLOB '*\u0000*'
    OR (SELECT sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB)))
        FROM json_each(CASE WHEN json_valid(NEW.metadata) THEN NEW.metadata ELSE '{}' END)) > 8192
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the metadata cannot be read');
END;

CREATE TRIGGER api_keys_are_described BEFORE UPDATE OF metadata ON api_keys
WHEN NEW.metadata IS NOT OLD.metadata
    AND (replace(NEW.metadata, '\\', '') GLOB '*\u0000*'
        OR (SELECT sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB)))
            FROM json_each(CASE WHEN json_valid(NEW.metadata) THEN NEW.metadata ELSE '{}' END)) > 8192)
BEGIN
    SELECT RAISE(ABORT, 'api_keys: the metadata cannot be read');
END;
