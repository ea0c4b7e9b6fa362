//! Keys in the place of others.

use std::sync::Arc;
use std::time::Duration;

use super::change::MAX_ATTEMPTS;
use super::{Issued, KeyRing};
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::lifecycle::grant::Grant;
use crate::lifecycle::{self, Ending, Reading};
use crate::observe::event::{Event, EventKind};
use crate::record::KeyRecord;

impl KeyRing {
    /// Replaces a key by a new one with the same authority, and lets the old one work on for a
    /// while, so that its holder can change over without an outage.
    ///
    /// **The new key may live shorter than the old one.** Its lifetime is as long, from now, and cut to
    /// the ring's [`max_lifetime`](crate::KeyRingBuilder::max_lifetime), which is 90 days by
    /// default: a key of 365 days becomes one of 90 days. If a key that never expires is rotated by a
    /// ring that allows none, the new one gets 90 days, or the ring's longest if that is shorter. That is
    /// not an error. Compare [`expires_at`](KeyRecord::expires_at) of both records to see it.
    ///
    /// The new key has the subject, scopes, label and metadata of the record.
    ///
    /// The grace period of the old key ends after `grace`, or at its own expiry if that is sooner. That
    /// moment never moves again. The grace period is in whole seconds, without the fraction, and counts from the
    /// second that has begun: it may end up to a second early.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an id that this realm does not know;
    /// [`ErrorKind::KeyExpired`], [`KeyReplaced`](ErrorKind::KeyReplaced) and
    /// [`KeyRevoked`](ErrorKind::KeyRevoked) for a key that is dead; [`ErrorKind::InGrace`] for one
    /// that was rotated already, or whose predecessor still works;
    /// [`ErrorKind::InvalidGrace`] and [`ErrorKind::GraceTooLong`];
    /// [`ErrorKind::ScopeNotGrantable`] if the ring no longer grants a scope of the key;
    /// [`ErrorKind::InvalidLifetime`] if the new key would be over at once; [`ErrorKind::Conflict`] if
    /// other writers were first over and over; [`ErrorKind::Generator`] and [`ErrorKind::Store`].
    /// Nothing has changed then, except that a store that failed
    /// [may have lost its answer](KeyRing#when-a-change-is-in-doubt).
    pub async fn rotate(&self, id: KeyId, grace: Duration) -> Result<Issued, Error> {
        self.replace(id, Ending::After(grace)).await
    }

    /// Replaces a key by a new one with the same authority, and ends the old one, and whatever
    /// else of its lineage still works, in the same commit: for a secret that has leaked. The
    /// lifetime is that of [`rotate`](Self::rotate), and may be shorter than the old one's too.
    ///
    /// # Errors
    ///
    /// As [`rotate`](Self::rotate), except for the grace period. A predecessor in its grace period is no
    /// hindrance.
    pub async fn rotate_now(&self, id: KeyId) -> Result<Issued, Error> {
        self.replace(id, Ending::Now).await
    }

    async fn replace(&self, id: KeyId, ending: Ending) -> Result<Issued, Error> {
        let (minted, secret) = self.mint()?;
        for _ in 0..MAX_ATTEMPTS {
            let lineage = self.lineage_of(id).await?;
            let (record, change) = lifecycle::rotate(
                id,
                &lineage,
                &minted,
                ending,
                &self.0.policy,
                self.0.reading(),
            )?;
            if self.commit(&change).await? {
                let kind = EventKind::Rotated { replaced: id };
                self.tell(|| Event::about(kind, &record));
                self.report_revoked(&change);
                return Ok(Issued { secret, record });
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Answers a privilege change: a new key with the authority of the grant, and the old one,
    /// with everything of its lineage that still works, dead in the same commit. There is no grace
    /// period, and no moment at which both are live.
    ///
    /// This is the only way to more privilege, so a key from before the change never carries it.
    ///
    /// The lifetime comes from the grant, not from the old key: 90 days if the grant names none, or the
    /// ring's longest if that is shorter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::KeyExpired`], [`KeyReplaced`](ErrorKind::KeyReplaced),
    /// [`KeyRevoked`](ErrorKind::KeyRevoked), or [`ErrorKind::InGrace`] for a key that was rotated
    /// already; for the grant as [`issue`](Self::issue). Nothing has changed then, as with
    /// [`rotate`](Self::rotate).
    pub async fn regrant(&self, id: KeyId, grant: Grant) -> Result<Issued, Error> {
        self.promote(self, id, grant).await
    }

    /// Regrants a key of another ring into this one: a temporary key, handed out before its
    /// holder was known, ends, and the real key begins.
    ///
    /// Both happen in one commit if the rings share a store, which they do if they were built with
    /// clones of one value. The same file or database opened twice is two stores. Over two stores, the
    /// temporary key is dead before the real one is issued, so that a failure between the two leaves
    /// neither.
    ///
    /// The lifetime comes from the grant and the limits of this ring, as with
    /// [`regrant`](Self::regrant).
    ///
    /// If the rings have two clocks, the times are those of this ring's, and neither key may be over by
    /// either.
    ///
    /// The observer of this ring receives [`Regranted`](EventKind::Regranted), that of `from` receives
    /// [`Revoked`](EventKind::Revoked).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::{Grant, KeyRing, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = MemoryStore::new();
    /// let visitors = KeyRing::builder("visit")
    ///     .max_lifetime(Duration::from_secs(15 * 60))
    ///     .grantable_scopes(["cart"])
    ///     .build(store.clone())?;
    /// let customers = KeyRing::builder("acme").build(store)?;
    ///
    /// let temporary = visitors.issue(Grant::new("visitor").scopes(["cart"])).await?;
    /// // The visitor logs in as alice.
    /// let grant = Grant::new("alice").scopes(["cart", "orders"]);
    /// let real = customers.promote(&visitors, temporary.record().id(), grant).await?;
    ///
    /// assert!(visitors.verify(temporary.secret().expose().as_bytes()).await.is_err());
    /// assert!(customers.verify(real.secret().expose().as_bytes()).await.is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`regrant`](Self::regrant); the id is one of `from`, and the grant is for this ring. Over two
    /// stores, the temporary key may be dead, and no real one there, if the kind is one of
    /// [`ErrorKind::Store`], [`ErrorKind::Conflict`] and [`ErrorKind::TooManyKeys`].
    pub async fn promote(&self, from: &Self, id: KeyId, grant: Grant) -> Result<Issued, Error> {
        let (minted, secret) = self.mint()?;
        let policy = self.policy_for(&grant).await?;
        for _ in 0..MAX_ATTEMPTS {
            let lineage = from.lineage_of(id).await?;
            let (record, change) = lifecycle::regrant(
                id,
                &lineage,
                minted.clone(),
                grant.clone(),
                &policy,
                self.reading_with(from),
            )?;
            let change = change.by(self.actor());
            if self.shares_store_with(from) {
                let committed = from.commit(&change).await;
                // As `commit` does for its own ring: an error may be only the answer's.
                self.wake(&change);
                if !committed? {
                    continue;
                }
                self.report_regranted(id, &record);
                from.report_revoked(&change);
            } else {
                // A temporary key that nothing could replace stays.
                self.require_room(&record).await?;
                // The real key only if the temporary one is dead.
                let ends = change.to_known_records();
                if !from.commit(&ends).await? {
                    continue;
                }
                from.report_revoked(&ends);
                self.add_promoted(&record).await?;
                self.report_regranted(id, &record);
            }
            return Ok(Issued { secret, record });
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Refuses a record that is one key too many for its subject.
    async fn require_room(&self, record: &KeyRecord) -> Result<(), Error> {
        let Some(question) = lifecycle::room(record, &self.0.policy, self.0.reading()) else {
            return Ok(());
        };
        match (
            self.commit(&question).await,
            self.0.policy.max_keys_per_subject,
        ) {
            (Err(error), Some(limit)) if matches!(error.kind(), ErrorKind::TooManyKeys { .. }) => {
                Err(ErrorKind::TooManyKeys { limit }.into())
            }
            (answer, _) => answer.map(drop),
        }
    }

    /// The second commit of a promotion between stores: the way back is gone, so that it is tried
    /// again while others are first.
    async fn add_promoted(&self, record: &Arc<KeyRecord>) -> Result<(), Error> {
        for _ in 0..MAX_ATTEMPTS {
            let change = lifecycle::add(record, &self.0.policy, self.0.reading());
            if self.commit(&change).await? {
                return Ok(());
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// This ring's reading, by which a key is also over if it is over by the other's.
    fn reading_with(&self, other: &Self) -> Reading {
        let at = self.0.reading();
        if Arc::ptr_eq(&self.0, &other.0) {
            return at;
        }
        at.or_later(other.0.reading().latest)
    }

    fn report_regranted(&self, replaced: KeyId, record: &KeyRecord) {
        let kind = EventKind::Regranted { replaced };
        self.tell(|| Event::about(kind, record));
    }

    fn shares_store_with(&self, other: &Self) -> bool {
        let identity = self.0.store.identity();
        Arc::ptr_eq(&self.0, &other.0)
            || (identity.is_some() && identity == other.0.store.identity())
    }
}
