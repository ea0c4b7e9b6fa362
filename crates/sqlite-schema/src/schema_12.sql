-- Version 12 of the keys of tower-api-key: each notice of expiry that is claimed is an entry of the history.
--
-- The trigger writes it in the commit of the claim, so whatever ends a process leaves both or neither. Notices that were
-- claimed before have no entry. The step is in seconds before the expiry.
--
-- An entry stands for a notice that is due to somebody: the step is narrower than the one before, it began after the key
-- was issued, and the key is neither revoked nor replaced. By hand, a step of 0 ends the notices of a key without an entry.
CREATE TRIGGER api_keys_note_in_history_notices AFTER UPDATE OF noticed_step ON api_keys
WHEN NEW.noticed_step > 0 AND (OLD.noticed_step IS NULL OR NEW.noticed_step < OLD.noticed_step)
    AND NEW.revoked_at IS NULL AND NEW.retire_at IS NULL
    AND NEW.noticed_step < NEW.expires_at - NEW.issued_at
BEGIN
    INSERT INTO api_key_history (token, at, realm, action, key_id, subject, actor, by_hand, after)
    SELECT randomblob(12), unixepoch(), NEW.realm, 'expiry_noticed', NEW.id, NEW.subject,
        (SELECT actor FROM api_key_acting), coalesce((SELECT NOT by_store FROM api_key_acting), 1),
        json_object('notice_step', NEW.noticed_step, 'expires_at', NEW.expires_at);
END;
