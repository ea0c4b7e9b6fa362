//! The reference model: the required result of each operation, from the text of the threat model
//! and of the crate's documentation. It shares data types with the crate, and no rule.

use std::collections::{BTreeMap, BTreeSet};

use tower_api_key::{
    Caveats, KeyId, KeyRecordParts, KeyState, Metadata, Realm, Revocation, RevocationReason,
    ScopeSet, Timestamp,
};

use super::caveats::both;
use super::rings::RINGS;
use super::sets::Taken;
use crate::support::START;

/// A key that existed, and its record while it is kept.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) parts: KeyRecordParts,
    pub(super) store: usize,
    pub(super) plaintext: String,
    pub(super) purged: bool,
}

#[derive(Debug)]
pub(super) struct Reference {
    /// In the order of their birth.
    pub(super) keys: Vec<Key>,
    pub(super) now: u64,
    /// The elapsed time, independent of the clock.
    pub(super) elapsed: u64,
    /// For each ring the latest end for which it refused a key: it compares no end with an earlier time.
    pub(super) horizons: [u64; RINGS.len()],
    /// The keys that a ring refused because they had ended.
    pub(super) ended: BTreeSet<(usize, KeyId)>,
    pub(super) unrecorded: [BTreeMap<KeyId, u64>; RINGS.len()],
    pub(super) last_uses: BTreeMap<KeyId, u64>,
}

/// A key that is about to be created, without its id and digest.
#[derive(Debug, Clone)]
pub(super) struct Birth {
    pub(super) ring: usize,
    pub(super) subject: String,
    pub(super) scopes: ScopeSet,
    pub(super) caveats: Caveats,
    pub(super) not_before: u64,
    pub(super) expires_at: Option<u64>,
    pub(super) label: Option<String>,
    pub(super) metadata: Metadata,
    /// Its lineage and generation, unless it begins one.
    pub(super) descent: Option<(KeyId, u32)>,
}

/// A key that replaces another.
#[derive(Debug, Clone)]
pub(super) struct Succession {
    pub(super) old: usize,
    pub(super) birth: Birth,
    /// The end of the old key's grace period. If there is none, the old key is dead at once.
    pub(super) grace_end: Option<u64>,
}

/// The time when a key ends by itself, or the end of time if it does not.
pub(super) fn end(parts: &KeyRecordParts) -> u64 {
    let ends = [parts.expires_at, parts.grace_ends_at];
    ends.into_iter()
        .flatten()
        .min()
        .map_or(u64::MAX, Timestamp::as_unix)
}

impl Reference {
    pub(super) fn new() -> Self {
        Self {
            keys: Vec::new(),
            now: START.as_unix(),
            elapsed: 0,
            horizons: [0; RINGS.len()],
            ended: BTreeSet::new(),
            unrecorded: Default::default(),
            last_uses: BTreeMap::new(),
        }
    }

    /// The time with which a ring compares ends.
    pub(super) fn horizon(&self, ring: usize) -> u64 {
        self.now.max(self.horizons[ring])
    }

    /// The state of a key if ends are compared with the horizon.
    pub(super) fn state(&self, horizon: u64, parts: &KeyRecordParts) -> KeyState {
        let end = end(parts);
        if parts.revocation.is_some() {
            KeyState::Revoked
        } else if horizon >= end {
            match parts.grace_ends_at {
                Some(grace_ends_at) if grace_ends_at.as_unix() == end => KeyState::Replaced,
                _ => KeyState::Expired,
            }
        } else if self.now < parts.not_before.as_unix() {
            KeyState::NotYetValid
        } else {
            KeyState::Live
        }
    }

    /// Whether a ring knows a key at all.
    pub(super) fn knows(&self, ring: usize, key: usize) -> bool {
        let key = &self.keys[key];
        !key.purged
            && key.store == RINGS[ring].store
            && key.parts.realm.as_str() == RINGS[ring].realm
    }

    pub(super) fn by_id(&self, id: KeyId) -> Option<usize> {
        self.keys.iter().position(|key| key.parts.id == id)
    }

    /// The key that a ring finds by this digest.
    pub(super) fn by_digest(&self, ring: usize, digest: &[u8; 32]) -> Option<usize> {
        (0..self.keys.len())
            .find(|&key| self.knows(ring, key) && self.keys[key].parts.digest.as_bytes() == digest)
    }

    /// The keys of a lineage that a ring knows.
    pub(super) fn lineage(&self, ring: usize, lineage: KeyId) -> Vec<usize> {
        (0..self.keys.len())
            .filter(|&key| self.knows(ring, key) && self.keys[key].parts.lineage == lineage)
            .collect()
    }

    /// Whether another key of its lineage is still in its grace period.
    pub(super) fn has_predecessor_in_grace(&self, ring: usize, key: usize) -> bool {
        self.lineage(ring, self.keys[key].parts.lineage)
            .into_iter()
            .filter(|&other| other != key)
            .any(|other| {
                let state = self.state(self.horizon(ring), &self.keys[other].parts);
                matches!(state, KeyState::Live | KeyState::NotYetValid)
            })
    }

    /// Revokes those of the keys that are not revoked yet. Returns their number.
    pub(super) fn revoke(&mut self, keys: &[usize], reason: RevocationReason) -> usize {
        let at = Timestamp::from_unix(self.now);
        let mut count = 0;
        for &key in keys {
            let parts = &mut self.keys[key].parts;
            if parts.revocation.is_none() {
                parts.revocation = Some(Revocation::new(at, reason));
                parts.version += 1;
                count += 1;
            }
        }
        count
    }

    /// Returns the number of other keys that it ended, or `None` if it changed nothing.
    pub(super) fn narrow(&mut self, ring: usize, key: usize, taken: &Taken) -> Option<usize> {
        let mut others = self.lineage(ring, self.keys[key].parts.lineage);
        others.retain(|&other| other != key);
        let ended = self.revoke(&others, RevocationReason::PrivilegeWithdrawn);
        let parts = &mut self.keys[key].parts;
        let scopes = taken.scopes.as_ref().unwrap_or(&parts.scopes).clone();
        let caveats = both(&parts.caveats, &taken.caveats);
        if parts.scopes == scopes && parts.caveats == caveats && ended == 0 {
            return None;
        }
        parts.scopes = scopes;
        parts.caveats = caveats;
        parts.version += 1;
        Some(ended)
    }

    /// Ends the old key and all others of its lineage. The old key keeps any grace period of its own.
    pub(super) fn end_for(&mut self, from: usize, succession: &Succession) {
        let mut dying = self.lineage(from, self.keys[succession.old].parts.lineage);
        if let Some(grace_end) = succession.grace_end {
            dying.retain(|&other| other != succession.old);
            let parts = &mut self.keys[succession.old].parts;
            parts.grace_ends_at = Some(Timestamp::from_unix(grace_end));
            parts.version += 1;
        }
        self.revoke(&dying, RevocationReason::Superseded);
    }

    pub(super) fn bear(&mut self, birth: Birth, id: KeyId, plaintext: &str) {
        let spec = &RINGS[birth.ring];
        let (lineage, generation) = birth.descent.unwrap_or((id, 0));
        // An imported key does not contain its id.
        let is_minted = plaintext.starts_with(&format!("{}_{id}_", spec.prefix));
        let mut parts = KeyRecordParts::new(
            id,
            Realm::new(spec.realm).unwrap(),
            tower_api_key::KeyDigest::sha256(plaintext.as_bytes()),
            birth.subject.parse().unwrap(),
            Timestamp::from_unix(self.now),
        );
        parts.scopes = birth.scopes;
        parts.caveats = birth.caveats;
        parts.not_before = Timestamp::from_unix(birth.not_before);
        parts.expires_at = birth.expires_at.map(Timestamp::from_unix);
        parts.lineage = lineage;
        parts.generation = generation;
        parts.label = birth.label.map(|label| label.parse().unwrap());
        parts.metadata = birth.metadata;
        parts.prefix = is_minted.then(|| spec.prefix.parse().unwrap());
        self.keys.push(Key {
            parts,
            store: spec.store,
            plaintext: plaintext.to_owned(),
            purged: false,
        });
    }

    /// Forgets the keys that have been dead for longer than the ring's retention.
    pub(super) fn purge(&mut self, ring: usize) -> u64 {
        let Some(ended_by) = self.now.checked_sub(RINGS[ring].retention) else {
            return 0;
        };
        // A clock that fails reads the end of time.
        if self.now == u64::MAX {
            return 0;
        }
        let mut count = 0;
        for key in 0..self.keys.len() {
            let parts = &self.keys[key].parts;
            let never = parts.expires_at.is_none() && parts.grace_ends_at.is_none();
            let ended = match parts.revocation {
                Some(revocation) => revocation.at.as_unix() <= ended_by,
                None => !never && end(parts) <= ended_by,
            };
            if ended && self.knows(ring, key) {
                self.last_uses.remove(&self.keys[key].parts.id);
                self.keys[key].purged = true;
                count += 1;
            }
        }
        count
    }

    pub(super) fn record_uses(&mut self, ring: usize) {
        for (id, at) in std::mem::take(&mut self.unrecorded[ring]) {
            if self.by_id(id).is_some_and(|key| self.knows(ring, key)) {
                let last = self.last_uses.entry(id).or_default();
                *last = at.max(*last);
            }
        }
    }
}
