//! The effect of a changed file on the keys that are held.

use std::collections::{BTreeMap, BTreeSet};

use tower_api_key::store::{Change, Write};
use tower_api_key::{KeyId, KeyRecord, RevocationReason, Timestamp};

use super::entry::Entry;
use super::failure::Problem;

/// Every key that ever was in the file, by its digest.
pub(super) type Held = BTreeMap<[u8; 32], KeyRecord>;

/// Refuses a file in which two keys have the same digest or id.
pub(super) fn distinct(entries: &[Entry]) -> Result<(), Problem> {
    let (mut digests, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        let (id, digest) = (entry.record.id(), entry.record.digest().as_bytes());
        if !digests.insert(digest) {
            let text = format!("digest: another key of this file has it too (id {id})");
            return Err(Problem::new(entry.line, text));
        }
        if !ids.insert(id) {
            let text = format!("id: another key of this file is {id} too");
            return Err(Problem::new(entry.line, text));
        }
    }
    Ok(())
}

/// The change from the keys that are held to those of the file, by the rules of the lifecycle: a
/// secret's authority only shrinks, and a dead key stays dead.
pub(super) fn change(held: &Held, entries: &[Entry], now: Timestamp) -> Result<Change, Problem> {
    let ids: BTreeSet<KeyId> = held.values().map(KeyRecord::id).collect();
    let mut writes = Vec::new();
    let mut kept = BTreeSet::new();
    for entry in entries {
        let (line, new) = (entry.line, &entry.record);
        let digest = new.digest().as_bytes();
        let Some(old) = held.get(digest) else {
            if ids.contains(&new.id()) {
                let text = format!(
                    "id: {} was another key before; give the new key an id of its own",
                    new.id()
                );
                return Err(Problem::new(line, text));
            }
            writes.push(Write::new(new.clone()));
            continue;
        };
        kept.insert(*digest);
        if let Some(gain) = gain(old, new) {
            let text = format!(
                "{gain} (id {}): the authority of a secret only shrinks; issue a new secret, and \
                 put its digest here",
                old.id()
            );
            return Err(Problem::new(line, text));
        }
        if differs(old, new) {
            writes.push(Write::next(old, |parts| {
                let new = new.to_parts();
                parts.scopes = new.scopes;
                parts.caveats = new.caveats;
                parts.not_before = new.not_before;
                parts.expires_at = new.expires_at;
                parts.label = new.label;
            }));
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

/// The field in which the new record has more than the old one, or differs from it.
fn gain(old: &KeyRecord, new: &KeyRecord) -> Option<&'static str> {
    let later = match (old.expires_at(), new.expires_at()) {
        (Some(old), Some(new)) => new > old,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if old.revocation().is_some() {
        Some("digest: this key was taken from the file, and is revoked")
    } else if new.id() != old.id() {
        Some("id: this key had another one")
    } else if new.realm() != old.realm() {
        Some("realm: this key was of another one")
    } else if new.subject() != old.subject() {
        Some("subject: this key was of another one")
    } else if new.metadata() != old.metadata() {
        Some("metadata: this key had other ones")
    } else if !new.scopes().is_subset(old.scopes()) {
        Some("scopes: this key had not all of them")
    } else if !new.caveats().is_superset(old.caveats()) {
        Some("caveats: this key had more of them")
    } else if new.not_before() < old.not_before() {
        Some("not_before: this key became valid later")
    } else if later {
        Some("expires_at: this key expired sooner")
    } else {
        None
    }
}

fn differs(old: &KeyRecord, new: &KeyRecord) -> bool {
    new.scopes() != old.scopes()
        || new.caveats() != old.caveats()
        || new.not_before() != old.not_before()
        || new.expires_at() != old.expires_at()
        || new.label() != old.label()
}
