//! A database in memory that a replica can follow, and that a test can stop, restore and damage.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower_api_key::replica::{Batch, Changes, Feed, Head, Position, Realms, Sums};
use tower_api_key::store::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, KeyStore, KeyUsage, ListQuery, Lookup,
    MemoryStore, Page, Revoked, StoreError, StoreId, Target, Write,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation, Timestamp};

/// A database. Clones share it.
#[derive(Clone)]
pub struct MemoryFeed(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    calls: Calls,
    before_load: Mutex<Option<Meanwhile>>,
}

/// What happens just before a call is answered.
type Meanwhile = Box<dyn FnOnce(&MemoryFeed) + Send>;

/// How often each was called.
#[derive(Default)]
pub struct Calls {
    pub find: AtomicUsize,
    pub get_many: AtomicUsize,
    pub head: AtomicUsize,
    pub page: AtomicUsize,
    pub changes: AtomicUsize,
    /// Those of changes that asked for checksums.
    pub sums: AtomicUsize,
    pub forget: AtomicUsize,
}

struct State {
    store: MemoryStore,
    known: Rows,
    log: Vec<(u64, [u8; 32])>,
    history: u64,
    last: u64,
    staleness: Duration,
    longest: Duration,
    page_size: usize,
    failing: Failing,
}

type Rows = BTreeMap<[u8; 32], Arc<KeyRecord>>;

/// Whether calls are answered.
#[derive(Clone, Copy, PartialEq)]
pub enum Failing {
    Not,
    /// Each call fails.
    Down,
    /// No call is answered.
    Hanging,
    /// The calls of the feed fail, and no other.
    FeedDown,
    /// The calls of the feed that ask for the checksums of this bucket or a later one fail, and no other.
    SumsFrom(u8),
    /// The calls of the feed panic, and no other.
    FeedPanics,
    /// The calls of the feed fail. A look-up finds what was there when it was called, and answers after this has
    /// ended.
    LateFinds,
}

impl MemoryFeed {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                store: MemoryStore::new(),
                known: Rows::new(),
                log: Vec::new(),
                history: 1,
                last: 0,
                staleness: Duration::from_mins(10),
                longest: Duration::from_mins(10),
                page_size: 5_000,
                failing: Failing::Not,
            }),
            calls: Calls::default(),
            before_load: Mutex::default(),
        }))
    }

    pub fn fail(&self, failing: Failing) {
        self.state().failing = failing;
    }

    /// Does this just before the next head or page.
    pub fn before_load(&self, meanwhile: impl FnOnce(&Self) + Send + 'static) {
        *self.0.before_load.lock().unwrap() = Some(Box::new(meanwhile));
    }

    fn meanwhile(&self) {
        let meanwhile = self.0.before_load.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile(self);
        }
    }

    pub fn page_size(&self, records: usize) {
        self.state().page_size = records;
    }

    pub fn state_staleness(&self, staleness: Duration, longest: Duration) {
        let mut state = self.state();
        state.staleness = staleness;
        state.longest = longest;
    }

    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// All rows.
    pub fn backup(&self) -> Vec<Arc<KeyRecord>> {
        self.state().known.values().cloned().collect()
    }

    /// Another history with these rows: a restored database, or one that has failed over.
    pub fn restore(&self, rows: Vec<Arc<KeyRecord>>) {
        let mut state = self.state();
        state.replace(rows);
        state.history += 1;
        state.log.clear();
    }

    /// These rows in the place of all, as changes of the same history.
    pub fn edit(&self, rows: Vec<Arc<KeyRecord>>) {
        let mut state = self.state();
        let before = state.known.clone();
        state.replace(rows);
        state.log_differences(&before);
    }

    /// The same, without a trigger that logs it.
    pub fn edit_unseen(&self, rows: Vec<Arc<KeyRecord>>) {
        self.state().replace(rows);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    async fn answers(&self, feed: bool) -> Result<MemoryStore, StoreError> {
        let (failing, store) = {
            let state = self.state();
            (state.failing, state.store.clone())
        };
        match failing {
            Failing::Down => Err(StoreError::unavailable("the database is down")),
            Failing::Hanging => pending().await,
            Failing::FeedDown | Failing::LateFinds if feed => {
                Err(StoreError::unavailable("the feed is down"))
            }
            Failing::FeedPanics if feed => panic!("the feed panics"),
            _ => Ok(store),
        }
    }

    /// Logs what a call has changed.
    fn log(&self) {
        let mut state = self.state();
        let before = state.known.clone();
        state.known = rows(&state.store);
        state.log_differences(&before);
    }
}

impl State {
    fn replace(&mut self, rows: Vec<Arc<KeyRecord>>) {
        self.store = MemoryStore::new();
        let writes = rows.iter().cloned().map(Write::new).collect();
        self.store.apply(&Change::new(writes)).unwrap();
        self.known = rows
            .into_iter()
            .map(|row| (*row.digest().as_bytes(), row))
            .collect();
    }

    fn log_differences(&mut self, before: &Rows) {
        self.last += 1;
        let digests: BTreeSet<_> = before.keys().chain(self.known.keys()).collect();
        for digest in digests {
            if before.get(digest) != self.known.get(digest) {
                self.log.push((self.last, *digest));
            }
        }
    }

    fn head(&self) -> Head {
        let position = Position::new(format!("{}:{}", self.history, self.last));
        let mut head = Head::new(position, self.staleness);
        head.longest_staleness = self.longest;
        head
    }

    fn sums(&self, realms: &Realms, buckets: &RangeInclusive<u8>) -> Sums {
        let mut sums = Sums::new();
        let rows = self.known.iter();
        let rows = rows.filter(|(digest, _)| buckets.contains(&digest[0]));
        for (_, row) in rows.filter(|(_, row)| realms.contains(row.realm())) {
            sums.add(row);
        }
        sums
    }

    fn changes(
        &self,
        realms: &Realms,
        since: &Position,
        after: Option<&KeyDigest>,
        sums_of: Option<&RangeInclusive<u8>>,
    ) -> Changes {
        let (history, since) = since.as_str().split_once(':').unwrap();
        let since: u64 = since.parse().unwrap();
        if history != self.history.to_string() {
            return Changes::Lost;
        }
        let after = after.map(KeyDigest::as_bytes);
        let mut digests: BTreeSet<_> = self.log.iter().filter(|(at, _)| *at > since).collect();
        digests.retain(|(_, digest)| after.is_none_or(|after| digest > after));
        let digests: BTreeSet<[u8; 32]> = digests.into_iter().map(|(_, digest)| *digest).collect();
        let mut batch = Batch::new(self.head());
        let sums_of = sums_of.filter(|_| after.is_none());
        batch.sums = sums_of.map(|buckets| self.sums(realms, buckets));
        for digest in digests.iter().take(self.page_size) {
            let row = self.known.get(digest);
            match row.filter(|row| realms.contains(row.realm())) {
                Some(row) => batch.records.push(Arc::clone(row)),
                None => batch.gone.push(KeyDigest::from_bytes(*digest)),
            }
            if digests.len() > self.page_size {
                batch.next = Some(KeyDigest::from_bytes(*digest));
            }
        }
        Changes::Since(batch)
    }
}

/// All rows of a store that answers at once.
fn rows(store: &MemoryStore) -> Rows {
    let mut rows = Rows::new();
    for realm in now(store.realms()).unwrap() {
        for row in now(store.list(&realm, &ListQuery::new())).unwrap() {
            rows.insert(*row.digest().as_bytes(), row);
        }
    }
    rows
}

fn now<T>(mut future: BoxFuture<'_, T>) -> T {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory answers at once"),
    }
}

fn count(calls: &AtomicUsize) {
    calls.fetch_add(1, Ordering::Relaxed);
}

impl Feed for MemoryFeed {
    fn head(&self) -> BoxFuture<'_, Result<Head, StoreError>> {
        count(&self.0.calls.head);
        Box::pin(async move {
            self.answers(true).await?;
            self.meanwhile();
            Ok(self.state().head())
        })
    }

    fn page<'a>(
        &'a self,
        realms: &'a Realms,
        after: Option<&'a KeyDigest>,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        count(&self.0.calls.page);
        Box::pin(async move {
            self.answers(true).await?;
            self.meanwhile();
            let state = self.state();
            let after = after.map(KeyDigest::as_bytes);
            let rows = state.known.iter();
            let rows = rows.filter(|(digest, row)| {
                after.is_none_or(|after| *digest > after) && realms.contains(row.realm())
            });
            let page = rows.take(state.page_size);
            Ok(page.map(|(_, row)| Arc::clone(row)).collect())
        })
    }

    fn changes<'a>(
        &'a self,
        realms: &'a Realms,
        since: &'a Position,
        after: Option<&'a KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> BoxFuture<'a, Result<Changes, StoreError>> {
        count(&self.0.calls.changes);
        Box::pin(async move {
            self.answers(true).await?;
            let state = self.state();
            if let Some(buckets) = &sums_of {
                count(&self.0.calls.sums);
                if matches!(state.failing, Failing::SumsFrom(first) if *buckets.end() >= first) {
                    return Err(StoreError::unavailable("the feed counts no sums"));
                }
            }
            Ok(state.changes(realms, since, after, sums_of.as_ref()))
        })
    }

    fn forget<'a>(&'a self, _: &'a Position) -> BoxFuture<'a, Result<(), StoreError>> {
        count(&self.0.calls.forget);
        Box::pin(async move { self.answers(true).await.map(drop) })
    }
}

impl KeyStore for MemoryFeed {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        count(&self.0.calls.find);
        let (feed, realm, digest) = (self.clone(), realm.clone(), *digest);
        let (is_late, early) = {
            let state = self.state();
            let found = state.known.get(digest.as_bytes());
            let found = found.filter(|row| *row.realm() == realm).cloned();
            (state.failing == Failing::LateFinds, found)
        };
        Lookup::Pending(Box::pin(async move {
            if is_late {
                while feed.state().failing == Failing::LateFinds {
                    tokio::task::yield_now().await;
                }
                return Ok(early);
            }
            let store = feed.answers(false).await?;
            match store.find(&realm, &digest) {
                Lookup::Ready(found) => found,
                Lookup::Pending(found) => found.await,
            }
        }))
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let store = self.answers(false).await?;
            store.commit(change).await?;
            self.log();
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
            let store = self.answers(false).await?;
            let revoked = store.revoke(realm, target, revocation, by).await?;
            self.log();
            Ok(revoked)
        })
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        Box::pin(async move { self.answers(false).await?.get(realm, id).await })
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        count(&self.0.calls.get_many);
        Box::pin(async move {
            match self.answers(false).await {
                Ok(store) => store.get_many(realm, ids).await,
                Err(error) => vec![Err(error); ids.len()],
            }
        })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move { self.answers(false).await?.list(realm, query).await })
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        Box::pin(async move { self.answers(false).await?.realms().await })
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let store = self.answers(false).await?;
            let purged = store.purge(realm, ended_by, by).await?;
            self.log();
            Ok(purged)
        })
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        Box::pin(async move {
            let store = self.answers(false).await?;
            store.claim_expiry_notices(realm, ladder, now, limit).await
        })
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.answers(false).await?.record_uses(realm, uses).await })
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        Box::pin(async move { self.answers(false).await?.last_uses(realm, ids).await })
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let answers = self.answers(false).await?;
            answers.record_usage(realm, usages).await
        })
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        Box::pin(async move { self.answers(false).await?.usages(realm, ids).await })
    }
}
