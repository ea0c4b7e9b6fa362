//! Pages of more keys than a store sorts, for every SQL store.

use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::{KeyStore, ListQuery, Page};
use tower_api_key::{KeyId, KeyRecord, KeyState, Realm, Scope, Timestamp};

const DAY: Duration = Duration::from_hours(24);

/// More than the few keys that a store would sort for one page.
pub const MANY: u32 = 10_050;

/// The columns of the key of number `n`: all of them live, near their end, unused for long, and with a
/// scope. The order of issue is not the order of their ids.
pub const COLUMNS: &str = "id, realm, digest, subject, scopes, issued_at, not_before, expires_at, \
    lineage, generation, version, metadata";

/// The time of the list: the keys are live, but near their end.
pub const NOW: u64 = 100 * 86_400;

/// The values of those columns. The functions that make a digest and a text from a number differ
/// between databases.
pub fn values(id: &str, digest: &str) -> String {
    format!(
        "{id}, 'orders', {digest}, 'subject-' || n, 'read s' || (n % 7), n * 7919 % 1009, \
         n * 7919 % 1009, {NOW} + 1 + n % 86400, {id}, 0, 1, '{{}}'"
    )
}

/// Reads the pages of every query that many keys match, and compares them with those of a store in
/// memory.
pub async fn check(store: &impl KeyStore) {
    let realm: Realm = "orders".parse().unwrap();
    let now = Timestamp::from_unix(NOW);
    let all = store.list(&realm, &ListQuery::new()).await.unwrap();
    assert_eq!(all.len(), MANY as usize);
    let ids: Vec<KeyId> = all.iter().map(|record| record.id()).collect();
    let uses = store.last_uses(&realm, &ids).await.unwrap();
    let held: Vec<(Arc<KeyRecord>, Option<Timestamp>)> = all.into_iter().zip(uses).collect();

    let read = || Scope::new("read").unwrap();
    for query in [
        ListQuery::new(),
        ListQuery::new().state(KeyState::Live),
        ListQuery::new().scope(read()),
        ListQuery::new().unused_for(90 * DAY),
        ListQuery::new().expiring_within(2 * DAY),
        ListQuery::new().id_prefix("0"),
        ListQuery::new()
            .scope(read())
            .state(KeyState::Live)
            .unused_for(90 * DAY)
            .expiring_within(2 * DAY)
            .id_prefix("0"),
        // Few match, and many do.
        ListQuery::new()
            .scope(read())
            .scope(Scope::new("s3").unwrap()),
        ListQuery::new()
            .scope(read())
            .expiring_within(Duration::from_hours(1)),
    ] {
        for query in [query.clone(), query.clone().newest_first()] {
            let query = query.at(now);
            let due = Page::select(held.iter().cloned(), &query);
            assert!(!due.is_empty(), "{query:?}");
            let mut page = query.clone().limit(3_001);
            let mut seen: Vec<Arc<KeyRecord>> = Vec::new();
            loop {
                let listed = store.list(&realm, &page).await.unwrap();
                seen.extend_from_slice(&listed);
                let Some(next) = listed.next() else { break };
                assert_eq!(listed.len(), 3_001, "{query:?}");
                page = page.after(next);
            }
            assert_eq!(seen.len(), due.len(), "{query:?}");
            assert!(seen == due.records(), "{query:?}: in another order");
        }
        for size in [7_000, 997] {
            in_any_order(store, &held, &query.clone().at(now), size).await;
        }
        // With a second condition, no index has all that the query needs.
        in_any_order(store, &held, &query.at(now).unrevoked(), 3_001).await;
    }
}

/// Reads the pages of a query in any order, and sees every key once.
async fn in_any_order(
    store: &impl KeyStore,
    held: &[(Arc<KeyRecord>, Option<Timestamp>)],
    query: &ListQuery,
    size: usize,
) {
    let realm: Realm = "orders".parse().unwrap();
    let due = Page::select(held.iter().cloned(), query);
    let query = query.clone().in_any_order();
    let mut page = query.clone().limit(size);
    let mut seen: Vec<Arc<KeyRecord>> = Vec::new();
    loop {
        let listed = store.list(&realm, &page).await.unwrap();
        assert!(listed.len() <= size, "{query:?}: {}", listed.len());
        let uses = listed.last_uses().map(<[_]>::len);
        assert!(uses.is_none_or(|uses| uses == listed.len()), "{query:?}");
        seen.extend_from_slice(&listed);
        let Some(next) = listed.next() else { break };
        // A place survives as a text.
        page = page.after(next.to_string().parse().unwrap());
    }
    seen.sort_by_key(|record| record.id());
    assert_eq!(seen.len(), due.len(), "{query:?}");
    assert!(seen == due.records(), "{query:?}: other keys");
}
