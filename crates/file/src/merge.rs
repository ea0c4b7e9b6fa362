//! The effect of a changed file on the keys that are held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tower_api_key::store::{Change, Write};
use tower_api_key::{Gain, KeyId, KeyRecord, RevocationReason, Timestamp};

use super::entry::Entry;
use super::failure::Problem;

/// Every key that ever was in the file, by its digest.
pub(super) type Held = BTreeMap<[u8; 32], Arc<KeyRecord>>;

/// Refuses a file in which two keys have the same digest or id.
pub(super) fn distinct(entries: &[Entry]) -> Result<(), Problem> {
    let (mut digests, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        let (id, digest) = (entry.record.id(), entry.record.digest().as_bytes());
        if !digests.insert(digest) {
            let text = format!("digest: another key of this file has the same one (id {id})");
            return Err(Problem::new(entry.line, text));
        }
        if !ids.insert(id) {
            let text = format!("id: another key of this file has {id} too");
            return Err(Problem::new(entry.line, text));
        }
    }
    Ok(())
}

/// The change from the keys that are held to those of the file, by the rules of the lifecycle: a
/// secret's authority only shrinks, and a dead key stays dead.
pub(super) fn change(held: &Held, entries: &[Entry], now: Timestamp) -> Result<Change, Problem> {
    let ids: BTreeSet<KeyId> = held.values().map(|record| record.id()).collect();
    let mut writes = Vec::new();
    let mut kept = BTreeSet::new();
    for entry in entries {
        let (line, new) = (entry.line, &entry.record);
        let digest = new.digest().as_bytes();
        let Some(old) = held.get(digest) else {
            if ids.contains(&new.id()) {
                let text = format!(
                    "id: {} is the id of an earlier key; give the new key another id",
                    new.id()
                );
                return Err(Problem::new(line, text));
            }
            writes.push(Write::new(new.clone()));
            continue;
        };
        kept.insert(*digest);
        let write = Write::next(old, |parts| {
            // A file holds no time of issue.
            let issued_at = parts.issued_at;
            *parts = new.to_parts();
            parts.issued_at = issued_at;
        });
        if let Some(gain) = gain(old, &write.record) {
            let text = format!(
                "{gain} (id {}): an edit cannot give a key more authority; issue a new key, and \
                 put its digest here",
                old.id()
            );
            return Err(Problem::new(line, text));
        }
        if differs(old, &write.record) {
            writes.push(write);
        }
    }
    let gone = held
        .iter()
        .filter(|(digest, old)| !kept.contains(*digest) && old.revocation().is_none());
    for (_, old) in gone {
        writes.push(Write::revoked(old, RevocationReason::Unspecified, now));
    }
    Ok(Change::new(writes))
}

/// What the new record has more than the old one, in the words of a file.
fn gain(old: &KeyRecord, new: &KeyRecord) -> Option<&'static str> {
    let Some(gain) = new.gain_over(old) else {
        // No authority to this crate, but perhaps to the application.
        let is_same = new.metadata() == old.metadata();
        return (!is_same).then_some("metadata: this key had other metadata before");
    };
    Some(match gain {
        Gain::Id => "id: this key had another one before",
        Gain::Realm => "realm: this key had another one before",
        Gain::Subject => "subject: this key had another one before",
        Gain::Revocation => "digest: this key was removed from the file before, and is revoked",
        Gain::Scopes => "scopes: this key did not have all of them before",
        Gain::Caveats => "caveats: this key had more of them before",
        Gain::NotBefore => "not_before: this key had a later one before",
        Gain::ExpiresAt => "expires_at: this key had an earlier one before",
        _ => "digest: this key had another one before",
    })
}

fn differs(old: &KeyRecord, new: &KeyRecord) -> bool {
    let mut parts = new.to_parts();
    parts.version = old.version();
    KeyRecord::from(parts) != *old
}
