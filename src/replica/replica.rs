//! A store that verifies from memory.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use super::shared::Shared;
use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::{KeyRecord, Revocation};
use crate::store::{
    BoxFuture, Change, ChangeListener, ExpiryClaims, ExpiryLadder, Found, HistoryPage,
    HistoryQuery, Index, KeyStore, KeyUsage, ListQuery, Lookup, Page, Revoked, StoreError, StoreId,
    Target,
};
use crate::time::Timestamp;

/// A store that verifies from memory, with a copy of a database's keys that is no older than a stated bound, or does
/// not answer.
///
/// Reads of requests are answered from memory while the copy [is fresh](super::ReplicaOptions::staleness). If it is
/// not, each look-up asks the database, and if that fails too, the request is refused (503). Everything else goes to
/// the database: changes, lists, last uses. A change returns once this replica has it.
///
/// A key that was dead here once stays dead here for the life of the process, whatever a restored database says, and
/// so does a key whose row is gone. Remembering one whose row is gone takes 20 to 40 bytes for as long.
/// That is the one deviation from the contract of [`KeyStore`], for which the digest of a purged record is free.
///
/// Make it after the last fork of the process. A child has the records and no thread that follows. It answers from
/// memory until the proof of its parent ends, and then refuses every request (503), because a connection to a database
/// belongs to one process.
///
/// The documentation of the [module](super) has an example, and [`ReplicaOptions`](super::ReplicaOptions) the
/// settings. Clones share the records.
#[derive(Clone)]
pub struct Replica(pub(super) Arc<Shared>);

impl Replica {
    /// Completes once the records are fresh: at once if they are. A readiness probe waits for it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::store::StoreErrorKind::Unavailable) if the future [`Follow`](super::Follow) is gone.
    pub async fn ready(&self) -> Result<(), StoreError> {
        // Before the look, so that nothing is missed in between.
        let freshness = self.0.inbox.next_freshness();
        if self.is_fresh() {
            return Ok(());
        }
        let fresh = freshness.await;
        fresh.ok_or_else(|| self.0.why_stale())
    }

    /// Whether requests are answered from memory now.
    pub fn is_fresh(&self) -> bool {
        self.0.freshness().is_fresh()
    }

    /// How old the records may be at the most: the time since the last successful pull was asked for. It is what an
    /// alert should be about, above half of the staleness. `None` before the first pull.
    pub fn staleness(&self) -> Option<Duration> {
        self.0.staleness()
    }

    /// How many records are held.
    pub fn len(&self) -> usize {
        self.0.memory.index().len()
    }

    /// Whether no record is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Completes once this replica has all that was committed before the call, by whatever process.
    ///
    /// Call it after a change in a transaction of the application. The changes of a ring over this replica do it by
    /// themselves.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::store::StoreErrorKind::Unavailable) if the database gives no answer.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let caught_up = self.wait_for_pull().await;
        caught_up.ok_or_else(|| self.0.why_stale())
    }

    /// Completes once every replica of the database refuses what was revoked before the call, also one that is cut
    /// off or stopped. It waits for the longest staleness that was in force in the last twenty minutes and a ninth more,
    /// because a proof of freshness that does not know of the revocation has ended by then.
    ///
    /// The mirror image holds too: after it, a new key is known everywhere.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::store::StoreErrorKind::Unavailable) if the database gives no answer.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let no_clock = || StoreError::unavailable("the clock counts no elapsed time");
        let begun = self.0.clock.elapsed().ok_or_else(no_clock)?;
        // The staleness of the database is that after the call.
        self.catch_up().await?;
        let end = begun + self.0.longest_staleness() / 9 * 10 + Duration::from_nanos(10);
        loop {
            let now = self.0.clock.elapsed().ok_or_else(no_clock)?;
            match end.checked_sub(now) {
                None | Some(Duration::ZERO) => return Ok(()),
                Some(left) => self.0.clock.sleep(left).await,
            }
        }
    }

    /// A change was committed. It returns once look-ups here see it.
    async fn follow_up(&self) {
        let shared = &self.0;
        if !shared.is_following.load(Ordering::Relaxed) || self.wait_for_pull().await.is_none() {
            // Look-ups ask the database, and no pull that was asked for before proves anything.
            shared.freshness().end();
            shared.note_freshness();
        }
    }

    /// Waits for a pull that is asked for from now on.
    async fn wait_for_pull(&self) -> Option<()> {
        let mut pulled = Box::pin(self.0.inbox.next_pull());
        // The future that pulls may be starved.
        let mut timeout = self.0.clock.sleep(self.0.patience);
        poll_fn(|context| match pulled.as_mut().poll(context) {
            Poll::Ready(pulled) => Poll::Ready(pulled),
            Poll::Pending => timeout.as_mut().poll(context).map(|()| None),
        })
        .await
    }

    /// What an answer of the database is worth here. The last of it is what was held before it was asked.
    fn met(
        &self,
        realm: &Realm,
        digest: &KeyDigest,
        found: Found,
        before: Option<&KeyRecord>,
    ) -> Found {
        found.map(|found| self.0.memory.met(realm, digest, before, found))
    }
}

impl KeyStore for Replica {
    /// Asks the database, because the records in memory are not fresh or not of this realm.
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let shared = &self.0;
        if shared.is_forked() {
            let why =
                "this process was forked from the one that opened the store: open it after a fork";
            return Lookup::Ready(Err(StoreError::unavailable(why)));
        }
        if !shared.realms.contains(realm) {
            return shared.source.find(realm, digest);
        }
        shared.note_freshness();
        let before = shared.memory.held(digest);
        match shared.source.find(realm, digest) {
            Lookup::Ready(found) => {
                Lookup::Ready(self.met(realm, digest, found, before.as_deref()))
            }
            Lookup::Pending(found) => {
                let (replica, realm, digest) = (self.clone(), realm.clone(), *digest);
                Lookup::Pending(Box::pin(async move {
                    let found = found.await;
                    replica.met(&realm, &digest, found, before.as_deref())
                }))
            }
        }
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        self.0.source.spawn(task)
    }

    fn index(&self, realm: &Realm) -> Option<&Index> {
        let is_held = self.0.realms.contains(realm);
        is_held.then(|| self.0.memory.index())
    }

    fn on_change(&self, listener: Weak<dyn ChangeListener>) {
        self.0.listen(listener);
    }

    fn identity(&self) -> Option<StoreId> {
        self.0.source.identity()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.0.source.as_any()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.0.source.commit(change).await?;
            self.follow_up().await;
            Ok(())
        })
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(async move {
            let revoked = self.0.source.revoke(realm, target, revocation, by).await?;
            self.follow_up().await;
            Ok(revoked)
        })
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.0.source.get(realm, id)
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        self.0.source.get_many(realm, ids)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.0.source.list(realm, query)
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        self.0.source.realms()
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let purged = self.0.source.purge(realm, ended_by, by).await?;
            self.follow_up().await;
            Ok(purged)
        })
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        self.0.source.history(realm, query)
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.0.source.forget_history(realm, before, by)
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        self.0
            .source
            .claim_expiry_notices(realm, ladder, now, limit)
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.source.record_uses(realm, uses)
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        self.0.source.last_uses(realm, ids)
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.source.record_usage(realm, usages)
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        self.0.source.usages(realm, ids)
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("index", self.0.memory.index())
            .finish_non_exhaustive()
    }
}
