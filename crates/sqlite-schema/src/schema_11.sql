-- Version 11 of the keys of tower-api-key: what keys were used for, as far as rings track it.
--
-- One row for a key, if anything is known: the scopes that requests needed, and the networks that they came from,
-- both as sorted text, of a bounded length. Times are seconds since the Unix epoch. No verdict reads it. It is removed
-- with the key.
CREATE TABLE api_key_usage (
    realm            TEXT NOT NULL,
    key_id           TEXT NOT NULL,
    scopes           TEXT,
    scopes_first     INTEGER,
    scopes_last      INTEGER,
    networks         TEXT,
    networks_first   INTEGER,
    networks_further INTEGER,
    PRIMARY KEY (realm, key_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER api_keys_take_their_usage_along AFTER DELETE ON api_keys
BEGIN
    DELETE FROM api_key_usage WHERE realm = OLD.realm AND key_id = OLD.id;
END;
