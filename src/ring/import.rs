//! Keys that were minted elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use super::change::MAX_ATTEMPTS;
use super::{Inner, KeyRing};
use crate::access::subject::Subject;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::key::foreign::{
    is_importable, is_sanctum_id, presented_sanctum_message, sanctum_message,
};
use crate::lifecycle::request::{Import, Imported, OldKey, OldKeyKind};
use crate::lifecycle::{self, Change, Minted};
use crate::observe::event::{Event, EventKind};
use crate::record::KeyRecord;
use crate::store::{Lookup, StoreErrorKind};

/// How many keys of a batch are put in one commit. In Postgres each holds two advisory locks until
/// then, and a revocation of a subject waits for its key.
const GROUP: usize = 100;

/// By which digest a key is kept, and others by which it may be there already.
struct Digests {
    kept: KeyDigest,
    pepper_version: Option<u32>,
    others: Vec<KeyDigest>,
}

/// Keys of a batch on their way to the store, all in one commit.
#[derive(Default)]
struct Group {
    change: Change,
    /// The place of each in the batch.
    places: Vec<usize>,
    digests: HashSet<KeyDigest>,
    subjects: HashSet<Subject>,
}

impl KeyRing {
    /// Imports a key that was minted elsewhere, by the SHA-256 of its plaintext.
    ///
    /// Nothing is known of the plaintext: make sure that it has 128 bits of randomness, and that it
    /// is 1 to 512 visible ASCII characters without commas, or no request can present it.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue), [`ErrorKind::ExpiryNotSaid`] for a grant that does not say when the
    /// key ends, [`ErrorKind::KeyExpired`] for one that has ended,
    /// [`ErrorKind::InvalidIssuedAt`] for one that was minted in the future, and
    /// [`ErrorKind::ImportRefused`] on a ring that does not accept imports or that has a pepper, which
    /// a bare digest lacks.
    pub async fn import_digest(
        &self,
        import: impl Into<Import>,
        digest: KeyDigest,
    ) -> Result<Arc<KeyRecord>, Error> {
        self.import(import.into(), &OldKey::sha256(digest)).await
    }

    /// Imports a key that was minted elsewhere, by its plaintext, which is not kept.
    ///
    /// # Errors
    ///
    /// As [`import_digest`](Self::import_digest), but a pepper is no hindrance;
    /// [`ErrorKind::InvalidPlaintext`] if no header can carry the key, and [`ErrorKind::WeakPlaintext`]
    /// if it has under 128 bits by length and alphabet.
    pub async fn import_plaintext(
        &self,
        import: impl Into<Import>,
        plaintext: &str,
    ) -> Result<Arc<KeyRecord>, Error> {
        self.import(import.into(), &OldKey::plaintext(plaintext))
            .await
    }

    /// Imports a key even if it is weak. Anyone who can guess it, or has its digest, has the key.
    ///
    /// # Errors
    ///
    /// As [`import_plaintext`](Self::import_plaintext), except [`ErrorKind::WeakPlaintext`].
    pub async fn import_insecure_plaintext(
        &self,
        import: impl Into<Import>,
        plaintext: &str,
    ) -> Result<Arc<KeyRecord>, Error> {
        let import = import.into().insecure_accept_weak();
        self.import(import, &OldKey::plaintext(plaintext)).await
    }

    /// Imports many keys in as few commits as the store can do it in. Each key is judged by itself:
    /// one that is refused keeps no other out. The results are in the order of the keys.
    ///
    /// To run it again is safe. A key that is there already as the import asks for it is
    /// [passed over](Imported::was_present), even if it was changed since. One that is there with another
    /// subject, expiry, scope, label or other part is [`ErrorKind::ImportDiffers`]. A part that the
    /// import does not set is not compared, and a lifetime that counts from the import is met by an
    /// earlier end.
    ///
    /// Up to 100 keys are one commit. Hand over that many at a time, so that the memory is bounded and
    /// the results of one call are those of one commit.
    ///
    /// ```
    /// use tower_api_key::{Grant, Import, KeyRing, OldKey, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme")
    ///     .accept_imports()
    ///     .unlimited_lifetime()
    ///     .build(MemoryStore::new())?;
    /// let rows = || {
    ///     ["k-4f9A7YqZr01mLw8Vx6pTe2Nd", "k-u71Bc9XyQw33rTzLm0PoVe5s"].map(|key| {
    ///         let grant = Grant::new("alice").never_expires();
    ///         (Import::new(grant), OldKey::plaintext(key))
    ///     })
    /// };
    /// for imported in ring.import_many(rows()).await? {
    ///     assert!(!imported?.was_present());
    /// }
    /// for imported in ring.import_many(rows()).await? {
    ///     assert!(imported?.was_present());
    /// }
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Of a key: as [`import_plaintext`](Self::import_plaintext), [`ErrorKind::ImportDiffers`], and
    /// [`ErrorKind::Duplicate`] for one that the store holds in another realm. Of the whole call:
    /// [`ErrorKind::Store`] or [`ErrorKind::Generator`]. Some of the keys may be imported then. Run it
    /// again.
    pub async fn import_many(
        &self,
        keys: impl IntoIterator<Item = (Import, OldKey)>,
    ) -> Result<Vec<Result<Imported, Error>>, Error> {
        let keys: Vec<_> = keys.into_iter().collect();
        let mut results: Vec<_> = keys.iter().map(|_| None).collect();
        let mut group = Group::default();
        for (place, (import, key)) in keys.iter().enumerate() {
            let digests = match self.0.digests(import, key) {
                Ok(digests) => digests,
                Err(error) => {
                    results[place] = Some(Err(error));
                    continue;
                }
            };
            // The keys of the group are looked up in the store, because they are there by then.
            if group.meets(&digests, import, self.limits_subjects()) || group.places.len() == GROUP
            {
                self.settle(std::mem::take(&mut group), &keys, &mut results)
                    .await?;
            }
            let prepared = self.prepare(import, digests).await;
            match for_this_key(prepared)? {
                Ok(Prepared::New(change)) => group.add(place, change),
                Ok(Prepared::Present(record)) => {
                    results[place] = Some(Ok(Imported::present(record)));
                }
                Err(error) => results[place] = Some(Err(error)),
            }
        }
        self.settle(group, &keys, &mut results).await?;
        // Every place has been settled; one that had not would be no success.
        let missing = || Err(ErrorKind::Conflict.into());
        Ok(results
            .into_iter()
            .map(|result| result.unwrap_or_else(missing))
            .collect())
    }

    fn limits_subjects(&self) -> bool {
        self.0.policy.max_keys_per_subject.is_some()
    }

    /// Commits a group, or else each of its keys by itself.
    async fn settle(
        &self,
        group: Group,
        keys: &[(Import, OldKey)],
        results: &mut [Option<Result<Imported, Error>>],
    ) -> Result<(), Error> {
        if group.places.is_empty() {
            return Ok(());
        }
        let committed = match self.commit(&group.change).await {
            Err(error) if error.kind() != ErrorKind::Duplicate => return Err(error),
            committed => committed.unwrap_or(false),
        };
        if committed {
            for (&place, write) in group.places.iter().zip(group.change.writes()) {
                let record = &write.record;
                self.0
                    .observer
                    .tell(|| Event::about(EventKind::Imported, record));
                results[place] = Some(Ok(Imported::new(Arc::clone(record))));
            }
            return Ok(());
        }
        for &place in &group.places {
            if let Some((import, key)) = keys.get(place) {
                let imported = self.import_unless_present(import, key).await;
                results[place] = Some(for_this_key(imported)?);
            }
        }
        Ok(())
    }

    async fn import_unless_present(
        &self,
        import: &Import,
        key: &OldKey,
    ) -> Result<Imported, Error> {
        for _ in 0..MAX_ATTEMPTS {
            let digests = self.0.digests(import, key)?;
            match self.prepare(import, digests).await? {
                Prepared::Present(record) => return Ok(Imported::present(record)),
                Prepared::New(change) => match self.commit(&change).await {
                    Ok(true) => {
                        if let Some(write) = change.writes().first() {
                            let record = &write.record;
                            self.0
                                .observer
                                .tell(|| Event::about(EventKind::Imported, record));
                            return Ok(Imported::new(Arc::clone(record)));
                        }
                    }
                    Ok(false) => {}
                    // By another writer, or in another realm, which this ring does not see.
                    Err(error) if error.kind() == ErrorKind::Duplicate => {
                        let digests = self.0.digests(import, key)?;
                        return match self.prepare(import, digests).await? {
                            Prepared::Present(record) => Ok(Imported::present(record)),
                            Prepared::New(_) => Err(error),
                        };
                    }
                    Err(error) => return Err(error),
                },
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// The change that brings a key, or the record that is there.
    async fn prepare(&self, import: &Import, digests: Digests) -> Result<Prepared, Error> {
        let subject = import.grant.checked()?;
        for digest in std::iter::once(&digests.kept).chain(&digests.others) {
            let Some(record) = self.look_up(digest).await? else {
                continue;
            };
            let differences = lifecycle::differences(&record, import, self.0.reading());
            if differences.is_empty() {
                return Ok(Prepared::Present(record));
            }
            let differences = differences.join(", ");
            return Err(Error::with_limit(ErrorKind::ImportDiffers, &differences));
        }
        let minted = self.0.minted(&digests)?;
        let held = self.keys_towards_limit(subject).await?;
        let (policy, at) = (&self.0.policy, self.0.reading());
        let (_, change) = lifecycle::import(minted, import.clone(), policy, &held, at)?;
        Ok(Prepared::New(change))
    }

    /// The record of a digest, for as long as the store takes.
    pub(super) async fn look_up(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<Arc<KeyRecord>>, Error> {
        let found = match self.0.find(digest) {
            Lookup::Ready(found) => found,
            Lookup::Pending(found) => found.await,
        };
        Ok(found?)
    }

    pub(super) async fn import(
        &self,
        import: Import,
        key: &OldKey,
    ) -> Result<Arc<KeyRecord>, Error> {
        self.import_as(EventKind::Imported, import, key).await
    }

    pub(super) async fn import_as(
        &self,
        kind: EventKind,
        import: Import,
        key: &OldKey,
    ) -> Result<Arc<KeyRecord>, Error> {
        let digests = self.0.digests(&import, key)?;
        let minted = self.0.minted(&digests)?;
        for _ in 0..MAX_ATTEMPTS {
            let held = self.keys_towards_limit(import.grant.checked()?).await?;
            let (record, change) = lifecycle::import(
                minted.clone(),
                import.clone(),
                &self.0.policy,
                &held,
                self.0.reading(),
            )?;
            if self.commit(&change).await? {
                self.0.observer.tell(|| Event::about(kind, &record));
                return Ok(record);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}

enum Prepared {
    New(Change),
    Present(Arc<KeyRecord>),
}

impl Group {
    fn add(&mut self, place: usize, change: Change) {
        for write in change.writes() {
            self.digests.insert(*write.record.digest());
            self.subjects.insert(write.record.subject().clone());
        }
        self.places.push(place);
        self.change.append(change);
    }

    /// Whether a key is in the group, or counts towards the same limit as one that is.
    fn meets(&self, digests: &Digests, import: &Import, limits_subjects: bool) -> bool {
        let mut of_key = std::iter::once(&digests.kept).chain(&digests.others);
        of_key.any(|digest| self.digests.contains(digest))
            || (limits_subjects
                && import
                    .grant
                    .checked()
                    .is_ok_and(|subject| self.subjects.contains(subject)))
    }
}

impl Inner {
    /// The digests of a key from elsewhere, if this ring takes it.
    fn digests(&self, import: &Import, key: &OldKey) -> Result<Digests, Error> {
        let refused = || Err(ErrorKind::ImportRefused.into());
        if !self.accepts_imports {
            return refused();
        }
        let pepper_version = self.digester.version();
        let (kept, others) = match &key.0 {
            OldKeyKind::Sha256(_) if pepper_version.is_some() => return refused(),
            OldKeyKind::Sha256(digest) => (*digest, Vec::new()),
            OldKeyKind::Plaintext(text) => {
                let bytes = text.as_bytes();
                if !is_importable(bytes) {
                    return Err(ErrorKind::InvalidPlaintext.into());
                }
                if !import.weak && strength_bits(text) < 128.0 {
                    return Err(ErrorKind::WeakPlaintext.into());
                }
                (self.digester.current(bytes), self.other_digests(bytes))
            }
            OldKeyKind::Sanctum { .. } if !self.accepts_sanctum => return refused(),
            OldKeyKind::Sanctum { id, .. } if !is_sanctum_id(id.as_bytes()) => {
                return Err(ErrorKind::InvalidPlaintext.into());
            }
            OldKeyKind::Sanctum { id, token } => {
                let message = sanctum_message(id.as_bytes(), token);
                let others = self.digester.earlier(&message);
                (self.digester.current(&message), others)
            }
        };
        Ok(Digests {
            kept,
            pepper_version,
            others,
        })
    }

    /// The digests, next to the current one, under which presented bytes may be kept.
    pub(super) fn other_digests(&self, presented: &[u8]) -> Vec<KeyDigest> {
        let mut digests = self.digester.earlier(presented);
        if self.accepts_sanctum
            && let Some(message) = presented_sanctum_message(presented)
        {
            digests.push(self.digester.current(&message));
            digests.extend(self.digester.earlier(&message));
        }
        digests
    }

    fn minted(&self, digests: &Digests) -> Result<Minted, Error> {
        Ok(Minted {
            id: KeyId::random()?,
            realm: self.realm.clone(),
            digest: digests.kept,
            pepper_version: digests.pepper_version,
            prefix: None,
        })
    }
}

/// Parts an error that is about one key from one after which there is no use in going on.
fn for_this_key<T>(outcome: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Generator => Err(error),
        Err(error) if error.kind() == ErrorKind::Store && !is_damaged(&error) => Err(error),
        outcome => Ok(outcome),
    }
}

/// Whether one record cannot be read, which is no reason to leave out the others.
fn is_damaged(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<crate::store::StoreError>())
        .is_some_and(|error| error.kind() == StoreErrorKind::Corrupt)
}

/// The most that a plaintext of this length and alphabet can hold.
fn strength_bits(plaintext: &str) -> f64 {
    let holds = |class: fn(&u8) -> bool| plaintext.as_bytes().iter().any(class);
    let mut alphabet = 0_u32;
    for (held, size) in [
        (holds(u8::is_ascii_digit), 10),
        (holds(u8::is_ascii_lowercase), 26),
        (holds(u8::is_ascii_uppercase), 26),
        (holds(|byte| !byte.is_ascii_alphanumeric()), 32),
    ] {
        alphabet += if held { size } else { 0 };
    }
    let length = u32::try_from(plaintext.len()).unwrap_or(u32::MAX);
    f64::from(length) * f64::from(alphabet.max(1)).log2()
}
