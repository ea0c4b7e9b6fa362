//! A reader beside writers of every kind: nothing is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::{Arc, Mutex};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor as _, Row as _};
use tokio::sync::watch;

use super::super::connect;
use super::copy::Copy;
use tower_api_key::replica::{Changes, Feed as _, Realms};
use tower_api_key_test_support::pg_server::{PgServer, execute};

const WRITERS: u64 = 6;
const DEFAULT_PULLS: usize = 200;

/// A server of their own: a transaction of another test would hold back what is forgotten.
const PREPARED: &str = "-c max_prepared_transactions=20";

type Digest = [u8; 32];

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    /// The version of a key, or `None` if it was deleted.
    keys: BTreeMap<Digest, Option<i64>>,
    /// Keys whose deletion is on its way: a reader may see it before it is acknowledged.
    ending: BTreeSet<Digest>,
}

/// `FEED_PULLS=10000` for the long run.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r22_a_reader_beside_writers_misses_nothing() {
    let pulls = env::var("FEED_PULLS").map_or(DEFAULT_PULLS, |pulls| pulls.parse().unwrap());
    let server = PgServer::start_with_options(PREPARED);
    let url = server.database().await;
    let store = connect(&url).await;
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let (count, counted) = watch::channel(0_usize);
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let writer = Writer {
                random: Random(number + 1),
                number,
                next: 0,
                own: BTreeMap::new(),
                acknowledged: Arc::clone(&acknowledged),
                pulls: counted.clone(),
            };
            tokio::spawn(writer.run(url.clone()))
        })
        .collect();
    drop(counted);

    let mut copy = Copy::of(&store).await;
    let (mut changes, mut positions) = (0, Vec::new());
    // Until there were more changes than pulls: the writers may be the slower ones.
    let mut pull = 0;
    while pull < pulls || changes <= pulls {
        assert!(pull < 100 * pulls, "{changes} changes");
        let (due, seen): (Vec<_>, usize) = {
            let acknowledged = acknowledged.lock().unwrap();
            let due = acknowledged.keys.iter();
            (
                due.map(|(digest, version)| (*digest, *version)).collect(),
                acknowledged.keys.len(),
            )
        };
        changes += copy.pull().await;
        let ending = acknowledged.lock().unwrap().ending.clone();
        for (digest, version) in due {
            let held = copy.records.get(&digest).map(|record| record.version());
            let is_there = match version {
                None => held.is_none(),
                Some(version) => match held {
                    Some(held) => held >= u64::try_from(version).unwrap(),
                    None => ending.contains(&digest),
                },
            };
            assert!(
                is_there,
                "pull {pull} of {seen} keys: {version:?} was acknowledged, {held:?} is held"
            );
        }
        positions.push(copy.position.clone());
        if pull % 10 == 9 {
            store
                .forget(&positions[pull.saturating_sub(7)])
                .await
                .unwrap();
        }
        pull += 1;
        count.send_replace(pull);
    }
    drop(count);
    for writer in writers {
        writer.await.unwrap();
    }
    copy.pull().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let rows = sqlx::query("SELECT digest, version FROM tower_api_keys").fetch_all(&mut connection);
    let table: BTreeMap<Vec<u8>, i64> = rows
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let held = copy.records.iter();
    let held: BTreeMap<Vec<u8>, i64> = held
        .map(|(digest, record)| (digest.to_vec(), i64::try_from(record.version()).unwrap()))
        .collect();
    assert_eq!(held, table);
    println!(
        "{pull} pulls, {changes} changes, {} keys at the end",
        table.len()
    );
    assert_eq!(copy.sums(), copy.sums_there().await);
    // Once no transaction is open, all is forgotten. The server's own may be, for a moment.
    let mut kept = i64::MAX;
    for _ in 0..100 {
        copy.pull().await;
        store.forget(&copy.position).await.unwrap();
        kept = sqlx::query_scalar("SELECT count(*) FROM tower_api_key_changes")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if kept == 0 {
            break;
        }
    }
    assert_eq!(kept, 0);
}

/// One seed is one sequence.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

struct Writer {
    random: Random,
    number: u64,
    next: u64,
    own: BTreeMap<Digest, i64>,
    acknowledged: Arc<Mutex<Acknowledged>>,
    pulls: watch::Receiver<usize>,
}

const COLUMNS: &str = "id, realm, digest, subject, scopes, issued_at, not_before, expires_at, lineage, generation, version, \
     metadata";

fn hex(digest: &Digest) -> String {
    digest
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Writer {
    async fn run(mut self, url: String) {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        // The reader drops its side when it is done.
        while self.pulls.has_changed().is_ok() {
            self.transaction(&mut connection).await;
        }
    }

    async fn transaction(&mut self, connection: &mut PgConnection) {
        let mut changed: BTreeMap<Digest, Option<i64>> = BTreeMap::new();
        run(connection, "BEGIN").await;
        let steps = [1, 1, 1, 1, 2, 5, 30][usize::try_from(self.random.below(7)).unwrap()];
        for _ in 0..steps {
            self.step(connection, &mut changed).await;
        }
        if self.random.percent(3) {
            // As long as the reader takes for some pulls.
            let until = *self.pulls.borrow() + 10;
            let _ = self.pulls.wait_for(|pulls| *pulls >= until).await;
        }
        if self.random.percent(10) {
            run(connection, "ROLLBACK").await;
            return;
        }
        let ending = changed.iter().filter(|(_, version)| version.is_none());
        let ending: Vec<Digest> = ending.map(|(digest, _)| *digest).collect();
        self.acknowledged.lock().unwrap().ending.extend(ending);
        if self.random.percent(10) {
            let name = format!("'writer {} {}'", self.number, self.next);
            run(connection, &format!("PREPARE TRANSACTION {name}")).await;
            run(connection, &format!("COMMIT PREPARED {name}")).await;
        } else {
            run(connection, "COMMIT").await;
        }
        self.acknowledged.lock().unwrap().keys.extend(&changed);
        for (digest, version) in changed {
            match version {
                Some(version) => self.own.insert(digest, version),
                None => self.own.remove(&digest),
            };
        }
    }

    async fn step(
        &mut self,
        connection: &mut PgConnection,
        changed: &mut BTreeMap<Digest, Option<i64>>,
    ) {
        let kind = self.random.below(100);
        if kind < 40 || self.own.is_empty() {
            let digest = self.insert(connection, kind < 4).await;
            changed.insert(digest, Some(1));
            return;
        }
        let place = usize::try_from(self.random.below(self.own.len() as u64)).unwrap();
        let (digest, version) = self
            .own
            .iter()
            .nth(place)
            .map(|(digest, version)| (*digest, *version))
            .unwrap();
        let Some(version) = changed.get(&digest).copied().unwrap_or(Some(version)) else {
            return;
        };
        let key = format!("WHERE digest = '\\x{}'", hex(&digest));
        let update =
            format!("UPDATE tower_api_keys SET label = 'v{version}', version = version + 1 {key}");
        if kind < 60 {
            run(connection, "SAVEPOINT step").await;
            run(connection, &update).await;
            if self.random.percent(40) {
                run(connection, "ROLLBACK TO step").await;
                return;
            }
            run(connection, "RELEASE step").await;
            changed.insert(digest, Some(version + 1));
        } else if kind < 85 {
            run(connection, &update).await;
            changed.insert(digest, Some(version + 1));
        } else if kind < 92 {
            let used = format!(
                "UPDATE tower_api_keys SET last_used_at = coalesce(last_used_at, 0) + 1 {key}"
            );
            run(connection, &used).await;
        } else {
            // Some of them have expired, and some have not.
            let others = self.own.range(digest..).map(|(digest, _)| *digest);
            let there = others.filter(|digest| changed.get(digest) != Some(&None));
            let removed: Vec<Digest> = there
                .take([1, 2, 5, 70][usize::try_from(kind % 4).unwrap()])
                .collect();
            let names = removed.iter().map(|digest| format!("'\\x{}'", hex(digest)));
            let names = names.collect::<Vec<_>>().join(", ");
            let remove = format!("DELETE FROM tower_api_keys WHERE digest IN ({names})");
            run(connection, &remove).await;
            changed.extend(removed.into_iter().map(|digest| (digest, None)));
        }
    }

    async fn insert(&mut self, connection: &mut PgConnection, copies: bool) -> Digest {
        self.next += 1;
        let id = format!("{:02}{:010}", self.number, self.next);
        let mut digest = [0; 32];
        for byte in &mut digest {
            *byte = u8::try_from(self.random.below(256)).unwrap();
        }
        let hex = hex(&digest);
        // Keys of one subject would take turns.
        let number = self.number;
        let expiry = if self.random.percent(50) {
            2
        } else {
            4_000_000_000_u64
        };
        if copies {
            let copy = format!("COPY tower_api_keys ({COLUMNS}) FROM STDIN");
            let mut copy = connection.copy_in_raw(&copy).await.unwrap();
            let row = format!(
                "{id}\torders\t\\\\x{hex}\talice{number}\tread\t1\t1\t{expiry}\t{id}\t0\t1\t{{}}\n"
            );
            copy.send(row.as_bytes()).await.unwrap();
            copy.finish().await.unwrap();
        } else {
            let insert = format!(
                "INSERT INTO tower_api_keys ({COLUMNS}) VALUES \
                 ('{id}', 'orders', '\\x{hex}', 'alice{number}', 'read', 1, 1, {expiry}, '{id}', 0, 1, '{{}}')"
            );
            run(connection, &insert).await;
        }
        digest
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    connection.execute(sqlx::raw_sql(sql)).await.unwrap();
}

const OPEN: &str = "BEGIN; INSERT INTO tower_api_keys
    (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation, version, metadata)
    VALUES ('HHHHHHHHHHHH', 'orders', sha256('open'), 'alice', 'read', 1, 1, 'HHHHHHHHHHHH', 0, 1, '{}')";

/// A transaction that stays open holds nothing back, and what it has changed is not forgotten.
#[tokio::test]
async fn a_transaction_that_stays_open_holds_nothing_back() {
    let server = PgServer::start_with_options(PREPARED);
    let url = server.database().await;
    let store = connect(&url).await;
    for prepares in [false, true] {
        let mut copy = Copy::of(&store).await;
        let mut open = PgConnection::connect(&url).await.unwrap();
        run(&mut open, OPEN).await;
        if prepares {
            run(&mut open, "PREPARE TRANSACTION 'open'").await;
        }
        for number in 0..3 {
            // Keys of one subject would take turns.
            let insert = OPEN
                .replace("BEGIN;", "")
                .replace("alice", "bob")
                .replace("HHHHHHHHHHHH", &format!("00000000000{number}"));
            execute(
                &url,
                &insert.replace("'open'", &format!("'other {number}'")),
            )
            .await
            .unwrap();
            assert_eq!(copy.pull().await, 1);
            store.forget(&copy.position).await.unwrap();
        }
        assert_eq!(copy.pull().await, 0);
        let end = if prepares {
            "COMMIT PREPARED 'open'"
        } else {
            "COMMIT"
        };
        run(&mut open, end).await;
        assert_eq!(copy.pull().await, 1);
        assert_eq!(copy.records.len(), 4);
        // A copy that has not heard of it in time begins anew.
        let early = copy.position.clone();
        execute(&url, "DELETE FROM tower_api_keys").await.unwrap();
        let late = Copy::of(&store).await;
        store.forget(&late.position).await.unwrap();
        copy.position = early;
        assert_eq!(copy.try_pull().await.unwrap(), None);
        let realms = Realms::all();
        let with_sums = store.changes(&realms, &copy.position, None, Some(0..=u8::MAX));
        assert!(matches!(with_sums.await.unwrap(), Changes::Lost));
        assert_eq!(late.records.len(), 0);
    }
}
