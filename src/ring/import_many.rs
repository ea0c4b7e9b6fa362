//! Many keys that were minted elsewhere, in few commits.

use std::collections::HashSet;
use std::sync::Arc;

use super::KeyRing;
use super::import::Prepared;
use super::import_digests::Digests;
use crate::error::{Error, ErrorKind};
use crate::key::digest::KeyDigest;
use crate::lifecycle::request::{Import, Imported, OldKey};
use crate::lifecycle::{self, Change};
use crate::observe::event::{Event, EventKind};
use crate::store::StoreErrorKind;

/// How many keys of a batch are put in one commit. In Postgres each holds two advisory locks until
/// then, and a revocation of a subject waits for its key.
const GROUP: usize = 100;

/// Keys of a batch on their way to the store, all in one commit.
#[derive(Default)]
struct Group {
    change: Change,
    /// The place of each in the batch.
    places: Vec<usize>,
    digests: HashSet<KeyDigest>,
}

impl KeyRing {
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
            if group.has(&digests) || group.places.len() == GROUP {
                self.settle(std::mem::take(&mut group), &keys, &mut results)
                    .await?;
            }
            let prepared = self.prepare(import, digests, lifecycle::differences).await;
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
            // One of the keys is refused, and the others are not.
            Err(error) if !is_about_a_key(error.kind()) => return Err(error),
            committed => committed.unwrap_or(false),
        };
        if committed {
            for (&place, write) in group.places.iter().zip(group.change.writes()) {
                let record = &write.record;
                self.tell(|| Event::about(EventKind::Imported, record));
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
}

impl Group {
    fn add(&mut self, place: usize, change: Change) {
        for write in change.writes() {
            self.digests.insert(*write.record.digest());
        }
        self.places.push(place);
        self.change.append(change);
    }

    /// Whether a key is in the group.
    fn has(&self, digests: &Digests) -> bool {
        let mut of_key = std::iter::once(&digests.kept).chain(&digests.others);
        of_key.any(|digest| self.digests.contains(digest))
    }
}

/// Whether a commit was refused because of one of its keys.
fn is_about_a_key(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Duplicate | ErrorKind::TooManyKeys { .. })
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
