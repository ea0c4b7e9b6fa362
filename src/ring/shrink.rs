//! Keys that shrink and end.

use std::sync::Arc;

use super::KeyRing;
use super::change::MAX_ATTEMPTS;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, EventKind};
use crate::format::KeyId;
use crate::lifecycle::{self, Change};
use crate::record::{KeyRecord, RevocationReason};
use crate::scope::ScopeSet;
use crate::store::ListQuery;

/// How many tries end all the keys of a subject in one commit, or none.
const COMPLETE_ATTEMPTS: usize = 8;

impl KeyRing {
    /// Takes scopes away from a key, in place: it keeps those given here. Keys in grace beside it
    /// are dead in the same commit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmptyScopes`] for no scope, [`ErrorKind::WouldWiden`] for one that the key does
    /// not have; for the key as [`regrant`](Self::regrant); [`ErrorKind::Conflict`] and
    /// [`ErrorKind::Store`]. Nothing has changed then, as with [`rotate`](Self::rotate).
    pub async fn narrow(&self, id: KeyId, scopes: &ScopeSet) -> Result<Arc<KeyRecord>, Error> {
        for _ in 0..MAX_ATTEMPTS {
            let lineage = self.lineage_of(id).await?;
            let narrowed = lifecycle::narrow(id, &lineage, scopes, self.0.reading())?;
            let Some((record, change)) = narrowed else {
                let same = lineage.into_iter().find(|record| record.id() == id);
                return same.ok_or(ErrorKind::NotFound.into());
            };
            if self.commit(&change).await? {
                // It may have kept all of its scopes, and only the keys beside it have ended.
                let is_as_before =
                    |old: &Arc<KeyRecord>| old.id() == id && old.scopes() == record.scopes();
                if !lineage.iter().any(is_as_before) {
                    let event = || Event::about(EventKind::Narrowed, &record);
                    self.0.observer.tell(event);
                }
                self.report_revoked(&change);
                return Ok(Arc::new(record));
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Revokes a key for good; a key that is revoked already stays as it is. A predecessor in its
    /// grace goes on: [`revoke_lineage`](Self::revoke_lineage) ends both.
    ///
    /// Once this returns, no request that begins is authenticated by the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an id that this realm does not know, [`ErrorKind::Conflict`]
    /// when other writers were first over and over, [`ErrorKind::Store`] when the store failed.
    pub async fn revoke(&self, id: KeyId, reason: RevocationReason) -> Result<(), Error> {
        for _ in 0..MAX_ATTEMPTS {
            let record = self.get(id).await?.ok_or(ErrorKind::NotFound)?;
            let change = lifecycle::revoke([&record], reason, self.0.reading());
            if self.commit_revocation(change).await?.is_some() {
                return Ok(());
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Revokes every key of a lineage: all that came from one key by rotations and regrants in this
    /// realm. Any key of the lineage names it, and so does the lineage's own id when its first key
    /// is long gone. Says how many records it revoked, those of keys that had expired among them.
    ///
    /// Once this returns, no request that begins is authenticated by any of them.
    ///
    /// # Errors
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_lineage(
        &self,
        id: KeyId,
        reason: RevocationReason,
    ) -> Result<usize, Error> {
        let lineage = match self.get(id).await? {
            Some(record) => record.lineage(),
            None => id,
        };
        for _ in 0..MAX_ATTEMPTS {
            let records = self.list(&ListQuery::new().lineage(lineage)).await?;
            if records.is_empty() {
                return Err(ErrorKind::NotFound.into());
            }
            let change = lifecycle::revoke(&records, reason, self.0.reading());
            if let Some(count) = self.commit_revocation(change).await? {
                return Ok(count);
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Revokes every key of a subject in this realm, and says how many records it revoked, those of
    /// keys that had expired among them; none is no error.
    ///
    /// Once this returns, no request that begins is authenticated by any key that had been issued
    /// to the subject when it was called. Stop issuing keys to the subject first: one that is issued
    /// meanwhile may live.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when others issued or changed keys of the subject over and over; keys
    /// that were seen may be dead then. [`ErrorKind::Store`] when the store failed.
    pub async fn revoke_subject(
        &self,
        subject: &str,
        reason: RevocationReason,
    ) -> Result<usize, Error> {
        let (realm, mut count) = (&self.0.realm, 0);
        for attempt in 0..MAX_ATTEMPTS {
            let (records, at) = (self.keys_of(subject).await?, self.0.reading());
            // While others keep issuing keys to the subject, those that are seen end first.
            let complete = attempt < COMPLETE_ATTEMPTS || records.is_empty();
            let change = if complete {
                lifecycle::revoke_subject(realm, subject, &records, reason, at)
            } else {
                lifecycle::revoke(&records, reason, at)
            };
            count += match self.commit_revocation(change).await? {
                Some(ended) if complete => return Ok(count + ended),
                Some(ended) => ended,
                None => 0,
            };
        }
        Err(ErrorKind::Conflict.into())
    }

    /// How many keys the change ended; `None` where another writer was first.
    async fn commit_revocation(&self, change: Option<Change>) -> Result<Option<usize>, Error> {
        let Some(change) = change else {
            return Ok(Some(0));
        };
        if !self.commit(&change).await? {
            return Ok(None);
        }
        self.report_revoked(&change);
        Ok(Some(change.writes().len()))
    }
}
