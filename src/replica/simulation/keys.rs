//! Keys of a run, and what may happen to one.

use std::sync::Arc;

use crate::lifecycle::Write;
use crate::record::{KeyRecord, KeyRecordParts, RevocationReason};
use crate::{KeyDigest, KeyId, Realm, Timestamp};

pub(super) const START: Timestamp = Timestamp::from_unix(1_800_000_000);

/// A key by its number.
pub(super) type Key = usize;

pub(super) fn digest(key: Key) -> KeyDigest {
    KeyDigest::sha256(&key.to_be_bytes())
}

pub(super) fn realm() -> Realm {
    Realm::new("orders").unwrap()
}

pub(super) fn issued(key: Key) -> Arc<KeyRecord> {
    let mut hash = [0; 16];
    hash[8..].copy_from_slice(&key.to_be_bytes());
    let (id, subject) = (KeyId::from_hash(hash), "alice".parse().unwrap());
    let mut parts = KeyRecordParts::new(id, realm(), digest(key), subject, START);
    parts.scopes = "admin read write".parse().unwrap();
    parts.expires_at = None;
    Arc::new(parts.into())
}

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Issue,
    /// Another key in its place, and this one ends later.
    Rotate,
    /// Another key in its place, and this one is dead.
    Regrant,
    Narrow,
    Describe,
    Revoke,
    /// By hand.
    Delete,
}

/// The next version of a record, and whether another key comes in its place.
pub(super) fn done(deed: Deed, record: &Arc<KeyRecord>) -> (Option<Arc<KeyRecord>>, bool) {
    let edit = |edit: &dyn Fn(&mut KeyRecordParts)| Some(Write::next(record, edit).record);
    let revoked = |reason| Some(Write::revoked(record, reason, START).record);
    match deed {
        Deed::Issue => (Some(Arc::clone(record)), true),
        Deed::Rotate => {
            let end = Timestamp::from_unix(2_000_000_000);
            let retire = move |parts: &mut KeyRecordParts| {
                parts.grace_ends_at = Some(parts.grace_ends_at.map_or(end, |at| at.min(end)));
            };
            (edit(&retire), true)
        }
        Deed::Regrant => (revoked(RevocationReason::Superseded), true),
        Deed::Narrow => {
            let fewer = if record.scopes().len() > 2 {
                "read write"
            } else {
                "read"
            };
            let narrow = move |parts: &mut KeyRecordParts| {
                parts.scopes = parts.scopes.intersection(&fewer.parse().unwrap());
            };
            (edit(&narrow), false)
        }
        Deed::Describe => (edit(&|_| {}), false),
        Deed::Revoke => (revoked(RevocationReason::KeyCompromise), false),
        Deed::Delete => (None, false),
    }
}
