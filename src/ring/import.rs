//! Keys that were minted elsewhere.

use std::sync::Arc;

use super::KeyRing;
use super::change::MAX_ATTEMPTS;
use super::import_digests::Digests;
use crate::error::{Error, ErrorKind};
use crate::key::digest::KeyDigest;
use crate::lifecycle::request::{Import, Imported, OldKey};
use crate::lifecycle::{self, Change, Reading};
use crate::observe::event::{Event, EventKind};
use crate::record::KeyRecord;
use crate::store::Lookup;

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
    /// [`ErrorKind::InvalidPlaintext`] if no header can carry the key, or it has the form of a key of this
    /// ring and a wrong checksum, and [`ErrorKind::WeakPlaintext`] if it has under 128 bits by length and alphabet.
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

    /// Imports a key that was minted elsewhere unless it is there, and returns the record that is: for keys that
    /// move when they are first presented. [The guide](crate::guide::table) says how the old row ends.
    ///
    /// It is safe to call again, and from several nodes at the same time: one of them imports the key, and the
    /// others find it. A key that is there is returned as it is now, whatever was done with it since: it may have
    /// fewer scopes than the import says, have expired or be revoked. So read its
    /// [state](KeyRecord::state_at), or better [`verify`](Self::verify) the key afterwards.
    ///
    /// ```
    /// use tower_api_key::{Grant, KeyRing, OldKey, RevocationReason, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme")
    ///     .accept_imports()
    ///     .unlimited_lifetime()
    ///     .build(MemoryStore::new())?;
    /// let grant = || Grant::new("alice").never_expires();
    /// let presented = "k-4f9A7YqZr01mLw8Vx6pTe2Nd";
    ///
    /// let first = ring.import_or_get(grant(), &OldKey::plaintext(presented)).await?;
    /// assert!(!first.was_present());
    /// ring.revoke(first.record().id(), RevocationReason::KeyCompromise).await?;
    ///
    /// // The old row is still there, and revives nothing.
    /// let again = ring.import_or_get(grant(), &OldKey::plaintext(presented)).await?;
    /// assert!(again.was_present());
    /// assert!(ring.verify(presented.as_bytes()).await.is_err());
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`import_plaintext`](Self::import_plaintext) for a key that is not there;
    /// [`ErrorKind::ImportDiffers`] for one that is there with another subject, and [`ErrorKind::Duplicate`] for one
    /// that the store holds in another realm.
    pub async fn import_or_get(
        &self,
        import: impl Into<Import>,
        key: &OldKey,
    ) -> Result<Imported, Error> {
        let import = import.into();
        self.import_unless(&import, key, lifecycle::other_owner)
            .await
    }

    pub(super) async fn import_unless_present(
        &self,
        import: &Import,
        key: &OldKey,
    ) -> Result<Imported, Error> {
        self.import_unless(import, key, lifecycle::differences)
            .await
    }

    async fn import_unless(
        &self,
        import: &Import,
        key: &OldKey,
        differences: Differences,
    ) -> Result<Imported, Error> {
        for _ in 0..MAX_ATTEMPTS {
            let digests = self.0.digests(import, key)?;
            match self.prepare(import, digests, differences).await? {
                Prepared::Present(record) => return Ok(Imported::present(record)),
                Prepared::New(change) => match self.commit(&change).await {
                    Ok(true) => {
                        if let Some(write) = change.writes().first() {
                            let record = &write.record;
                            self.tell(|| Event::about(EventKind::Imported, record));
                            return Ok(Imported::new(Arc::clone(record)));
                        }
                    }
                    Ok(false) => {}
                    // By another writer, or in another realm, which this ring does not see.
                    Err(error) if error.kind() == ErrorKind::Duplicate => {
                        let digests = self.0.digests(import, key)?;
                        return match self.prepare(import, digests, differences).await? {
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
    pub(super) async fn prepare(
        &self,
        import: &Import,
        digests: Digests,
        differences: Differences,
    ) -> Result<Prepared, Error> {
        import.grant.checked()?;
        for digest in std::iter::once(&digests.kept).chain(&digests.others) {
            let Some(record) = self.look_up(digest).await? else {
                continue;
            };
            let differences = differences(&record, import, self.0.reading());
            if differences.is_empty() {
                return Ok(Prepared::Present(record));
            }
            let differences = differences.join(", ");
            return Err(Error::with_limit(ErrorKind::ImportDiffers, &differences));
        }
        let minted = self.0.minted(&digests)?;
        let (policy, at) = (self.policy_for(&import.grant).await?, self.0.reading());
        let (_, change) = lifecycle::import(minted, import.clone(), &policy, at)?;
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
        let policy = self.policy_for(&import.grant).await?;
        for _ in 0..MAX_ATTEMPTS {
            let (record, change) =
                lifecycle::import(minted.clone(), import.clone(), &policy, self.0.reading())?;
            if self.commit(&change).await? {
                self.tell(|| Event::about(kind, &record));
                return Ok(record);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}

/// The parts in which a record may not differ from an import, and does.
pub(super) type Differences = fn(&KeyRecord, &Import, Reading) -> Vec<&'static str>;

/// What becomes of a key: the change that brings it, or the record that is there.
pub(super) enum Prepared {
    New(Change),
    Present(Arc<KeyRecord>),
}
