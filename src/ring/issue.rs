//! Keys that begin here.

use std::sync::Arc;

use super::change::MAX_ATTEMPTS;
use super::{Issued, KeyRing};
use crate::error::{Error, ErrorKind};
use crate::key::secret::SecretKey;
use crate::lifecycle::grant::Grant;
use crate::lifecycle::{self, Minted};
use crate::observe::event::{Event, EventKind};
use crate::record::KeyRecord;
use crate::store::ListQuery;

impl KeyRing {
    /// Mints a key.
    ///
    /// # Errors
    ///
    /// If the ring does not grant this: [`ErrorKind::InvalidSubject`], [`ErrorKind::InvalidScope`], [`ErrorKind::InvalidCaveat`],
    /// [`ErrorKind::InvalidLabel`], [`ErrorKind::InvalidMetadata`],
    /// [`ErrorKind::InvalidLifetime`], [`ErrorKind::LifetimeTooLong`], [`ErrorKind::ScopeNotGrantable`],
    /// [`ErrorKind::OwnerRefused`], [`ErrorKind::TooManyKeys`]; else [`ErrorKind::Generator`], [`ErrorKind::Duplicate`],
    /// [`ErrorKind::Store`], or [`ErrorKind::Conflict`] if the store could not order changes of other writers,
    /// over and over. There is no key then, except that a store that failed
    /// [may have lost its answer](KeyRing#when-a-change-is-in-doubt).
    pub async fn issue(&self, grant: Grant) -> Result<Issued, Error> {
        let (minted, secret) = self.mint()?;
        let record = self.add(minted, grant, EventKind::Issued).await?;
        Ok(Issued { secret, record })
    }

    /// Mints a key, and ends the oldest keys of its subject if the
    /// [limit](crate::KeyRingBuilder::max_keys_per_subject) has no room for one more: for a login that mints. Both are
    /// one commit, and the limit holds in it, however many log in at the same time.
    ///
    /// A key that was rotated is as old as the one that took its place. Keys of one second are of the same age. Those that end are revoked as
    /// [`CessationOfOperation`](crate::RevocationReason::CessationOfOperation), and their return is no
    /// [reuse](crate::EventKind::Reuse). On a ring without a limit no key ends.
    ///
    /// ```
    /// use tower_api_key::{Grant, KeyRing, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").max_keys_per_subject(1).build(MemoryStore::new())?;
    /// let first = ring.issue_replacing_oldest(Grant::new("alice")).await?;
    /// let second = ring.issue_replacing_oldest(Grant::new("alice")).await?;
    /// assert!(ring.verify(first.secret().expose().as_bytes()).await.is_err());
    /// assert!(ring.verify(second.secret().expose().as_bytes()).await.is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue). [`ErrorKind::TooManyKeys`] and [`ErrorKind::Conflict`] only if others were first
    /// over and over. [`ErrorKind::Store`] also if a key of the subject cannot be read:
    /// [revoke](Self::revoke) it.
    pub async fn issue_replacing_oldest(&self, grant: Grant) -> Result<Issued, Error> {
        let (minted, secret) = self.mint()?;
        let policy = self.policy_for(&grant).await?;
        let subject = grant.checked()?.clone();
        let mut failure = ErrorKind::Conflict.into();
        for _ in 0..MAX_ATTEMPTS {
            let held = match policy.max_keys_per_subject {
                Some(_) => {
                    let query = ListQuery::new().subject(subject.as_str()).unrevoked();
                    self.list(&query).await?.complete()?
                }
                None => Vec::new(),
            };
            let (record, change) = lifecycle::issue_replacing_oldest(
                minted.clone(),
                grant.clone(),
                &held,
                &policy,
                self.0.reading(),
            )?;
            match self.commit(&change).await {
                Ok(true) => {
                    self.tell(|| Event::about(EventKind::Issued, &record));
                    self.report_revoked(&change);
                    return Ok(Issued { secret, record });
                }
                Ok(false) => {}
                // Another login was first.
                Err(error) if matches!(error.kind(), ErrorKind::TooManyKeys { .. }) => {
                    failure = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    pub(super) fn mint(&self) -> Result<(Minted, SecretKey), Error> {
        let (id, secret) = self.0.format.mint()?;
        let minted = Minted {
            id,
            realm: self.0.realm.clone(),
            digest: self.0.digester.current(secret.expose().as_bytes()),
            pepper_version: self.0.digester.version(),
            prefix: Some(*self.0.format.prefix()),
        };
        Ok((minted, secret))
    }

    async fn add(
        &self,
        minted: Minted,
        grant: Grant,
        kind: EventKind,
    ) -> Result<Arc<KeyRecord>, Error> {
        let policy = self.policy_for(&grant).await?;
        for _ in 0..MAX_ATTEMPTS {
            let (record, change) =
                lifecycle::issue(minted.clone(), grant.clone(), &policy, self.0.reading())?;
            if self.commit(&change).await? {
                self.tell(|| Event::about(kind, &record));
                return Ok(record);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}
