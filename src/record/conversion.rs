//! A record from its parts, and back.

use std::sync::Arc;

use super::{Flags, History, KeyRecord, KeyRecordParts, Origin};
use crate::access::label::Label;
use crate::key::IdText;
use crate::time::Timestamp;

impl KeyRecord {
    /// The fields, for a store to keep.
    pub fn to_parts(&self) -> KeyRecordParts {
        let history = self.history().into_owned();
        KeyRecordParts {
            id: self.id(),
            realm: self.origin.realm.clone(),
            digest: self.digest,
            pepper_version: self.origin.pepper_version,
            subject: self.subject.clone(),
            scopes: self.scopes.clone(),
            caveats: history.caveats,
            issued_at: history.issued_at,
            not_before: self.not_before,
            expires_at: history.expires_at,
            grace_ends_at: history.grace_ends_at,
            lineage: history.lineage.into(),
            generation: history.generation,
            version: history.version,
            revocation: history.revocation,
            label: self.label().cloned(),
            metadata: history.metadata,
            prefix: self.origin.prefix,
        }
    }
}

impl From<KeyRecordParts> for KeyRecord {
    fn from(parts: KeyRecordParts) -> Self {
        let valid_until = match parts.revocation {
            Some(_) => Timestamp::from_unix(0),
            None => [parts.expires_at, parts.grace_ends_at]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Timestamp::MAX),
        };
        let history = History {
            caveats: parts.caveats,
            lineage: parts.lineage.into(),
            generation: parts.generation,
            version: parts.version,
            issued_at: parts.issued_at,
            expires_at: parts.expires_at,
            grace_ends_at: parts.grace_ends_at,
            revocation: parts.revocation,
            metadata: parts.metadata,
        };
        let id = IdText::from(parts.id);
        let none = History::none(id, parts.not_before, valid_until);
        Self {
            digest: parts.digest,
            not_before: parts.not_before,
            valid_until,
            scopes: parts.scopes,
            origin: Arc::new(Origin {
                realm: parts.realm,
                prefix: parts.prefix,
                pepper_version: parts.pepper_version,
            }),
            history: (history != none).then(|| Box::new(history)),
            subject: parts.subject,
            flags: Flags::new(parts.label.is_some()),
            label: parts.label.unwrap_or(Label::placeholder()),
            id,
        }
    }
}

/// Records are shared: rings, pages and stores hand out and take them in this form.
impl From<KeyRecordParts> for Arc<KeyRecord> {
    fn from(parts: KeyRecordParts) -> Self {
        Self::new(parts.into())
    }
}
