//! A small feed with a selectable fault: the suite names each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower_api_key::replica::{Batch, Changes, Feed, Head, Position, Realms, Sums};
use tower_api_key::store::{
    BoxFuture, Change, Found, KeyStore, ListQuery, Lookup, MemoryStore, Page, Revoked, StoreError,
    Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation, Timestamp};
use tower_api_key_contract::{Clause, feed_contract};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    HidesRevocations,
    LogsACommitWithTheNext,
    MovesOnWithoutAnAnswer,
    ShowsOtherRealms,
    KeepsThePurged,
    OrdersPagesBackwards,
    SkipsOnePerPage,
    NamesNoNextPage,
    ChangesPagesOfOthers,
    AnswersOtherHistories,
    LosesItsOwnHistory,
    ForgetsWhatIsNeeded,
    SumsWithoutVersions,
    SumsEveryRealm,
    SumsTheStateBefore,
    SumsEveryBucket,
    SumsUnasked,
    AnswersTheDropped,
    Fails,
}

/// Fewer records than the suite commits.
const PAGE: usize = 1_000;

struct FaultyFeed {
    fault: Fault,
    history: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    store: MemoryStore,
    records: Records,
    records_before: Records,
    /// One for each change of a key, from the first that is not forgotten on.
    log: Vec<[u8; 32]>,
    forgotten: usize,
    late: Vec<[u8; 32]>,
    /// What a call asked that was not answered yet.
    unanswered: Option<Realms>,
}

type Records = BTreeMap<[u8; 32], Arc<KeyRecord>>;

/// The answer of a store that answers at once.
fn now<T>(mut answer: BoxFuture<'_, T>) -> T {
    match answer
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("memory answers at once"),
    }
}

impl FaultyFeed {
    fn new(fault: Fault) -> Self {
        static HISTORIES: AtomicU64 = AtomicU64::new(1);
        Self {
            fault,
            history: HISTORIES.fetch_add(1, Ordering::Relaxed),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Calls the store, and logs what it changed, as one step.
    fn logged<T>(&self, is_logged: bool, call: impl FnOnce(&MemoryStore) -> T) -> T {
        let mut state = self.state();
        let answer = call(&state.store);
        let mut records = Records::new();
        for realm in now(state.store.realms()).unwrap() {
            for record in now(state.store.list(&realm, &ListQuery::new())).unwrap() {
                records.insert(*record.digest().as_bytes(), record);
            }
        }
        let digests: BTreeSet<_> = state.records.keys().chain(records.keys()).collect();
        let differs = |digest: &&[u8; 32]| state.records.get(*digest) != records.get(*digest);
        let changed: Vec<_> = digests.into_iter().filter(differs).copied().collect();
        state.records_before = std::mem::replace(&mut state.records, records);
        if self.fault == Fault::LogsACommitWithTheNext {
            let late = std::mem::replace(&mut state.late, changed);
            state.log.extend(late);
        } else if is_logged {
            state.log.extend(changed);
        }
        answer
    }

    fn sums(&self, state: &State, realms: &Realms, buckets: &RangeInclusive<u8>) -> Sums {
        let mut sums = Sums::new();
        let records = match self.fault {
            Fault::SumsTheStateBefore => &state.records_before,
            _ => &state.records,
        };
        let is_asked = |digest: &[u8; 32]| {
            buckets.contains(&digest[0]) || self.fault == Fault::SumsEveryBucket
        };
        for (_, record) in records.iter().filter(|(digest, _)| is_asked(digest)) {
            if self.fault == Fault::SumsWithoutVersions {
                let mut parts = record.to_parts();
                parts.version = 1;
                sums.add(&parts.into());
            } else if realms.contains(record.realm()) || self.fault == Fault::SumsEveryRealm {
                sums.add(record);
            }
        }
        sums
    }

    fn head_of(&self, state: &State) -> Head {
        let at = state.forgotten + state.log.len();
        let position = Position::new(format!("{}:{at}", self.history));
        Head::new(position, Duration::from_secs(5))
    }

    fn place(&self, position: &Position) -> Option<usize> {
        let (history, place) = position.as_str().split_once(':')?;
        let is_own =
            history == self.history.to_string() || self.fault == Fault::AnswersOtherHistories;
        place.parse().ok().filter(|_| is_own)
    }

    fn shows(&self, realms: &Realms, record: &KeyRecord) -> bool {
        realms.contains(record.realm()) || self.fault == Fault::ShowsOtherRealms
    }

    fn changes_since(
        &self,
        realms: &Realms,
        since: &Position,
        after: Option<&KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> Changes {
        let state = self.state();
        let place = self
            .place(since)
            .and_then(|place| place.checked_sub(state.forgotten));
        let Some(place) = place.filter(|_| self.fault != Fault::LosesItsOwnHistory) else {
            return Changes::Lost;
        };
        let changed = state.log.get(place..).unwrap_or_default();
        let after = after.map(KeyDigest::as_bytes);
        let is_after = |digest: &&[u8; 32]| after.is_none_or(|after| *digest > after);
        let mut digests: BTreeSet<_> = changed.iter().collect();
        if self.fault != Fault::ChangesPagesOfOthers {
            digests.retain(is_after);
        }
        let count = digests.iter().filter(|digest| is_after(digest)).count();
        let mut batch = Batch::new(self.head_of(&state));
        let unasked = (self.fault == Fault::SumsUnasked).then_some(0..=u8::MAX);
        let sums_of = sums_of.filter(|_| after.is_none()).or(unasked);
        batch.sums = sums_of.map(|buckets| self.sums(&state, realms, &buckets));
        for digest in digests.into_iter().take(PAGE) {
            let key = KeyDigest::from_bytes(*digest);
            match state
                .records
                .get(digest)
                .filter(|record| self.shows(realms, record))
            {
                Some(record) => batch.records.push(Arc::clone(record)),
                None if self.fault == Fault::KeepsThePurged => {}
                None => batch.gone.push(key),
            }
            if count > PAGE && self.fault != Fault::NamesNoNextPage {
                batch.next = Some(key);
            }
        }
        if self.fault == Fault::MovesOnWithoutAnAnswer {
            batch.records.clear();
        }
        Changes::Since(batch)
    }

    fn page_after(&self, realms: &Realms, after: Option<&KeyDigest>) -> Vec<Arc<KeyRecord>> {
        let state = self.state();
        let after = after.map(KeyDigest::as_bytes);
        let is_after = |digest: &[u8; 32]| after.is_none_or(|after| digest > after);
        let records = state.records.iter().filter(|(digest, _)| is_after(digest));
        let records = records
            .map(|(_, record)| record)
            .filter(|record| self.shows(realms, record));
        let mut page: Vec<_> = records.take(PAGE).cloned().collect();
        match self.fault {
            Fault::OrdersPagesBackwards if page.len() == PAGE => page.reverse(),
            Fault::SkipsOnePerPage if page.len() == PAGE => drop(page.remove(7)),
            _ => {}
        }
        page
    }

    /// Waits as a database would make its caller wait.
    async fn asked<T>(
        &self,
        realms: &Realms,
        answer: impl FnOnce(&Realms) -> T,
    ) -> Result<T, StoreError> {
        if self.fault == Fault::Fails {
            return Err(StoreError::unavailable("no route to host"));
        }
        let mut realms = realms.clone();
        if self.fault == Fault::AnswersTheDropped {
            // As over a connection that has the answer of another call on its way.
            let unanswered = self.state().unanswered.replace(realms.clone());
            realms = unanswered.unwrap_or(realms);
        }
        tokio::task::yield_now().await;
        self.state().unanswered = None;
        Ok(answer(&realms))
    }
}

impl Feed for FaultyFeed {
    fn head(&self) -> BoxFuture<'_, Result<Head, StoreError>> {
        Box::pin(async {
            let head = |_: &Realms| self.head_of(&self.state());
            self.asked(&Realms::all(), head).await
        })
    }

    fn page<'a>(
        &'a self,
        realms: &'a Realms,
        after: Option<&'a KeyDigest>,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        Box::pin(self.asked(realms, move |realms| self.page_after(realms, after)))
    }

    fn changes<'a>(
        &'a self,
        realms: &'a Realms,
        since: &'a Position,
        after: Option<&'a KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> BoxFuture<'a, Result<Changes, StoreError>> {
        Box::pin(self.asked(realms, move |realms| {
            self.changes_since(realms, since, after, sums_of)
        }))
    }

    fn forget<'a>(&'a self, position: &'a Position) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut state = self.state();
        let known = state.forgotten + state.log.len();
        let place = self.place(position).filter(|place| *place <= known);
        let place = match self.fault {
            Fault::ForgetsWhatIsNeeded => place.map(|_| known),
            _ => place,
        };
        if let Some(place) = place.filter(|place| *place > state.forgotten) {
            let count = place - state.forgotten;
            state.log.drain(..count);
            state.forgotten = place;
        }
        Box::pin(async { Ok(()) })
    }
}

impl KeyStore for FaultyFeed {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.state().store.find(realm, digest)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { self.logged(true, |store| now(store.commit(change))) })
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        let is_logged = self.fault != Fault::HidesRevocations;
        Box::pin(async move {
            self.logged(is_logged, |store| {
                now(store.revoke(realm, target, revocation, by))
            })
        })
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        Box::pin(async move { now(self.state().store.get(realm, id)) })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async { now(self.state().store.list(realm, query)) })
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { self.logged(true, |store| now(store.purge(realm, ended_by, by))) })
    }
}

/// Runs the suite over a feed with this fault, and expects this clause and a message that contains this text.
#[track_caller]
fn is_caught(fault: Fault, clause: Clause, seen: &str) {
    let violation = verdict(fault).expect_err("the suite passes a broken feed");
    assert_eq!(violation.clause(), clause, "{violation}");
    assert!(violation.seen().contains(seen), "{violation}");
}

fn verdict(fault: Fault) -> Result<(), tower_api_key_contract::Violation> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(feed_contract(async || FaultyFeed::new(fault)))
}

#[test]
fn a_feed_without_a_fault_keeps_the_contract() {
    verdict(Fault::None).unwrap();
}

#[test]
fn a_change_that_is_missed_is_caught() {
    let clause = Clause::Completeness;
    is_caught(
        Fault::HidesRevocations,
        clause,
        "did not bring the revocation",
    );
    is_caught(
        Fault::LogsACommitWithTheNext,
        clause,
        "after a key was issued",
    );
    is_caught(
        Fault::MovesOnWithoutAnAnswer,
        clause,
        "after a key was issued",
    );
    is_caught(
        Fault::KeepsThePurged,
        clause,
        "after a purge, the digest was not gone",
    );
    is_caught(
        Fault::ShowsOtherRealms,
        clause,
        "a realm that was not asked for",
    );
}

#[test]
fn pages_that_do_not_fit_together_are_caught() {
    is_caught(
        Fault::OrdersPagesBackwards,
        Clause::Pages,
        "order of the digests",
    );
    is_caught(Fault::SkipsOnePerPage, Clause::Pages, "a copy had");
    is_caught(Fault::NamesNoNextPage, Clause::Pages, "a copy had");
    is_caught(
        Fault::ChangesPagesOfOthers,
        Clause::Pages,
        "is of another page",
    );
}

#[test]
fn a_position_that_counts_elsewhere_is_caught() {
    is_caught(
        Fault::AnswersOtherHistories,
        Clause::OneHistory,
        "another history was answered",
    );
    is_caught(
        Fault::LosesItsOwnHistory,
        Clause::Completeness,
        "answered with Lost",
    );
    is_caught(
        Fault::ForgetsWhatIsNeeded,
        Clause::OneHistory,
        "answered with Lost",
    );
}

#[test]
fn sums_of_something_else_are_caught() {
    let clause = Clause::Sums;
    is_caught(
        Fault::SumsWithoutVersions,
        clause,
        "the sums of the buckets",
    );
    is_caught(Fault::SumsEveryRealm, clause, "the sums of the buckets");
    is_caught(Fault::SumsTheStateBefore, clause, "the sums of the buckets");
    is_caught(Fault::SumsEveryBucket, clause, "the sums of the buckets");
    is_caught(
        Fault::SumsUnasked,
        clause,
        "sums came that were not asked for",
    );
}

#[test]
fn an_answer_to_a_dropped_call_is_caught() {
    is_caught(
        Fault::AnswersTheDropped,
        Clause::DroppedCalls,
        "a realm that was not asked for",
    );
}

#[test]
fn a_feed_that_fails_is_caught() {
    is_caught(Fault::Fails, Clause::Honesty, "head failed");
}
