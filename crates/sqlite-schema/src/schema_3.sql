-- Version 3 of the keys of tower-api-key: what lists need, and texts that are UTF-8.

-- How a key ends: by its expiry or not at all (0), by its expiry before the end of its grace period
-- (1), by the end of its grace period (2), or it was revoked (3). It takes the place of
-- api_keys_by_end: purges read it too.
CREATE INDEX api_keys_by_fate ON api_keys (
    realm,
    (CASE WHEN revoked_at IS NOT NULL THEN 3 WHEN retire_at IS NULL THEN 0
          WHEN retire_at <= coalesce(expires_at, retire_at) THEN 2 ELSE 1 END),
    (coalesce(ended_at, 9223372036854775807)),
    id);
DROP INDEX api_keys_by_end;

CREATE INDEX api_keys_by_issue ON api_keys (realm, issued_at, id);

-- Days, so that a key that is used all day long moves once a day.
CREATE INDEX api_keys_by_use ON api_keys (realm, (coalesce(last_used_at, issued_at) / 86400), id)
    WHERE revoked_at IS NULL;

-- Keys that begin after their issue are few.
CREATE INDEX api_keys_by_beginning ON api_keys (realm, not_before, id) WHERE not_before > issued_at;

-- Keys by their scopes as a whole, and the texts of scopes by each scope in them: keys are many, and
-- the sets that they have are few.
CREATE INDEX api_keys_by_scopes ON api_keys (realm, scopes, id);

CREATE TABLE api_key_scope_sets (
    realm  TEXT NOT NULL,
    scope  TEXT NOT NULL,
    scopes TEXT NOT NULL,
    PRIMARY KEY (realm, scope, scopes)
) STRICT, WITHOUT ROWID;

-- A scope holds no quote and no backslash, so the texts are JSON as they are. Scopes that cannot be
-- read are in no set.
INSERT INTO api_key_scope_sets (realm, scope, scopes)
SELECT DISTINCT sets.realm, scope.value, sets.scopes
FROM (SELECT DISTINCT realm, scopes FROM api_keys) AS sets,
    json_each(CASE WHEN sets.scopes IS NOT '' AND sets.scopes NOT GLOB '*[^]!#-[^-~ ]*'
        THEN '["' || replace(sets.scopes, ' ', '","') || '"]' ELSE '[]' END) AS scope;

CREATE TRIGGER api_keys_note_their_scopes AFTER INSERT ON api_keys
WHEN NEW.scopes IS NOT '' AND NEW.scopes NOT GLOB '*[^]!#-[^-~ ]*'
BEGIN
    INSERT INTO api_key_scope_sets (realm, scope, scopes)
    SELECT DISTINCT NEW.realm, value, NEW.scopes
    FROM json_each('["' || replace(NEW.scopes, ' ', '","') || '"]')
    WHERE NOT EXISTS (SELECT 1 FROM api_key_scope_sets
        WHERE realm = NEW.realm AND scope = value AND scopes = NEW.scopes);
END;

CREATE TRIGGER api_keys_note_their_new_scopes AFTER UPDATE OF scopes ON api_keys
WHEN NEW.scopes IS NOT OLD.scopes AND NEW.scopes IS NOT ''
    AND NEW.scopes NOT GLOB '*[^]!#-[^-~ ]*'
BEGIN
    INSERT INTO api_key_scope_sets (realm, scope, scopes)
    SELECT DISTINCT NEW.realm, value, NEW.scopes
    FROM json_each('["' || replace(NEW.scopes, ' ', '","') || '"]')
    WHERE NOT EXISTS (SELECT 1 FROM api_key_scope_sets
        WHERE realm = NEW.realm AND scope = value AND scopes = NEW.scopes);
END;

CREATE TRIGGER api_keys_forget_their_old_scopes AFTER UPDATE OF scopes ON api_keys
WHEN NEW.scopes IS NOT OLD.scopes AND OLD.scopes IS NOT ''
    AND OLD.scopes NOT GLOB '*[^]!#-[^-~ ]*'
    AND NOT EXISTS (SELECT 1 FROM api_keys WHERE realm = OLD.realm AND scopes = OLD.scopes)
BEGIN
    DELETE FROM api_key_scope_sets WHERE realm = OLD.realm AND scopes = OLD.scopes
        AND scope IN (SELECT value FROM json_each('["' || replace(OLD.scopes, ' ', '","') || '"]'));
END;

CREATE TRIGGER api_keys_forget_their_scopes AFTER DELETE ON api_keys
WHEN OLD.scopes IS NOT '' AND OLD.scopes NOT GLOB '*[^]!#-[^-~ ]*'
    AND NOT EXISTS (SELECT 1 FROM api_keys WHERE realm = OLD.realm AND scopes = OLD.scopes)
BEGIN
    DELETE FROM api_key_scope_sets WHERE realm = OLD.realm AND scopes = OLD.scopes
        AND scope IN (SELECT value FROM json_each('["' || replace(OLD.scopes, ' ', '","') || '"]'));
END;

-- SQLite takes any bytes for a text. Each character is what its number is written as, but for U+FFFE
-- and U+FFFF, of which SQLite makes U+FFFD. Texts of ASCII need no look. What comes after U+0000
-- cannot be looked at; version 2 refuses it in the others.
CREATE TRIGGER api_keys_are_utf_8 BEFORE INSERT ON api_keys
WHEN instr(NEW.label, char(0))
    OR (NEW.subject || coalesce(NEW.label, '') || NEW.metadata
        GLOB '*[^' || char(1) || '-' || char(127) || ']*'
    AND EXISTS (
        SELECT 1
        FROM (SELECT NEW.subject || ' ' || coalesce(NEW.label, '') || ' ' || NEW.metadata AS text)
                AS texts,
            json_each('[0' || replace(hex(zeroblob(length(texts.text))), '00', ',0') || ']') AS place
        WHERE CAST(substr(texts.text, place.key, 1) AS BLOB)
                IS NOT CAST(char(unicode(substr(texts.text, place.key, 1))) AS BLOB)
            AND place.key > 0
            AND CAST(substr(texts.text, place.key, 1) AS BLOB) NOT IN (x'EFBFBE', x'EFBFBF')))
BEGIN
    SELECT RAISE(ABORT, 'api_keys: subject, label or metadata is not UTF-8, or has U+0000');
END;
