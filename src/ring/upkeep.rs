//! The background work of a ring: last uses, notices of keys that expire soon, and the removal of old records.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use super::KeyRing;
use super::noting::Noting;
use crate::error::Error;
use crate::key::KeyId;
use crate::observe::event::Event;
use crate::store::{KeyUsage, StoreError, StoreErrorKind};
use crate::support::caught::caught_in;
use crate::time::Timestamp;

/// How long dead records may lie beyond their retention.
const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl KeyRing {
    /// The background work of a running service, as a future that never ends. It writes the last uses of
    /// keys, and what they were used for, to the store at each [`upkeep_interval`](crate::KeyRingBuilder::upkeep_interval), reports keys that expire
    /// soon, and [purges](Self::purge) dead records at the start and then once an hour. Work that failed, or
    /// panicked in the store, is tried again after an interval, and the ring's observer receives
    /// [`UpkeepFailed`](crate::EventKind::UpkeepFailed). If the store refuses writes, the purge and the notices are left
    /// to a process that may write, and the observer is notified once of each.
    ///
    /// # Keys that expire soon
    ///
    /// At the start and then at each interval, it claims in the store which keys have reached a step of the ring's
    /// [`expiry_notices`](crate::KeyRingBuilder::expiry_notices), and the observer receives
    /// [`ExpiresSoon`](crate::EventKind::ExpiresSoon) for each. A claim is one commit, which only one of any number of
    /// processes makes, and it holds if the key is not revoked, not replaced and not expired in that commit. A key can be
    /// revoked between the commit and the event.
    ///
    /// The **event** comes at once, and **at most once**: a process that dies between the commit and the event loses those of up
    /// to 100 keys, and so does one whose database loses the connection in the commit. These keys have an event again at their
    /// next step.
    ///
    /// The **history** has each notice **exactly once** for each key and step: a store that keeps a
    /// [history](Self::history) writes an entry of the kind [`ExpiryNoticed`](crate::store::HistoryKind::ExpiryNoticed) in the
    /// commit of the claim. A job that must miss no notice follows the history, and keeps its own place and what it has done:
    /// [the guide](crate::guide::history#notices-of-expiry) shows how. Only a ring with an observer claims notices, so give
    /// one to the upkeep, even if it does nothing.
    ///
    /// If a database loses a commit, because a standby without it takes over or a backup is restored, it loses the claim
    /// and the entry together. They still agree, and the notice is claimed again: a second event, and one entry.
    ///
    /// No operation of a ring changes an expiry. If a statement by hand moves one closer, the notice is that of the step that
    /// is the nearest then, unless it or a closer one was sent before. Claims are kept with the record until it is
    /// [purged](Self::purge). They are not copied to another store. By a clock that is ahead, notices come early. A clock that fails, and reads
    /// [`Timestamp::MAX`], sends none.
    ///
    /// ```no_run
    /// # use tower_api_key::{KeyRing, store::MemoryStore};
    /// # async fn serve() -> Result<(), tower_api_key::Error> {
    /// let ring = KeyRing::builder("acme").track_last_use().build(MemoryStore::new())?;
    /// tokio::spawn(ring.upkeep());
    /// # Ok(())
    /// # }
    /// ```
    pub fn upkeep(&self) -> impl Future<Output = Infallible> + Send + 'static {
        // Side by side: a purge that takes its time holds no use back.
        let mut recording = Box::pin(self.clone().record_for_ever());
        let mut notifying = Box::pin(self.clone().notify_for_ever());
        let mut purging = Box::pin(self.clone().purge_for_ever());
        poll_fn(move |context| {
            if let Poll::Ready(never) = recording.as_mut().poll(context) {
                return Poll::Ready(never);
            }
            // Before the purge, so that a key has its notice before it is gone.
            if let Poll::Ready(never) = notifying.as_mut().poll(context) {
                return Poll::Ready(never);
            }
            purging.as_mut().poll(context)
        })
    }

    async fn record_for_ever(self) -> Infallible {
        loop {
            self.0.clock.sleep(self.0.upkeep_interval).await;
            // The uses that the store did not take are kept for the next turn.
            let panicked = || Err(StoreError::from(StoreErrorKind::Unavailable).into());
            let recorded = caught_in(self.record_uses()).await;
            if let Err(failure) = recorded.unwrap_or_else(panicked) {
                self.report_failure(&failure);
            }
        }
    }

    async fn purge_for_ever(self) -> Infallible {
        let mut told_that_it_may_not = false;
        loop {
            let mut pause = PURGE_INTERVAL;
            let panicked = || Err(StoreErrorKind::Unavailable.into());
            let purged = caught_in(self.purge_store()).await;
            if let Err(failure) = purged.unwrap_or_else(panicked) {
                let may_not = may_not(failure.kind());
                if !(may_not && told_that_it_may_not) {
                    self.report_failure(&failure.into());
                }
                told_that_it_may_not = may_not;
                if !may_not {
                    pause = pause.min(self.0.upkeep_interval);
                }
            }
            self.0.clock.sleep(pause).await;
        }
    }

    pub(super) fn report_failure(&self, failure: &Error) {
        let event = || Event::upkeep_failed(&self.0.realm, failure);
        self.0.observer.tell(event);
    }

    /// Removes the records of keys that have been dead for longer than the ring's
    /// [`retention`](crate::KeyRingBuilder::retention), and says how many there were. By a clock that
    /// is ahead, keys that are still valid elsewhere have ended, and are removed for good once it is
    /// ahead by more than the retention. A clock that fails, and reads [`Timestamp::MAX`], removes
    /// nothing, and neither does a ring that
    /// [asks for unknown keys](crate::KeyRingBuilder::unknown_keys).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the store failed. Some of the records may be
    /// gone then.
    pub async fn purge(&self) -> Result<u64, Error> {
        Ok(self.purge_store().await?)
    }

    async fn purge_store(&self) -> Result<u64, StoreError> {
        let (now, retention) = (self.0.clock.now(), self.0.retention.as_secs());
        // A clock that fails reads MAX, by which every key has ended. A key that was moved by being
        // asked for, and is forgotten, would be asked for again, revoked or not.
        if now == Timestamp::MAX || self.0.unknown_keys.is_some() {
            return Ok(0);
        }
        let Some(ended_by) = now.as_unix().checked_sub(retention) else {
            return Ok(0);
        };
        let ended_by = Timestamp::from_unix(ended_by);
        let (store, realm) = (&self.0.store, &self.0.realm);
        store.purge(realm, ended_by, self.actor()).await
    }

    /// Tells the store the uses that it does not know yet, and what the keys were used for, as
    /// [`upkeep`](Self::upkeep) does at each turn: for the end of a service, so that the last of them are not lost.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the store failed. The uses are kept for the next
    /// time, unless the store is read-only.
    pub async fn record_uses(&self) -> Result<(), Error> {
        // Either is recorded if the store does not take the other.
        let last = self.record_last_uses().await;
        let usage = self.record_usage().await;
        last.and(usage)
    }

    async fn record_usage(&self) -> Result<(), Error> {
        let Some(noting) = &self.0.noting else {
            return Ok(());
        };
        let usages = noting.take();
        if usages.is_empty() {
            return Ok(());
        }
        let mut unrecorded = UnrecordedUsage { noting, usages };
        let (store, usages) = (&self.0.store, &unrecorded.usages);
        let recorded = store.record_usage(&self.0.realm, usages).await;
        match &recorded {
            Err(error) if !may_not(error.kind()) => {}
            // A store that cannot be written to never takes them.
            Err(_) | Ok(()) => unrecorded.usages.clear(),
        }
        Ok(recorded?)
    }

    async fn record_last_uses(&self) -> Result<(), Error> {
        let Some(collected) = &self.0.uses else {
            return Ok(());
        };
        let uses = collected.take();
        if uses.is_empty() {
            return Ok(());
        }
        // Given back unless the store took them, also if this future is dropped meanwhile.
        let mut unrecorded = Unrecorded { ring: self, uses };
        let store = &self.0.store;
        let recorded = store.record_uses(&self.0.realm, &unrecorded.uses).await;
        match &recorded {
            Err(error) if !may_not(error.kind()) => {}
            // A store that cannot be written to never takes them.
            Err(_) | Ok(()) => unrecorded.uses.clear(),
        }
        Ok(recorded?)
    }

    /// When this key was last used, as far as the store knows; `None` for a key that it knows no
    /// use of. With a ring that [tracks](crate::KeyRingBuilder::track_last_use) uses, and a store that
    /// answers, it is behind by an [upkeep](Self::upkeep) interval at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the store failed.
    pub async fn last_used(&self, id: KeyId) -> Result<Option<Timestamp>, Error> {
        let uses = self.last_used_many(&[id]).await?;
        Ok(uses.into_iter().next().flatten())
    }

    /// When each of these keys was last used, in their order; as [`last_used`](Self::last_used) for
    /// one. It is one call of the store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the store failed.
    pub async fn last_used_many(&self, ids: &[KeyId]) -> Result<Vec<Option<Timestamp>>, Error> {
        Ok(self.0.store.last_uses(&self.0.realm, ids).await?)
    }

    /// What each of these keys was used for, in their order, as far as the store knows: the scopes that requests needed
    /// and the networks that they came from. It is known of the uses at rings that track
    /// [scopes](crate::KeyRingBuilder::track_scope_use) or [networks](crate::KeyRingBuilder::track_networks), up to their
    /// last [upkeep](Self::upkeep). It is one call of the store.
    ///
    /// ```
    /// use tower_api_key::{Grant, KeyRing, Requirement, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").track_scope_use().build(MemoryStore::new())?;
    /// let issued = ring.issue(Grant::new("alice").scopes("orders:read orders:write")).await?;
    /// let key = ring.verify(issued.secret().expose().as_bytes()).await?;
    /// assert!(key.require(&Requirement::scope("orders:read")?).is_ok());
    ///
    /// ring.record_uses().await?;
    /// let usages = ring.usages(&[issued.id()]).await?;
    /// let exercised = usages[0].scopes().unwrap().scopes();
    /// assert_eq!(exercised.as_str(), "orders:read");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the store failed, or keeps no usage.
    pub async fn usages(&self, ids: &[KeyId]) -> Result<Vec<KeyUsage>, Error> {
        Ok(self.0.store.usages(&self.0.realm, ids).await?)
    }
}

/// Whether the store will never do what it was asked for.
fn may_not(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::ReadOnly | StoreErrorKind::Unsupported)
}

/// What keys were used for, on its way to the store. It is given back unless the store took it, also if the future is
/// dropped meanwhile.
struct UnrecordedUsage<'a> {
    noting: &'a Noting,
    usages: Vec<(KeyId, KeyUsage)>,
}

impl Drop for UnrecordedUsage<'_> {
    fn drop(&mut self) {
        if !self.usages.is_empty() {
            self.noting.give_back(&self.usages);
        }
    }
}

/// Uses on their way to the store.
struct Unrecorded<'a> {
    ring: &'a KeyRing,
    uses: Vec<(KeyId, Timestamp)>,
}

impl Drop for Unrecorded<'_> {
    fn drop(&mut self) {
        if let Some(collected) = &self.ring.0.uses {
            for &(id, at) in &self.uses {
                collected.mark(id, at);
            }
        }
    }
}
