//! Keys that shrink and end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::KeyRing;
use super::change::MAX_ATTEMPTS;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::lifecycle::{self, Narrowing, Reading};
use crate::observe::event::{Event, EventKind};
use crate::record::{KeyRecord, Revocation, RevocationReason};
use crate::store::{Revoked, Target};
use crate::support::caught::caught;
use crate::time::Timestamp;

impl KeyRing {
    /// Takes authority away from a key, in place: it keeps only the scopes of the [`Narrowing`], and gets its
    /// caveats in addition to those that it has. A `&ScopeSet` alone is accepted too. The other keys of its
    /// lineage, which are in their grace period, are dead in the same commit. A clock that fails, and reads
    /// [`Timestamp::MAX`], has no say in whether the key is over.
    ///
    /// A connection that has begun goes on: a [watch](Self::watch) ends with the key, not when the key is
    /// narrowed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`] for a text that is no scope, [`ErrorKind::EmptyScopes`] for no scope, [`ErrorKind::WouldWiden`] for one that the key does
    /// not have; [`ErrorKind::CaveatNotGrantable`] for a caveat that the ring does not grant;
    /// [`ErrorKind::InvalidCaveat`] for one that this version does not know, and for more than a key can
    /// have; for the key as [`regrant`](Self::regrant); [`ErrorKind::Conflict`] and [`ErrorKind::Store`]. Nothing has changed then, as with [`rotate`](Self::rotate).
    pub async fn narrow(
        &self,
        id: KeyId,
        narrowing: impl Into<Narrowing>,
    ) -> Result<Arc<KeyRecord>, Error> {
        let narrowing = narrowing.into();
        for _ in 0..MAX_ATTEMPTS {
            let lineage = self.lineage_of(id).await?;
            let narrowed = lifecycle::narrow(
                id,
                &lineage,
                &narrowing,
                &self.0.policy,
                self.reading_to_shrink(),
            )?;
            let Some((record, change)) = narrowed else {
                let same = lineage.into_iter().find(|record| record.id() == id);
                return same.ok_or(ErrorKind::NotFound.into());
            };
            if self.commit(&change).await? {
                // It may have kept all of its scopes, and only the other keys have ended.
                let is_as_before = |old: &Arc<KeyRecord>| {
                    old.id() == id
                        && old.scopes() == record.scopes()
                        && old.caveats() == record.caveats()
                };
                if !lineage.iter().any(is_as_before) {
                    let event = || Event::about(EventKind::Narrowed, &record);
                    self.tell(event);
                }
                self.report_revoked(&change);
                return Ok(record);
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Revokes a key permanently. A key that is revoked already stays as it is. A predecessor in its
    /// grace period keeps working: [`revoke_lineage`](Self::revoke_lineage) ends both.
    ///
    /// Once this returns, no request that begins is authenticated by the key.
    ///
    /// A revocation needs the id and nothing else: it ends a key whose record cannot be read, one
    /// that others change at the same moment, and one of a ring whose clock fails. The record of
    /// that one says that it was revoked at [`Timestamp::MAX`], or at the last moment that the store
    /// can hold, and no purge removes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an id that this realm does not know, [`ErrorKind::Store`] if the
    /// store failed.
    pub async fn revoke(&self, id: KeyId, reason: RevocationReason) -> Result<(), Error> {
        self.insist(Target::Key(id), reason).await?;
        Ok(())
    }

    /// Revokes every key of a lineage in one commit: all that came from one key by rotations and
    /// regrants in this realm. Any key of the lineage names it, and so does the lineage's own id, even
    /// if its first key is long gone. Returns the number of records revoked, including those of keys
    /// that had expired.
    ///
    /// Once this returns, no request that begins is authenticated by any of them, nor by a key that
    /// replaced one meanwhile.
    ///
    /// # Errors
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_lineage(
        &self,
        id: KeyId,
        reason: RevocationReason,
    ) -> Result<usize, Error> {
        self.insist(Target::Lineage(id), reason).await
    }

    /// Revokes every key of a subject in this realm in one commit, and returns the number of records
    /// revoked, including those of keys that had expired. Zero is not an error.
    ///
    /// Once this returns, no request that begins is authenticated by any key that had been issued
    /// to the subject when it was called. Stop issuing keys to the subject first, because a key that is
    /// issued meanwhile may live.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] if the store failed.
    pub async fn revoke_subject(
        &self,
        subject: impl AsRef<str>,
        reason: RevocationReason,
    ) -> Result<usize, Error> {
        let target = Target::Subject(subject.as_ref().to_owned());
        match self.insist(target, reason).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            ended => ended,
        }
    }

    /// Ends the keys that are named, and returns their number. A store that failed may have lost only
    /// its answer, with the ids of the keys: every watch that may be concerned then reads its record.
    async fn insist(&self, target: Target, reason: RevocationReason) -> Result<usize, Error> {
        let revoked = self
            .end(&target, reason)
            .await
            .inspect_err(|_| match target {
                Target::Key(id) => self.0.watchers.tell(id),
                Target::Lineage(_) | Target::Subject(_) => self.0.watchers.tell_all(),
            })?;
        if revoked.found {
            Ok(revoked.ended.len())
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }

    /// Ends the keys that are named, wakes the watches of those that it ended, and reports each.
    pub(super) async fn end(
        &self,
        target: &Target,
        reason: RevocationReason,
    ) -> Result<Revoked, Error> {
        let (realm, store) = (&self.0.realm, &self.0.store);
        let at = self.time_or_end();
        let revocation = Revocation::new(at, reason);
        let revoked = store
            .revoke(realm, target, revocation, self.actor())
            .await?;
        for ended in &revoked.ended {
            if let Some(id) = ended.id {
                self.0.watchers.tell(id);
            }
        }
        for ended in &revoked.ended {
            let event = || Event::revoked(realm, ended, reason);
            self.tell(event);
        }
        Ok(revoked)
    }

    /// Not even a clock that panics keeps a key alive.
    fn time_or_end(&self) -> Timestamp {
        caught(|| self.0.clock.now()).unwrap_or(Timestamp::MAX)
    }

    /// A reading for operations that take away: by a clock that fails, no key is over that was not
    /// before.
    fn reading_to_shrink(&self) -> Reading {
        let now = self.time_or_end();
        let latest = match now {
            Timestamp::MAX => Timestamp::from_unix(0),
            now => now,
        };
        let latest_end = self.0.latest_end.load(Ordering::Relaxed);
        Reading { now, latest }.or_later(Timestamp::from_unix(latest_end))
    }
}
