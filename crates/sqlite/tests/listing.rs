//! Lists of many keys, and of keys next to rows that cannot be read.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::report::ReportQuery;
use tower_api_key::{KeyId, KeyRing, ManualClock, Timestamp};
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::pages::{COLUMNS, MANY, NOW, check, values};
use tower_api_key_test_support::sqlite::unguarded;

#[tokio::test]
async fn pages_of_many_keys_are_those_of_few() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let values = values("printf('%012d', n)", "randomblob(32)");
    let rows = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY})
         INSERT INTO api_keys ({COLUMNS}) SELECT {values} FROM numbers"
    );
    Connection::open(&path).unwrap().execute(&rows, []).unwrap();
    check(&store).await;
}

fn fill(connection: &Connection, from: u32, to: u32) {
    let values = values("printf('%012d', n * 7919 % 999983)", "randomblob(32)");
    let rows = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to})
         INSERT INTO api_keys ({COLUMNS}) SELECT {values} FROM numbers"
    );
    connection.execute(&rows, []).unwrap();
}

fn ids(connection: &Connection, condition: &str) -> BTreeSet<KeyId> {
    let ids = format!("SELECT id FROM api_keys WHERE {condition}");
    let mut ids = connection.prepare(&ids).unwrap();
    let ids = ids.query_map([], |row| row.get::<_, String>(0)).unwrap();
    ids.map(|id| id.unwrap().parse().unwrap()).collect()
}

/// Whether the log can be written to the file, and emptied. A thread of the store may do the same at that moment, or look
/// for changes, which takes milliseconds. A read that stays open would be in the way for good.
async fn is_settled(connection: &Connection) -> bool {
    let settle = "PRAGMA wal_checkpoint(TRUNCATE)";
    for _ in 0..20 {
        let busy: i64 = connection.query_row(settle, [], |row| row.get(0)).unwrap();
        if busy == 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Between two pages, keys are issued, the last key seen is removed, and the log is written to the file.
#[tokio::test]
async fn a_report_judges_each_key_once_while_others_come_and_go() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.busy_timeout(Duration::from_millis(500)).unwrap();
    fill(&connection, 1, 6_000);
    let broken = "substr(id, 11) = '77'";
    unguarded(&connection, || {
        let update =
            format!("UPDATE api_keys SET metadata = '{{\"a\":1}}', version = 2 WHERE {broken}");
        assert!(connection.execute(&update, []).unwrap() > 0);
    });
    let due = ids(&connection, &format!("NOT {broken}"));
    let due_unreadable = ids(&connection, broken);
    let clock = ManualClock::new(Timestamp::from_unix(NOW));
    let builder = KeyRing::builder("acme").realm("orders").clock(clock);
    let ring = builder.build(store).unwrap();
    let mut query = ReportQuery::new().limit(250);
    let (mut seen, mut unreadable, mut pages) = (Vec::new(), Vec::new(), 0);
    loop {
        let page = ring.report(&query).await.unwrap();
        let found = page.keys().iter().map(|key| key.view().record().id());
        let found: Vec<KeyId> = found.collect();
        assert!(found.is_sorted());
        assert_eq!(found.len(), page.judged());
        assert!(page.judged() + page.unreadable().len() <= 250);
        unreadable.extend(page.unreadable().iter().map(|it| it.id().unwrap()));
        pages += 1;
        fill(&connection, 10_000 + pages * 10, 10_009 + pages * 10);
        for id in &found {
            let delete = "DELETE FROM api_keys WHERE id = ?1";
            connection.execute(delete, [id.as_str()]).unwrap();
        }
        seen.extend(found);
        assert!(
            is_settled(&connection).await,
            "the report reads between its pages"
        );
        let Some(next) = page.next() else { break };
        // The order is that of the table, or pages of so few keys would prove nothing.
        assert!(next.to_string().starts_with("any-"), "{next}");
        query = query.after(next);
    }
    assert!(pages >= 24, "{pages}");
    assert_eq!(
        seen.iter().copied().collect::<BTreeSet<_>>().len(),
        seen.len()
    );
    seen.retain(|id| due.contains(id));
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), due);
    let count = unreadable.len();
    let unreadable: BTreeSet<KeyId> = unreadable.into_iter().collect();
    assert_eq!((unreadable.len(), unreadable), (count, due_unreadable));
}
