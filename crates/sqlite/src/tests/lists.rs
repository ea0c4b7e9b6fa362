//! Lists: what each way of reading a page finds, and what it looks at.

use std::sync::Arc;

use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::store::sql::{Filter, ListStatements, PageBuilder, Position, Statement, Way};
use tower_api_key::store::{Cursor, ListQuery};
use tower_api_key::{KeyRecord, KeyState, Realm, Timestamp};
use tower_api_key_sqlite_schema::lists::DIALECT;
use tower_api_key_sqlite_schema::schema::MIGRATIONS;

use super::super::list::bound;
use super::super::read::record;
use super::super::schema::migrate;
use super::place;

/// Keys in every state, some of which were used before their issue, as a clock that was set back leaves
/// them.
const KEYS: &str = "WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 400)
INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, expires_at, retire_at,
    lineage, generation, version, revoked_at, revocation_reason, metadata, last_used_at)
SELECT printf('%012d', n * 7919 % 1000003), 'acme', randomblob(32), 'alice',
    CASE n % 3 WHEN 0 THEN 'read' WHEN 1 THEN 'read write' ELSE '' END,
    100 + n * 37 % 100, 100 + n * 37 % 100 + CASE n % 7 WHEN 0 THEN 60 ELSE 0 END,
    CASE WHEN n % 5 > 0 THEN 150 + n * 13 % 100 END, CASE n % 4 WHEN 0 THEN 150 + n * 29 % 100 END,
    printf('%012d', n), 0, 1, CASE n % 11 WHEN 0 THEN 160 END,
    CASE n % 11 WHEN 0 THEN 'superseded' END, '{}', CASE n % 3 WHEN 0 THEN 90 + n * 53 % 120 END
FROM numbers";

fn connection() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &place(), &MIGRATIONS).unwrap();
    connection
}

fn queries() -> Vec<ListQuery> {
    let all = ListQuery::new;
    let seconds = Duration::from_secs;
    let scope = || all().scope("read".parse().unwrap());
    let state = |state| all().state(state);
    vec![
        all(),
        all().unrevoked(),
        all().expiring_within(seconds(30)),
        all().expiring_within(Duration::MAX),
        all().unused_for(seconds(0)),
        all().unused_for(seconds(40)),
        all().unused_for(seconds(90)),
        scope(),
        all().in_grace(),
        state(KeyState::Live),
        state(KeyState::NotYetValid),
        state(KeyState::Expired),
        state(KeyState::Replaced),
        state(KeyState::Revoked),
        state(KeyState::Replaced)
            .in_grace()
            .state(KeyState::NotYetValid),
        all().id_prefix("0000000"),
        scope().unused_for(seconds(40)).state(KeyState::Live),
        scope().expiring_within(seconds(60)).in_grace().unrevoked(),
    ]
}

/// Which way is taken depends on how many keys a filter meets, and no answer does.
#[test]
fn each_way_finds_what_the_query_matches() {
    let connection = connection();
    connection.execute_batch(KEYS).unwrap();
    let realm = Realm::new("acme").unwrap();
    let select = format!(
        "SELECT {}, last_used_at FROM api_keys",
        tower_api_key::store::sql::Row::NAMES
    );
    let mut statement = connection.prepare(&select).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut held: Vec<(Arc<KeyRecord>, Option<Timestamp>)> = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let used: Option<u32> = row.get("last_used_at").unwrap();
        let key = record(row, &realm).ok().expect("a record");
        held.push((key, used.map(|used| Timestamp::from_unix(used.into()))));
    }
    let ids = |Statement { sql, values, .. }: Statement| -> Vec<String> {
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map(bound(&values), |row| row.get(0));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let mut compared = 0;
    for at in [0, 150, 200, 300, u64::MAX].map(Timestamp::from_unix) {
        for query in queries() {
            let query = query.at(at);
            for query in [query.clone(), query.newest_first()] {
                let asked = ListStatements::new(&DIALECT, &realm, &query);
                let matching = held.iter().filter(|(key, used)| query.matches(key, *used));
                let mut due: Vec<&KeyRecord> = matching.map(|(key, _)| &**key).collect();
                due.sort_by_key(|key| Cursor::of(key).id());
                if query.newest_first {
                    due.sort_by_key(|key| std::cmp::Reverse(Cursor::of(key)));
                }
                if asked.is_nothing() {
                    assert!(due.is_empty(), "{query:?}");
                    continue;
                }
                let middle = due.get(due.len() / 2).map(|key| {
                    Position::new(
                        key.id().as_str().into(),
                        i64::try_from(key.issued_at().as_unix()).unwrap(),
                    )
                });
                let due: Vec<String> = due.iter().map(|key| key.id().to_string()).collect();
                let filters = asked.filters();
                let ways = filters.into_iter().map(|(filter, _)| Way::By(filter));
                let mut stored = ids(asked.page(Way::Stored, None, None));
                stored.sort_unstable();
                let mut any = due.clone();
                any.sort_unstable();
                assert_eq!(stored, any, "{query:?}");
                for way in ways.chain([Way::InOrder]) {
                    assert_eq!(ids(asked.page(way, None, None)), due, "{way:?} {query:?}");
                    if let Some(middle) = &middle {
                        let rest = ids(asked.page(way, Some(middle), Some(4)));
                        let rest_due = due.iter().skip(due.len() / 2 + 1).take(5);
                        assert!(rest.iter().eq(rest_due), "{way:?} {query:?}: {rest:?}");
                    }
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

/// A page costs as much as it is long, or as the few keys that a filter finds, whatever else is in the
/// store.
#[test]
#[allow(clippy::too_many_lines, reason = "one table of plans")]
fn no_list_sorts_or_reads_everything() {
    let connection = connection();
    let explain = |Statement { sql, values, .. }: Statement| -> Vec<String> {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let rows = statement.query_map(bound(&values), |row| row.get(3));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let day = Duration::from_secs(24 * 60 * 60);
    let id: tower_api_key::KeyId = "AAAAAAAAAAAA".parse().unwrap();
    let place = Cursor::new(id, Timestamp::from_unix(1_800_000_000));
    let now = Timestamp::from_unix(1_900_000_000);
    let page = || ListQuery::new().at(now).after(place).limit(10);
    let everything = page()
        .expiring_within(day)
        .unused_for(day)
        .scope("read".parse().unwrap())
        .in_grace()
        .state(KeyState::Live)
        .state(KeyState::NotYetValid)
        .state(KeyState::Revoked)
        .id_prefix("AA");
    let stored: Cursor = "any-8000000000000000".parse().unwrap();
    let from_within = || ListQuery::new().at(now).after(stored).limit(10);
    let by = |filter, index| (everything.clone(), Way::By(filter), index);
    let realm = Realm::new("acme").unwrap();
    for (query, way, index) in [
        (page(), Way::InOrder, "sqlite_autoindex_api_keys_1 (id>?)"),
        (
            page().unrevoked(),
            Way::InOrder,
            "sqlite_autoindex_api_keys_1 (id>?)",
        ),
        (
            everything.clone(),
            Way::InOrder,
            "sqlite_autoindex_api_keys_1 (id>? AND id<?)",
        ),
        (
            from_within().unrevoked(),
            Way::Stored,
            "USING PRIMARY KEY (digest>?)",
        ),
        (
            everything.clone().after(stored),
            Way::Stored,
            "USING PRIMARY KEY (digest>?)",
        ),
        (page().newest_first(), Way::InOrder, "api_keys_by_issue"),
        (
            everything.clone().newest_first(),
            Way::InOrder,
            "api_keys_by_issue",
        ),
        (page().subject("alice"), Way::Direct, "api_keys_by_subject"),
        (
            page().subject("alice").unrevoked(),
            Way::Direct,
            "api_keys_by_subject",
        ),
        (page().lineage(id), Way::Direct, "api_keys_by_lineage"),
        (
            page().lineage(id).subject("alice").unrevoked(),
            Way::Direct,
            "api_keys_by_lineage",
        ),
        by(
            Filter::Expiring,
            "api_keys_by_end (realm=? AND revoked_at=? AND retire_at=? AND expires_at>? AND \
             expires_at<?)",
        ),
        by(Filter::Unused, "api_keys_by_use"),
        by(Filter::Scope, "api_keys_by_scopes"),
        by(Filter::State, "api_keys_by_beginning"),
        by(
            Filter::IdPrefix,
            "sqlite_autoindex_api_keys_1 (id>? AND id<?)",
        ),
        by(Filter::Realm, "api_keys_by_"),
    ] {
        let asked = ListStatements::new(&DIALECT, &realm, &query);
        let plan = explain(asked.page(way, PageBuilder::new(&query).after(), query.limit));
        let text = plan.join("; ");
        assert!(text.contains(index), "{way:?} {query:?}: {text}");
        // A scan is of the rows that a condition has found, and is cut.
        let reads_all = |step: &String| step.starts_with("SCAN main.api_keys");
        assert!(!plan.iter().any(reads_all), "{way:?} {query:?}: {text}");
        match way {
            Way::By(filter) => {
                // Rows that a filter has found are read by their ids, in any order and from any
                // beginning of the page, and not passed by on the way through all.
                for query in [query.clone(), query.clone().newest_first()] {
                    let only = ListQuery::new().at(now);
                    let mut alone = match filter {
                        Filter::Expiring => only.expiring_within(day),
                        Filter::Unused => only.unused_for(day),
                        Filter::Scope => only.scope("read".parse().unwrap()),
                        Filter::State => only.in_grace().state(KeyState::NotYetValid),
                        Filter::IdPrefix => only.id_prefix("AA"),
                        Filter::Realm => only,
                        _ => panic!("{filter:?} is new"),
                    };
                    alone.newest_first = query.newest_first;
                    for query in [&query, &alone] {
                        let asked = ListStatements::new(asked.dialect, asked.realm, query);
                        let plan =
                            explain(asked.page(way, PageBuilder::new(query).after(), Some(10)));
                        let outer =
                            "SEARCH main.api_keys USING INDEX sqlite_autoindex_api_keys_1 (id=?)";
                        assert_eq!(plan[0], outer, "{way:?} {query:?}: {plan:?}");
                        let sorts = plan.iter().any(|step| step.contains("FOR ORDER BY"));
                        assert!(sorts, "{way:?} {query:?}: {plan:?}");
                    }
                }
                let counting = explain(asked.count(filter, 10)).join("; ");
                assert!(counting.contains(index), "{filter:?}: {counting}");
                assert!(
                    !counting.contains("SCAN main.api_keys"),
                    "{filter:?}: {counting}"
                );
            }
            _ => assert_eq!(plan.len(), 1, "{way:?} {query:?}: {text}"),
        }
        if way == Way::Direct {
            let query = query.clone().newest_first();
            let asked = ListStatements::new(asked.dialect, asked.realm, &query);
            let newest = explain(asked.page(way, PageBuilder::new(&query).after(), Some(10)));
            assert!(newest[0].contains(index), "{query:?}: {newest:?}");
        }
    }
    let plan = explain_purge(&connection);
    for searched in [
        "(realm=? AND revoked_at<?)",
        "by_end (realm=? AND revoked_at=? AND retire_at=? AND expires_at<?)",
        "by_end (realm=? AND revoked_at=? AND retire_at<?)",
        "by_end (realm=? AND revoked_at=? AND retire_at>?)",
    ] {
        assert!(plan.contains(searched), "{plan}");
    }
    assert_eq!(plan.matches("USING COVERING INDEX").count(), 4, "{plan}");
}

/// The columns that decide whether a key is on the page are in the index: the table is read for the page
/// alone. The plan that SQLite prints does not say so for every index that it calls covering, but the
/// program does.
#[test]
fn a_filter_looks_at_no_row_that_it_does_not_show() {
    let connection = connection();
    let seeks = |Statement { sql, values, .. }: Statement| -> usize {
        let mut statement = connection.prepare(&format!("EXPLAIN {sql}")).unwrap();
        let rows = statement.query_map(bound(&values), |row| row.get(1));
        let steps: Vec<String> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        steps.iter().filter(|step| *step == "NotFound").count()
    };
    let realm = Realm::new("acme").unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let now = Timestamp::from_unix(1_900_000_000);
    let all = || ListQuery::new().at(now);
    for (query, filter) in [
        (all(), Filter::Realm),
        (all().expiring_within(day), Filter::Expiring),
        (all().unused_for(day), Filter::Unused),
        (all().scope("read".parse().unwrap()), Filter::Scope),
        (all().state(KeyState::Live), Filter::State),
        (all().in_grace(), Filter::State),
        (all().state(KeyState::Expired), Filter::State),
        (all().state(KeyState::Replaced), Filter::State),
        (all().state(KeyState::Revoked), Filter::State),
    ] {
        for query in [query.clone(), query.newest_first()] {
            let asked = ListStatements::new(&DIALECT, &realm, &query);
            assert_eq!(seeks(asked.count(filter, 10)), 0, "{query:?}");
            // One descent reads what is shown.
            let page = asked.page(Way::By(filter), None, Some(10));
            assert_eq!(seeks(page), 1, "{query:?}");
        }
    }
}

fn explain_purge(connection: &Connection) -> String {
    let mut statement = connection
        .prepare(&format!(
            "EXPLAIN QUERY PLAN {}",
            tower_api_key_sqlite_schema::purges::DELETE
        ))
        .unwrap();
    let rows = statement.query_map(rusqlite::params!["acme", 5, 10], |row| row.get(3));
    let plan: Vec<String> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    plan.join("; ")
}

/// Pages of one list are in one order, whatever is issued or removed meanwhile.
#[test]
fn a_place_says_in_which_order_the_list_goes_on() {
    let realm = Realm::new("acme").unwrap();
    let by_id: Cursor = "AAAAAAAAAAAA-1800000000".parse().unwrap();
    let stored: Cursor = "any-8000000000000000".parse().unwrap();
    let any = || ListQuery::new().unrevoked().in_any_order();
    let few = vec![Filter::Realm];
    for (query, way, counted) in [
        (any(), Way::Stored, few.clone()),
        (any().after(by_id), Way::InOrder, few.clone()),
        (any().after(stored), Way::Stored, Vec::new()),
        (ListQuery::new().after(stored), Way::InOrder, few.clone()),
        (any().newest_first(), Way::InOrder, Vec::new()),
        (any().newest_first().after(stored), Way::InOrder, Vec::new()),
        (any().subject("alice"), Way::Direct, Vec::new()),
    ] {
        let asked = ListStatements::new(&DIALECT, &realm, &query);
        assert_eq!(asked.other_way(), way, "{query:?}");
        let filters: Vec<Filter> = asked.filters().into_iter().map(|(it, _)| it).collect();
        assert_eq!(filters, counted, "{query:?}");
    }
    // Any other list begins at its beginning.
    let connection = connection();
    connection.execute_batch(KEYS).unwrap();
    for query in [ListQuery::new(), ListQuery::new().newest_first()] {
        let query = query.after(stored);
        let asked = ListStatements::new(&DIALECT, &realm, &query);
        let page = PageBuilder::new(&query);
        let Statement { sql, values, .. } = asked.page(Way::InOrder, page.after(), None);
        let count = format!("SELECT count(*) FROM ({sql})");
        let count = connection.query_row(&count, bound(&values), |row| row.get::<_, i64>(0));
        assert_eq!(count.unwrap(), 400);
    }
}
