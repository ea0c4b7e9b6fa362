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
                self.report(|| Event::about(kind, &record));
                return Ok(record);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}
