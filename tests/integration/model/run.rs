//! One sequence, operation by operation, on the code and on the model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use proptest::prelude::*;
use tower_api_key::{Error, Issued, KeyId, KeyRecord, Realm};

use super::Check;
use super::ledger::Ledger;
use super::operations::{At, Target, Via};
use super::predict::Reasons;
use super::race::Raced;
use super::reference::{Birth, Reference};
use super::rings::{REALMS, RINGS, World};
use super::store::{Commit, Snapshot};
use super::verify::Begun;
use super::watching::Watching;

/// The number of each outcome of each operation.
pub(super) type Tally = BTreeMap<String, u64>;

pub(super) struct Run<'a> {
    pub(super) world: World,
    pub(super) reference: Reference,
    pub(super) ledger: Ledger,
    pub(super) begun: Vec<Begun>,
    pub(super) watches: Vec<Watching>,
    /// Every plaintext that existed, without its public part.
    secrets: BTreeSet<String>,
    /// The output since the last search for secrets.
    pub(super) seen: Vec<String>,
    /// A rival that waits for the next commit.
    pub(super) raced: Option<Raced>,
    /// The operation conflicted with another writer, and tried again.
    pub(super) conflicts: bool,
    tally: &'a mut Tally,
}

impl<'a> Run<'a> {
    pub(super) fn new(tally: &'a mut Tally) -> Self {
        Self {
            world: World::new(),
            reference: Reference::new(),
            ledger: Ledger::default(),
            begun: Vec::new(),
            watches: Vec::new(),
            secrets: BTreeSet::new(),
            seen: Vec::new(),
            raced: None,
            conflicts: false,
            tally,
        }
    }

    pub(super) fn count(&mut self, what: &str) {
        if let Some(count) = self.tally.get_mut(what) {
            *count += 1;
        } else {
            self.tally.insert(what.to_owned(), 1);
        }
    }

    /// The key of an operation, if it exists, its id, and the ring.
    pub(super) fn resolve(&self, at: At) -> (Option<usize>, KeyId, usize) {
        let key = self.target(at.key);
        let id = key.map_or_else(
            || "000000000000".parse().unwrap(),
            |key| self.reference.keys[key].parts.id,
        );
        let ring = match (at.via, key) {
            (Via::Own(pick), Some(key)) => {
                let key = &self.reference.keys[key];
                let own = (0..RINGS.len())
                    .filter(|&ring| RINGS[ring].realm == key.parts.realm.as_str())
                    .collect::<Vec<_>>();
                own[usize::from(pick) % own.len()]
            }
            (Via::Own(pick) | Via::Ring(pick), _) => usize::from(pick) % RINGS.len(),
        };
        (key, id, ring)
    }

    pub(super) fn target(&self, target: Target) -> Option<usize> {
        let keys = &self.reference.keys;
        let alive = |key: &usize| {
            let key = &keys[*key];
            let ends = super::reference::end(&key.parts);
            !key.purged && key.parts.revocation.is_none() && self.reference.now < ends
        };
        let in_grace = |key: &usize| keys[*key].parts.grace_ends_at.is_some();
        let newest = (0..keys.len()).rev();
        let (pick, among): (u8, Vec<usize>) = match target {
            Target::Head(pick) => (
                pick,
                newest.filter(|key| alive(key) && !in_grace(key)).collect(),
            ),
            Target::InGrace(pick) => (
                pick,
                newest.filter(|key| alive(key) && in_grace(key)).collect(),
            ),
            Target::Ever(pick) => (pick, newest.collect()),
            Target::Nowhere => return None,
        };
        let among = if among.is_empty() {
            (0..keys.len()).collect()
        } else {
            among
        };
        among.get(usize::from(pick) % among.len().max(1)).copied()
    }

    /// Records the commits of an operation by this ring. Returns their number.
    pub(super) fn take_down(&mut self, ring: usize) -> Result<u64, TestCaseError> {
        self.settle_the_rival()?;
        let commits: Vec<Commit> = std::mem::take(&mut *self.world.log.lock().unwrap());
        let count = commits.len() as u64;
        for commit in commits {
            self.seen.extend(commit.change.clone());
            let changed = self.ledger.observe(&commit)?;
            for watching in &mut self.watches {
                watching.told |= watching.ring == ring && changed.contains(&watching.id);
            }
        }
        Ok(count)
    }

    /// Compares the outcome of an operation with the model's, after the commits have been recorded.
    pub(super) fn agree<T: Debug, P>(
        &mut self,
        what: &str,
        actual: Result<T, Error>,
        predicted: Result<P, Reasons>,
        commits: u64,
    ) -> Result<Option<(T, P)>, TestCaseError> {
        if std::mem::take(&mut self.conflicts) {
            self.count(&format!("{what}: another was first"));
        }
        match &actual {
            Ok(value) => self.seen.push(format!("{value:?}")),
            Err(error) => self.seen.push(format!("{error:?} {error}")),
        }
        match (actual, predicted) {
            (Ok(value), Ok(predicted)) => {
                self.count(&format!("{what}: ok"));
                Ok(Some((value, predicted)))
            }
            (Err(error), Err(reasons)) => {
                let kind = error.kind();
                prop_assert!(
                    reasons.contains(&kind),
                    "{what} was refused as {kind:?}, the model says {reasons:?}"
                );
                prop_assert_eq!(commits, 0, "{} was refused and made a commit", what);
                self.a_refusal_leaves_the_stores_as_they_were()?;
                let kind = format!("{kind:?}");
                let kind = kind.split(' ').next().unwrap_or_default();
                self.count(&format!("{what}: {kind}"));
                Ok(None)
            }
            (Ok(value), Err(reasons)) => Err(TestCaseError::fail(format!(
                "{what} was done with {value:?}, the model refuses it for {reasons:?}"
            ))),
            (Err(error), Ok(_)) => Err(TestCaseError::fail(format!(
                "{what} was refused as {:?}, the model allows it",
                error.kind()
            ))),
        }
    }

    fn a_refusal_leaves_the_stores_as_they_were(&self) -> Check {
        if !self.world.log.lock().unwrap().is_empty() {
            // It belonged to a rival, and the operation has made its own commits since.
            return Ok(());
        }
        for (store, before) in self.world.stores.iter().zip(self.ledger.snapshots()) {
            prop_assert!(store.snapshot() == *before, "a refusal changed the store");
        }
        Ok(())
    }

    /// A key that was created as the model predicted.
    pub(super) fn bear(&mut self, birth: Birth, record: &KeyRecord, plaintext: &str) -> Check {
        self.invariant_12_id_and_digest_are_new(birth.ring, record)?;
        let secret = plaintext.rsplit('_').next().unwrap_or(plaintext);
        // Without its checksum, a secret is as valuable as with it.
        self.secrets
            .insert(secret.get(..26).unwrap_or(secret).to_owned());
        self.reference.bear(birth, record.id(), plaintext);
        Ok(())
    }

    pub(super) fn bear_minted(&mut self, birth: Birth, issued: &Issued) -> Check {
        let plaintext = issued.secret().expose().to_owned();
        let public = format!("{}_{}_", RINGS[birth.ring].prefix, issued.record().id());
        prop_assert!(plaintext.starts_with(&public), "the key names its id");
        self.bear(birth, issued.record(), &plaintext)
    }

    /// An id never repeats. A digest repeats only after its record has been purged.
    fn invariant_12_id_and_digest_are_new(&self, ring: usize, record: &KeyRecord) -> Check {
        for key in &self.reference.keys {
            prop_assert!(
                key.parts.id != record.id(),
                "invariant 12: the id {} came twice",
                record.id()
            );
            prop_assert!(
                key.purged
                    || key.store != RINGS[ring].store
                    || key.parts.digest != *record.digest(),
                "invariant 12: the digest of {} is that of {}",
                record.id(),
                key.parts.id
            );
        }
        Ok(())
    }

    /// After every operation: the output contains no secret, and the stores match the model.
    pub(super) fn settle(&mut self) -> Check {
        self.seen.append(&mut self.world.told.lock().unwrap());
        self.invariant_12_no_plaintext_is_anywhere()?;
        self.seen.clear();
        for (number, store) in self.world.stores.iter().enumerate() {
            let snapshot = store.snapshot();
            prop_assert!(
                snapshot == self.ledger.snapshots()[number],
                "the store changed without a commit"
            );
            self.the_store_is_as_the_model_says(number, &snapshot)?;
        }
        self.last_uses_are_as_the_model_says()
    }

    fn invariant_12_no_plaintext_is_anywhere(&self) -> Check {
        for text in &self.seen {
            for secret in &self.secrets {
                prop_assert!(
                    !text.contains(secret.as_str()),
                    "invariant 12: a plaintext stands in {text}"
                );
            }
        }
        Ok(())
    }

    fn the_store_is_as_the_model_says(&self, number: usize, snapshot: &Snapshot) -> Check {
        let kept = |key: &&super::reference::Key| key.store == number && !key.purged;
        let keys = self.reference.keys.iter().filter(kept);
        prop_assert_eq!(
            keys.clone().count(),
            snapshot.len(),
            "the number of records"
        );
        for key in keys {
            let Some(record) = snapshot.get(&key.parts.id) else {
                return Err(TestCaseError::fail(format!("{} is gone", key.parts.id)));
            };
            prop_assert_eq!(
                &key.parts,
                &record.to_parts(),
                "the model is left, the store right"
            );
        }
        Ok(())
    }

    fn last_uses_are_as_the_model_says(&self) -> Check {
        use tower_api_key::store::KeyStore;

        for realm in REALMS {
            let keys: Vec<&super::reference::Key> = self
                .reference
                .keys
                .iter()
                .filter(|key| key.parts.realm.as_str() == realm)
                .collect();
            let ids: Vec<KeyId> = keys.iter().map(|key| key.parts.id).collect();
            let Some(key) = keys.first() else { continue };
            let store = &self.world.stores[key.store];
            let realm = Realm::new(realm).unwrap();
            let uses = super::now(store.last_uses(&realm, &ids)).unwrap();
            for (id, last) in ids.iter().zip(uses) {
                let last = last.map(tower_api_key::Timestamp::as_unix);
                let expected = self.reference.last_uses.get(id).copied();
                prop_assert_eq!(last, expected, "the last use of {}", id);
            }
        }
        Ok(())
    }
}
