//! Which keys a report finds, and why.

use std::time::Duration;

use tower_api_key::report::{Finding, FindingKind, ReportPage, ReportQuery};
use tower_api_key::store::{
    BoxFuture, Change, KeyStore, ListQuery, MemoryStore, Page, StoreError, StoreErrorKind,
    Unreadable, Write,
};
use tower_api_key::{
    ClientNetwork, Clock, ErrorKind, Facts, Grant, Issued, KeyId, KeyRing, KeyView, ManualClock,
    Realm, Requirement, RevocationReason, Timestamp,
};

use crate::support::START;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

fn ring_over(store: impl KeyStore) -> (KeyRing, ManualClock) {
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .unlimited_lifetime()
        .max_grace(60 * DAY)
        .track_last_use();
    (builder.build(store).unwrap(), clock)
}

fn ring() -> (KeyRing, ManualClock) {
    ring_over(MemoryStore::new())
}

fn just_under(time: Duration) -> Duration {
    time.checked_sub(SECOND).unwrap()
}

fn after(time: Duration) -> Timestamp {
    START.checked_add(time).unwrap()
}

async fn issue(ring: &KeyRing, grant: Grant) -> Issued {
    ring.issue(grant).await.unwrap()
}

/// A key of a year.
async fn long(ring: &KeyRing) -> Issued {
    issue(ring, Grant::new("alice").expires_in(365 * DAY)).await
}

/// A ring that tracks what keys are used for, and the clock that it reads.
fn tracking_ring() -> (KeyRing, ManualClock) {
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme")
        .clock(clock.clone())
        .unlimited_lifetime()
        .max_grace(60 * DAY)
        .track_scope_use()
        .track_networks();
    (builder.build(MemoryStore::new()).unwrap(), clock)
}

/// Uses a key from an address, for these scopes.
async fn use_for(ring: &KeyRing, issued: &Issued, address: &str, scopes: &[&str]) {
    let facts = Facts::none().client_address(address.parse().unwrap());
    let key = issued.secret().expose().as_bytes();
    let key = ring.verify_with(key, facts).await.unwrap();
    for scope in scopes {
        key.require(&Requirement::scope(scope).unwrap()).unwrap();
    }
    ring.record_uses().await.unwrap();
}

async fn present(ring: &KeyRing, issued: &Issued) {
    let key = issued.secret().expose().as_bytes();
    ring.verify(key).await.unwrap();
    ring.record_uses().await.unwrap();
}

async fn page(ring: &KeyRing, query: &ReportQuery) -> ReportPage {
    ring.report(query).await.unwrap()
}

fn found(page: &ReportPage) -> Vec<(KeyId, Vec<Finding>)> {
    let keys = page.keys().iter();
    keys.map(|key| (key.view().record().id(), key.findings().to_vec()))
        .collect()
}

/// The findings on the only key of a ring.
async fn on_the_key(ring: &KeyRing, query: &ReportQuery) -> Vec<Finding> {
    let page = page(ring, query).await;
    assert_eq!(page.judged(), 1);
    found(&page).into_iter().flat_map(|(_, it)| it).collect()
}

#[tokio::test]
async fn a_key_is_never_used_from_the_second_on_that_is_asked_for() {
    let (ring, clock) = ring();
    let query = ReportQuery::new().never_used_for(30 * DAY);
    // What counts is when the key could be used.
    let grant = Grant::new("alice")
        .not_before(after(5 * DAY))
        .expires_in(365 * DAY);
    issue(&ring, grant).await;
    clock.advance(just_under(35 * DAY));
    assert_eq!(on_the_key(&ring, &query).await, []);
    clock.advance(SECOND);
    let since = after(5 * DAY);
    let never_used = Finding::NeverUsed { since };
    assert_eq!(on_the_key(&ring, &query).await, [never_used]);
}

#[tokio::test]
async fn a_key_is_unused_from_the_second_on_that_is_asked_for() {
    let (ring, clock) = ring();
    let query = ReportQuery::new().unused_for(90 * DAY);
    let issued = long(&ring).await;
    clock.advance(40 * DAY);
    present(&ring, &issued).await;
    clock.advance(just_under(90 * DAY));
    assert_eq!(on_the_key(&ring, &query).await, []);
    clock.advance(SECOND);
    let last_used = after(40 * DAY);
    let unused = Finding::Unused { last_used };
    assert_eq!(on_the_key(&ring, &query).await, [unused]);
    present(&ring, &issued).await;
    assert_eq!(on_the_key(&ring, &query).await, []);
}

#[tokio::test]
async fn a_key_is_expiring_until_it_is_over() {
    let (ring, clock) = ring();
    let query = ReportQuery::new().expiring_within(14 * DAY);
    issue(&ring, Grant::new("alice").expires_in(20 * DAY)).await;
    clock.advance(just_under(6 * DAY));
    assert_eq!(on_the_key(&ring, &query).await, []);
    clock.advance(SECOND);
    let at = after(20 * DAY);
    let expiring = [Finding::Expiring { at }];
    assert_eq!(on_the_key(&ring, &query).await, expiring);
    clock.advance(just_under(14 * DAY));
    assert_eq!(on_the_key(&ring, &query).await, expiring);
    clock.advance(SECOND);
    assert_eq!(on_the_key(&ring, &query).await, []);
}

#[tokio::test]
async fn a_key_has_several_findings_and_a_kind_can_be_left_out() {
    let (ring, clock) = ring();
    issue(&ring, Grant::new("alice").never_expires()).await;
    clock.advance(30 * DAY);
    let query = ReportQuery::new();
    let both = [Finding::NeverUsed { since: START }, Finding::NoExpiry];
    assert_eq!(on_the_key(&ring, &query).await, both);
    let query = query.without(FindingKind::NeverUsed);
    assert_eq!(on_the_key(&ring, &query).await, [Finding::NoExpiry]);
    let query = query.without(FindingKind::NoExpiry);
    assert_eq!(on_the_key(&ring, &query).await, []);
}

#[tokio::test]
async fn a_replaced_key_is_found_if_it_was_used_after_the_rotation() {
    let (ring, clock) = ring();
    let query = ReportQuery::new();
    let old = long(&ring).await;
    let id = old.record().id();
    present(&ring, &old).await;
    clock.advance(DAY);
    let new = ring.rotate(id, 40 * DAY).await.unwrap();
    // A use in the second of the rotation may have been before it.
    present(&ring, &old).await;
    clock.advance(35 * DAY);
    present(&ring, &new).await;
    // Neither expiring nor unused: it ends by itself.
    assert_eq!(
        found(&page(&ring, &query.clone().unused_for(DAY)).await),
        []
    );
    present(&ring, &old).await;
    let used = Finding::UsedAfterReplacement {
        last_used: after(36 * DAY),
        replaced_by: Some(new.record().id()),
    };
    assert_eq!(found(&page(&ring, &query).await), [(id, vec![used])]);
    // The key that took its place may be gone. Then nothing says that the use was before the rotation.
    let clean = MemoryStore::new();
    let (ring, clock) = ring_over(clean.clone());
    let mut parts = old.record().to_parts();
    parts.grace_ends_at = Some(after(40 * DAY));
    let change = Change::new(vec![Write::new(parts)]);
    clean.commit(&change).await.unwrap();
    present(&ring, &old).await;
    clock.advance(DAY);
    let used = Finding::UsedAfterReplacement {
        last_used: START,
        replaced_by: None,
    };
    assert_eq!(on_the_key(&ring, &query).await, [used]);
}

#[tokio::test]
async fn a_key_that_is_over_has_no_findings() {
    let (ring, clock) = ring();
    let revoked = issue(&ring, Grant::new("alice").never_expires()).await;
    let replaced = issue(&ring, Grant::new("bob").never_expires()).await;
    let expired = issue(&ring, Grant::new("carol").expires_in(DAY)).await;
    let id = revoked.record().id();
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(id, reason).await.unwrap();
    let new = ring.rotate(replaced.record().id(), DAY).await.unwrap();
    present(&ring, &replaced).await;
    present(&ring, &expired).await;
    clock.advance(100 * DAY);
    present(&ring, &new).await;
    let query = ReportQuery::new().expiring_within(400 * DAY);
    let expected = [(new.record().id(), vec![Finding::NoExpiry])];
    assert_eq!(found(&page(&ring, &query).await), expected);
}

#[tokio::test]
async fn pages_judge_each_key_once_and_only_those_of_the_realm() {
    let store = MemoryStore::new();
    let (ring, _) = ring_over(store.clone());
    let other = KeyRing::builder("acme").realm("billing");
    let other = other.unlimited_lifetime().build(store).unwrap();
    issue(&other, Grant::new("alice").never_expires()).await;
    let mut ids = Vec::new();
    for number in 0..25 {
        let grant = Grant::new("alice");
        // Every third key has a finding.
        if number % 3 == 0 {
            let issued = issue(&ring, grant.never_expires()).await;
            ids.push(issued.record().id());
        } else {
            issue(&ring, grant).await;
        }
    }
    ids.sort_unstable();
    // A limit of zero would have no next page.
    for limit in [0, 1, 7, 24, 25, 26] {
        let mut query = ReportQuery::new().limit(limit);
        let (mut judged, mut named) = (0, Vec::new());
        loop {
            let page = page(&ring, &query).await;
            assert!(page.judged() <= limit.max(1));
            judged += page.judged();
            named.extend(found(&page).into_iter().map(|(id, _)| id));
            match page.next() {
                Some(next) => query = query.after(next),
                None => break,
            }
        }
        assert_eq!((judged, &named), (25, &ids));
    }
}

#[tokio::test]
async fn a_key_is_shown_with_its_last_use_at_the_moment_of_the_report() {
    let (ring, clock) = ring();
    let issued = long(&ring).await;
    present(&ring, &issued).await;
    clock.advance(90 * DAY);
    let page = page(&ring, &ReportQuery::new()).await;
    assert_eq!((page.used(), page.knows_uses()), (1, true));
    let shown = page.keys()[0].view();
    let expected = KeyView::new(issued.record().clone(), after(90 * DAY));
    let expected = expected.last_used(Some(START));
    assert_eq!(format!("{shown:?}"), format!("{expected:?}"));
}

/// A store without last uses, in which one record cannot be read.
struct Bare {
    store: MemoryStore,
}

impl KeyStore for Bare {
    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let error = StoreErrorKind::Unavailable.into();
            let unreadable = Unreadable::new(None, error);
            let page = self.store.list(realm, query).await?;
            Ok(page.with_unreadable(vec![unreadable]))
        })
    }

    crate::support::forward!(store: find, commit, revoke, get);
}

#[tokio::test]
async fn without_last_uses_no_finding_is_about_them() {
    let (ring, clock) = ring_over(Bare {
        store: MemoryStore::new(),
    });
    issue(&ring, Grant::new("alice").never_expires()).await;
    clock.advance(400 * DAY);
    let page = page(&ring, &ReportQuery::new()).await;
    assert_eq!((page.used(), page.knows_uses()), (0, false));
    assert_eq!(page.unreadable().len(), 1);
    let found: Vec<_> = page.keys()[0].findings().to_vec();
    assert_eq!(found, [Finding::NoExpiry]);
}

/// A store whose keys are changed while a list is on its way.
struct Beside<S> {
    store: S,
    writer: KeyRing,
}

impl<S: KeyStore + Clone> KeyStore for Beside<S> {
    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let mut page = self.store.list(realm, query);
            let early = crate::support::poll_once(&mut page);
            let issued = long(&self.writer).await;
            let rotated = self.writer.rotate(issued.id(), DAY).await.unwrap();
            let reason = RevocationReason::KeyCompromise;
            self.writer.revoke(rotated.id(), reason).await.unwrap();
            match early {
                std::task::Poll::Ready(page) => page,
                std::task::Poll::Pending => page.await,
            }
        })
    }

    crate::support::forward!(store: find, commit, revoke, get, last_uses);
}

async fn a_report_blocks_no_writer(store: impl KeyStore + Clone) {
    let (writer, clock) = ring_over(store.clone());
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(
            issue(&writer, Grant::new("alice").never_expires())
                .await
                .id(),
        );
    }
    ids.sort();
    clock.advance(DAY);
    let reader = ring_over(Beside { store, writer }).0;
    let mut query = ReportQuery::new().limit(7);
    let mut found_ids = Vec::new();
    loop {
        let page = page(&reader, &query).await;
        found_ids.extend(found(&page).into_iter().map(|(id, _)| id));
        match page.next() {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    found_ids.retain(|id| ids.contains(id));
    found_ids.sort();
    assert_eq!(found_ids, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_commit_while_a_page_is_read() {
    a_report_blocks_no_writer(MemoryStore::new()).await;
    let folder = crate::folder::Folder::new();
    let store = tower_api_key_sqlite::SqliteStore::open(folder.keys()).unwrap();
    a_report_blocks_no_writer(store).await;
    let url = crate::pg_server::database().await;
    let store = tower_api_key_postgres::PostgresStore::connect(&url).await;
    a_report_blocks_no_writer(store.unwrap()).await;
}

const HOME: &str = "203.0.113.9";

/// The findings on what keys were used for alone.
fn on_usage() -> ReportQuery {
    ReportQuery::new()
        .without(FindingKind::NoExpiry)
        .without(FindingKind::Unused)
        .without(FindingKind::NeverUsed)
        .without(FindingKind::Expiring)
}

#[tokio::test]
async fn scopes_are_never_exercised_once_the_key_was_in_use_for_as_long_as_is_asked_for() {
    let (ring, clock) = tracking_ring();
    let query = on_usage().never_exercised_for(90 * DAY);
    let issued = ring.issue(Grant::new("alice").scopes("a b c").never_expires());
    let issued = issued.await.unwrap();
    // Before the first use, nothing is tracked.
    clock.advance(100 * DAY);
    assert_eq!(on_the_key(&ring, &query).await, []);
    use_for(&ring, &issued, HOME, &["b"]).await;
    clock.advance(just_under(90 * DAY));
    use_for(&ring, &issued, HOME, &[]).await;
    assert_eq!(on_the_key(&ring, &query).await, []);
    clock.advance(SECOND);
    // Time alone says nothing of a key that is not in use.
    assert_eq!(on_the_key(&ring, &query).await, []);
    use_for(&ring, &issued, HOME, &[]).await;
    let never = |scopes: &str| Finding::ScopesNeverExercised {
        scopes: scopes.parse().unwrap(),
        since: after(100 * DAY),
    };
    assert_eq!(on_the_key(&ring, &query).await, [never("a c")]);
    use_for(&ring, &issued, HOME, &["a"]).await;
    assert_eq!(on_the_key(&ring, &query).await, [never("c")]);
    let without = query.clone().without(FindingKind::ScopesNeverExercised);
    assert_eq!(on_the_key(&ring, &without).await, []);
    // What mends it.
    ring.narrow(issued.id(), &"a b".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(on_the_key(&ring, &query).await, []);
}

#[tokio::test]
async fn a_rotated_key_begins_with_nothing_exercised_and_the_old_one_is_left_alone() {
    let (ring, clock) = tracking_ring();
    let query = on_usage().never_exercised_for(10 * DAY);
    let issued = issue(
        &ring,
        Grant::new("alice").scopes("a b").expires_in(365 * DAY),
    )
    .await;
    use_for(&ring, &issued, HOME, &["a"]).await;
    clock.advance(10 * DAY);
    use_for(&ring, &issued, HOME, &[]).await;
    let page_before = page(&ring, &query).await;
    assert_eq!(found(&page_before).len(), 1);
    let new = ring.rotate(issued.id(), 60 * DAY).await.unwrap();
    let page_after = page(&ring, &query).await;
    assert_eq!((page_after.judged(), found(&page_after).len()), (2, 0));
    use_for(&ring, &new, HOME, &["b"]).await;
    clock.advance(10 * DAY);
    use_for(&ring, &new, HOME, &[]).await;
    let found = found(&page(&ring, &query).await);
    let never = Finding::ScopesNeverExercised {
        scopes: "a".parse().unwrap(),
        since: after(10 * DAY),
    };
    assert_eq!(found, [(new.id(), vec![never])]);
}

#[tokio::test]
async fn a_network_is_new_to_a_key_that_is_not() {
    let (ring, clock) = tracking_ring();
    let query = on_usage().new_network_within(30 * DAY);
    let issued = long(&ring).await;
    // What is new to a new key is no finding.
    for address in [HOME, "198.51.100.7"] {
        use_for(&ring, &issued, address, &[]).await;
    }
    clock.advance(just_under(30 * DAY));
    use_for(&ring, &issued, "2001:db8:1::1", &[]).await;
    assert_eq!(on_the_key(&ring, &query).await, []);
    clock.advance(SECOND);
    use_for(&ring, &issued, "192.0.2.1", &[]).await;
    use_for(&ring, &issued, "203.0.113.77", &[]).await;
    let new = |address: &str, time| Finding::NewNetwork {
        network: ClientNetwork::of(address.parse().unwrap()),
        first_used: after(time),
    };
    let (early, late) = (
        new("2001:db8:1::", just_under(30 * DAY)),
        new("192.0.2.0", 30 * DAY),
    );
    let seen = on_the_key(&ring, &query).await;
    assert_eq!(seen, [late.clone(), early.clone()]);
    // Also of a key that was replaced.
    ring.rotate(issued.id(), 60 * DAY).await.unwrap();
    let page_after = page(&ring, &query).await;
    let expected = vec![(issued.id(), vec![late.clone(), early])];
    assert_eq!(found(&page_after), expected);
    clock.advance(just_under(30 * DAY));
    let page_after = page(&ring, &query).await;
    assert_eq!(found(&page_after), [(issued.id(), vec![late])]);
    clock.advance(SECOND);
    assert_eq!(found(&page(&ring, &query).await), []);
}

#[tokio::test]
async fn without_usage_no_finding_is_about_it() {
    let (ring, _) = ring_over(Bare {
        store: MemoryStore::new(),
    });
    long(&ring).await;
    assert!(!page(&ring, &ReportQuery::new()).await.knows_usage());
    let (ring, _) = tracking_ring();
    let issued = long(&ring).await;
    use_for(&ring, &issued, HOME, &[]).await;
    let query = ReportQuery::new().expiring_within(400 * DAY);
    let known = page(&ring, &query).await;
    assert!(known.knows_usage());
    let networks = known.keys()[0].usage().networks().unwrap();
    assert_eq!(networks.networks().len(), 1);
    // It costs nothing if no one asks for it.
    let query = query
        .without(FindingKind::NewNetwork)
        .without(FindingKind::ScopesNeverExercised);
    assert!(!page(&ring, &query).await.knows_usage());
}

/// A clock that fails as `SystemClock` does.
#[derive(Debug)]
struct Broken;

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn r24_a_clock_that_fails_is_no_report_without_findings() {
    let store = MemoryStore::new();
    let (ring, _) = ring_over(store.clone());
    issue(&ring, Grant::new("alice").never_expires()).await;
    let ring = KeyRing::builder("acme").realm("orders").clock(Broken);
    let ring = ring.build(store).unwrap();
    let error = ring.report(&ReportQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Clock);
    assert_eq!(
        error.to_string(),
        "the clock failed: it reads the end of time"
    );
}
