//! A page of a list from a million keys, for each filter. One filter matches few keys, and one
//! matches many. And a report on all of them.

use std::time::{Duration, Instant};

use tower_api_key::report::ReportQuery;
use tower_api_key::store::{KeyStore, ListQuery};
use tower_api_key::{KeyRing, KeyState, ManualClock, Scope, Timestamp};

const NOW: u64 = 1_800_000_000;
const PAGE: usize = 100;
const DAY: Duration = Duration::from_hours(24);

/// The columns of the key of number `n`, except `digest`, and the value of each. The issue is spread
/// over 70 days, the last use over the last 10. With a few exceptions, no key ends within 14 days, is
/// unused for 90, or is not live.
pub(crate) const COLUMNS: &str = "id, realm, digest, subject, scopes, issued_at, not_before, \
    expires_at, retire_at, lineage, generation, version, revoked_at, revocation_reason, metadata, \
    last_used_at";

/// The values of those columns, with these words for a text of 12 characters and a digest of `n`.
pub(crate) fn values(id: &str, digest: &str, keys: u32) -> String {
    let few = |rest: u32| format!("n % {} = {rest}", keys / 8);
    let (ending, unused, scope) = (few(1), few(2), few(3));
    let (revoked, grace, early) = (few(4), few(5), few(6));
    let (expired, replaced) = (few(7), few(8));
    // Each age is independent: old keys are used too, and new ones are not used at once.
    let (age, rest) = ("n * 1999 % 6048000", "n * 2003 % 864000");
    let issued = format!("CASE WHEN {unused} THEN {NOW} - 91 * 86400 ELSE {NOW} - {age} END");
    let used = format!("{NOW} - CASE WHEN {age} < {rest} THEN {age} ELSE {rest} END");
    format!(
        "{id}, CASE WHEN n <= 5 THEN 'billing' ELSE 'orders' END, {digest}, 'customer-' || n,
         CASE WHEN {scope} THEN 'orders:export orders:read'
             ELSE 'orders:read orders:write tenant:' || (n % 20000) END,
         {issued},
         CASE WHEN {early} THEN {NOW} + 3600 ELSE {issued} END,
         CASE WHEN {ending} THEN {NOW} + 86400 WHEN {expired} THEN {NOW} - 3600
             ELSE {NOW} + 15 * 86400 + n % 6048000 END,
         CASE WHEN {grace} THEN {NOW} + 15 * 86400 WHEN {replaced} THEN {NOW} - 3600 END,
         {id}, 0, 1,
         CASE WHEN {revoked} THEN {NOW} - 60 END,
         CASE WHEN {revoked} THEN 'superseded' END,
         '{{}}', CASE WHEN {unused} THEN NULL ELSE {used} END"
    )
}

fn queries() -> Vec<(&'static str, ListQuery)> {
    let all = ListQuery::new;
    let scope = |text| Scope::new(text).unwrap();
    vec![
        ("all", all()),
        ("unrevoked", all().unrevoked()),
        ("subject: 1 key", all().subject("customer-77")),
        (
            "expiring within 14 d: 8 keys",
            all().expiring_within(14 * DAY),
        ),
        (
            "expiring within 200 d: all",
            all().expiring_within(200 * DAY),
        ),
        ("unused for 90 d: 8 keys", all().unused_for(90 * DAY)),
        (
            "unused for 10 d - 2 h: 0.8 %",
            all().unused_for(Duration::from_hours(238)),
        ),
        (
            "unused for 10 d - 3 h: 1.2 %",
            all().unused_for(Duration::from_hours(237)),
        ),
        ("unused for 1 d: 90 %", all().unused_for(DAY)),
        ("scope: 8 keys", all().scope(scope("orders:export"))),
        ("scope: 50 keys", all().scope(scope("tenant:77"))),
        ("scope: all", all().scope(scope("orders:read"))),
        ("scope: none", all().scope(scope("orders:nothing"))),
        ("live: all", all().state(KeyState::Live)),
        ("in grace: 8 keys", all().in_grace()),
        ("not yet valid: 8 keys", all().state(KeyState::NotYetValid)),
        ("expired: 8 keys", all().state(KeyState::Expired)),
        ("replaced: 8 keys", all().state(KeyState::Replaced)),
        ("revoked: 8 keys", all().state(KeyState::Revoked)),
        ("id prefix of 4", all().id_prefix("00AB")),
        (
            "unused for 90 d, live, scope: 8 keys",
            all()
                .unused_for(90 * DAY)
                .state(KeyState::Live)
                .scope(scope("orders:read")),
        ),
    ]
}

/// Measures the first page, and the one after it, in both orders.
pub(crate) async fn report(name: &str, store: impl KeyStore + Clone, rounds: usize) {
    let clock = ManualClock::new(Timestamp::from_unix(NOW));
    let ring = |realm: &str| {
        let builder = KeyRing::builder("acme").realm(realm).clock(clock.clone());
        builder.build(store.clone()).unwrap()
    };
    println!("\n{name}: pages of {PAGE}");
    for (what, query) in queries() {
        for (order, query) in [
            ("", query.clone()),
            (", newest first", query.newest_first()),
        ] {
            let query = query.limit(PAGE);
            page(&format!("{what}{order}"), &ring("orders"), &query, rounds).await;
        }
    }
    page(
        "a realm of 5 keys",
        &ring("billing"),
        &ListQuery::new().limit(PAGE),
        rounds,
    )
    .await;
    page(
        "an empty realm",
        &ring("nothing"),
        &ListQuery::new().limit(PAGE),
        rounds,
    )
    .await;
    reports(name, store).await;
}

/// Measures a report on every key.
pub(crate) async fn reports(name: &str, store: impl KeyStore) {
    println!("\n{name}: a report on every key");
    let few = ReportQuery::new();
    let clock = ManualClock::new(Timestamp::from_unix(NOW));
    let builder = KeyRing::builder("acme").realm("orders").clock(clock);
    let ring = builder.build(store).unwrap();
    whole("few with findings", &ring, &few).await;
    let all = few.unused_for(DAY).expiring_within(200 * DAY);
    whole("all with findings", &ring, &all).await;
}

/// All pages of a report.
async fn whole(what: &str, ring: &KeyRing, query: &ReportQuery) {
    let start = Instant::now();
    let (mut query, mut judged, mut found) = (query.clone(), 0, 0);
    loop {
        let page = ring.report(&query).await.unwrap();
        judged += page.judged();
        found += page.keys().len();
        match page.next() {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!("  {what:<52} {judged} judged, {found} with findings, {took:.2} s");
}

async fn page(what: &str, ring: &KeyRing, query: &ListQuery, rounds: usize) {
    let mut first = Vec::new();
    let mut second = Vec::new();
    let mut found = 0;
    for _ in 0..rounds {
        let start = Instant::now();
        let page = ring.list(query).await.unwrap();
        first.push(start.elapsed());
        found = page.len();
        if let Some(next) = page.next() {
            let query = query.clone().after(next);
            let start = Instant::now();
            ring.list(&query).await.unwrap();
            second.push(start.elapsed());
        }
    }
    let second = second.first().map(|_| median(second.clone()));
    let second = second.map_or_else(String::new, |it| format!("   next {it:>6.2} ms"));
    let most = first.iter().max().map_or(0.0, |it| it.as_secs_f64() * 1e3);
    let median = median(first);
    println!(
        "  {what:<52} {found:>3} keys   median {median:>6.2} ms   most {most:>6.2} ms{second}"
    );
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}
