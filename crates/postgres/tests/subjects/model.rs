//! Random sequences of operations, by the ring, in transactions of the application, and by the
//! functions of the schema, against the invariants of the lifecycle.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgPool, Row as _};
use tower_api_key::{
    Clock, Error, Grant, InvalidCause, Issued, KeyRing, ManualClock, RevocationReason,
    VerifyErrorKind,
};
use tower_api_key_postgres::InTransaction;
use tower_api_key_postgres::sqlx;

use super::super::builder;
use tower_api_key_test_support::pg_server::{database, patient};
use tower_api_key_test_support::support::START;

const SUBJECTS: [&str; 2] = ["alice", "bob"];
const SCOPES: [&str; 4] = ["a", "b", "c", "d"];
const SEQUENCES: u32 = 14;
const LONGEST: usize = 50;

#[derive(Debug, Clone)]
enum Operation {
    Issue(&'static str, u8),
    Rotate(u8),
    RotateAtOnce(u8),
    Regrant(u8, u8),
    Narrow(u8, u8),
    Revoke(u8),
    EndSubject(&'static str),
    NarrowSubject(&'static str, u8),
    Advance(u64),
}

/// The way of an operation of the ring.
#[derive(Debug, Clone, Copy)]
enum Way {
    Ring,
    Committed,
    RolledBack,
}

fn operation() -> impl Strategy<Value = (Operation, Way)> {
    let subject = || select(&SUBJECTS[..]);
    let operation = prop_oneof![
        4 => (subject(), 0..16_u8).prop_map(|(subject, scopes)| Operation::Issue(subject, scopes)),
        3 => any::<u8>().prop_map(Operation::Rotate),
        1 => any::<u8>().prop_map(Operation::RotateAtOnce),
        2 => (any::<u8>(), 0..16_u8).prop_map(|(key, scopes)| Operation::Regrant(key, scopes)),
        2 => (any::<u8>(), 0..16_u8).prop_map(|(key, scopes)| Operation::Narrow(key, scopes)),
        1 => any::<u8>().prop_map(Operation::Revoke),
        1 => subject().prop_map(Operation::EndSubject),
        3 => (subject(), 0..16_u8)
            .prop_map(|(subject, scopes)| Operation::NarrowSubject(subject, scopes)),
        2 => select(vec![1, 30, 60, 61]).prop_map(Operation::Advance),
    ];
    (
        operation,
        select(vec![Way::Ring, Way::Committed, Way::RolledBack]),
    )
}

fn scopes(mask: u8) -> Vec<&'static str> {
    let chosen = SCOPES.iter().enumerate();
    chosen
        .filter(|(place, _)| mask & (1 << place) != 0)
        .map(|(_, &scope)| scope)
        .collect()
}

/// The values of a key's row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    id: String,
    digest: Vec<u8>,
    subject: String,
    lineage: String,
    scopes: String,
    version: i64,
    expires_at: Option<i64>,
    retire_at: Option<i64>,
    reason: Option<String>,
}

impl<'r> FromRow<'r, PgRow> for Row {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            digest: row.try_get("digest")?,
            subject: row.try_get("subject")?,
            lineage: row.try_get("lineage")?,
            scopes: row.try_get("scopes")?,
            version: row.try_get("version")?,
            expires_at: row.try_get("expires_at")?,
            retire_at: row.try_get("retire_at")?,
            reason: row.try_get("reason")?,
        })
    }
}

impl Row {
    fn scopes(&self) -> Vec<&str> {
        self.scopes.split(' ').filter(|it| !it.is_empty()).collect()
    }

    fn end(&mut self, reason: &str) {
        self.reason = Some(reason.to_owned());
        self.version += 1;
    }
}

type Rows = BTreeMap<String, Row>;

struct World {
    pool: PgPool,
    ring: KeyRing,
    realm: String,
    clock: ManualClock,
    issued: Vec<Issued>,
    /// The keys whose transaction was rolled back.
    never: Vec<Issued>,
}

impl World {
    async fn rows(&self) -> Rows {
        let rows = "SELECT id, digest, subject, lineage, scopes, version, expires_at, retire_at, \
                    revocation_reason AS reason FROM tower_api_keys WHERE realm = $1";
        let rows: Vec<Row> = sqlx::query_as(rows)
            .bind(&self.realm)
            .fetch_all(&self.pool)
            .await
            .unwrap();
        rows.into_iter().map(|row| (row.id.clone(), row)).collect()
    }

    /// Does an operation of the ring, by itself or in a transaction.
    async fn change(&mut self, operation: &Operation, way: Way) {
        let key = |pick: u8| {
            let all = &self.issued;
            (!all.is_empty()).then(|| all[usize::from(pick) % all.len()].record().id())
        };
        let grace = Duration::from_mins(1);
        let reason = RevocationReason::KeyCompromise;
        // The same calls on a ring and in a transaction, which share no trait.
        macro_rules! on {
            ($keys:expr) => {
                match *operation {
                    Operation::Issue(subject, mask) => {
                        let grant = Grant::new(subject).scopes(scopes(mask));
                        $keys.issue(grant).await.map(Some)
                    }
                    Operation::Rotate(pick) => match key(pick) {
                        Some(id) => $keys.rotate(id, grace).await.map(Some),
                        None => Ok(None),
                    },
                    Operation::RotateAtOnce(pick) => match key(pick) {
                        Some(id) => $keys.rotate_now(id).await.map(Some),
                        None => Ok(None),
                    },
                    Operation::Regrant(pick, mask) => match key(pick) {
                        Some(id) => {
                            let grant = Grant::new("alice").scopes(scopes(mask));
                            $keys.regrant(id, grant).await.map(Some)
                        }
                        None => Ok(None),
                    },
                    Operation::Narrow(pick, mask) => match key(pick) {
                        Some(id) => {
                            let kept = scopes(mask).join(" ").parse().unwrap();
                            $keys.narrow(id, &kept).await.map(|_| None)
                        }
                        None => Ok(None),
                    },
                    Operation::Revoke(pick) => match key(pick) {
                        Some(id) => $keys.revoke(id, reason).await.map(|()| None),
                        None => Ok(None),
                    },
                    _ => Ok(None),
                }
            };
        }
        let done: Result<Option<Issued>, Error> = match way {
            Way::Ring => on!(self.ring),
            Way::Committed | Way::RolledBack => {
                let mut transaction = self.pool.begin().await.unwrap();
                let mut keys = InTransaction::join(&self.ring, &mut transaction)
                    .await
                    .unwrap();
                let done = on!(keys);
                drop(keys.finish());
                match way {
                    Way::RolledBack => transaction.rollback().await.unwrap(),
                    _ => transaction.commit().await.unwrap(),
                }
                done
            }
        };
        if let Ok(Some(issued)) = done {
            match way {
                Way::RolledBack => self.never.push(issued),
                _ => self.issued.push(issued),
            }
        }
    }

    /// Calls a function of the schema, and checks its result and the rows.
    async fn call(&self, operation: &Operation, mut rows: Rows) -> Option<Rows> {
        let mut count = 0;
        let (sql, subject) = match *operation {
            Operation::EndSubject(subject) => {
                for row in rows.values_mut() {
                    if row.subject == subject && row.reason.is_none() {
                        row.end("privilege_withdrawn");
                        count += 1;
                    }
                }
                (
                    "SELECT tower_api_key_end_subject($1, $2)".to_owned(),
                    subject,
                )
            }
            Operation::NarrowSubject(subject, mask) => {
                let list = scopes(mask);
                for row in rows.values_mut() {
                    if row.subject != subject || row.reason.is_some() {
                        continue;
                    }
                    let kept = row.scopes().into_iter().filter(|it| list.contains(it));
                    let kept = kept.collect::<Vec<_>>().join(" ");
                    if row.retire_at.is_some() || (kept.is_empty() && !row.scopes.is_empty()) {
                        row.end("privilege_withdrawn");
                    } else if kept != row.scopes {
                        row.scopes = kept;
                        row.version += 1;
                    } else {
                        continue;
                    }
                    count += 1;
                }
                let list = list.join(",");
                let sql = format!("SELECT tower_api_key_narrow_subject($1, $2, '{{{list}}}')");
                (sql, subject)
            }
            _ => return None,
        };
        let called: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&self.realm)
            .bind(subject)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!(called, count, "{operation:?}");
        Some(rows)
    }

    /// Invariants 1, 2, 4, 5 and 6 over one step.
    fn hold(operation: &Operation, before: &Rows, after: &Rows) {
        for (id, old) in before {
            let new = &after[id];
            let context = format!("{operation:?}: {old:?} became {new:?}");
            assert!(
                (&old.digest, &old.subject, &old.lineage)
                    == (&new.digest, &new.subject, &new.lineage),
                "invariant 1: {context}"
            );
            let had = old.scopes();
            let gained = new.scopes().iter().any(|scope| !had.contains(scope));
            assert!(!gained, "invariant 1: {context}");
            let rises = |old: Option<i64>, new: Option<i64>| {
                old.is_some_and(|old| new.is_none_or(|new| new > old))
            };
            assert!(
                !rises(old.retire_at, new.retire_at),
                "invariant 5: {context}"
            );
            assert!(
                !rises(old.expires_at, new.expires_at),
                "invariant 1: {context}"
            );
            assert!(old.reason.is_none() || old == new, "invariant 2: {context}");
            let step = i64::from(old != new);
            assert_eq!(new.version, old.version + step, "invariant 6: {context}");
        }
        let mut lineages: BTreeMap<&str, usize> = BTreeMap::new();
        for row in after.values().filter(|row| row.reason.is_none()) {
            *lineages.entry(&row.lineage).or_default() += 1;
        }
        let most = lineages.into_values().max().unwrap_or_default();
        assert!(
            most <= 2,
            "invariant 5: {operation:?} left {most} live keys of a lineage"
        );
    }

    /// Invariant 7: every verdict matches the current row.
    async fn verdicts(&self, rows: &Rows) {
        let now = i64::try_from(self.clock.now().as_unix()).unwrap();
        for issued in &self.issued {
            let row = &rows[issued.record().id().as_str()];
            let ends = [row.expires_at, row.retire_at].into_iter().flatten().min();
            let is_live = row.reason.is_none() && ends.is_none_or(|end| now < end);
            let verdict = self.ring.verify(issued.secret().expose().as_bytes()).await;
            match verdict {
                Ok(key) => {
                    assert!(is_live, "invariant 10: {row:?}");
                    assert_eq!(key.scopes().as_str(), row.scopes, "invariant 7");
                }
                Err(error) => {
                    assert!(!is_live, "{row:?}: {error:?}");
                    assert!(matches!(error.kind(), VerifyErrorKind::Invalid(_)));
                }
            }
        }
        for issued in &self.never {
            let verdict = self.ring.verify(issued.secret().expose().as_bytes()).await;
            let unknown = VerifyErrorKind::Invalid(InvalidCause::Unknown);
            assert_eq!(verdict.unwrap_err().kind(), unknown);
        }
    }

    async fn run(&mut self, operations: &[(Operation, Way)]) {
        for (operation, way) in operations {
            let before = self.rows().await;
            if let Operation::Advance(seconds) = operation {
                self.clock.advance(Duration::from_secs(*seconds));
            }
            let predicted = self.call(operation, before.clone()).await;
            if predicted.is_none() {
                self.change(operation, *way).await;
            }
            let after = self.rows().await;
            if let Some(predicted) = predicted {
                assert_eq!(after, predicted, "{operation:?}");
            }
            if matches!(way, Way::RolledBack)
                && !matches!(
                    operation,
                    Operation::EndSubject(_) | Operation::NarrowSubject(..)
                )
            {
                assert_eq!(after, before, "{operation:?} was rolled back");
            }
            Self::hold(operation, &before, &after);
        }
        let rows = self.rows().await;
        self.verdicts(&rows).await;
    }
}

#[test]
fn invariants_1_2_4_to_7_and_10_hold_beside_the_functions_and_in_transactions() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (pool, store) = runtime.block_on(async {
        let pool = PgPool::connect(&database().await).await.unwrap();
        let store = patient().with_pool(pool.clone()).await.unwrap();
        (pool, store)
    });
    let config = Config {
        cases: SEQUENCES,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let sequence = proptest::collection::vec(operation(), 1..LONGEST);
    let number = Cell::new(0);
    let run = TestRunner::new(config).run(&sequence, |operations| {
        number.set(number.get() + 1);
        let clock = ManualClock::new(START);
        let realm = format!("realm {}", number.get());
        let ring = builder().realm(&*realm).clock(clock.clone());
        let mut world = World {
            pool: pool.clone(),
            ring: ring.build(store.clone()).unwrap(),
            realm,
            clock,
            issued: Vec::new(),
            never: Vec::new(),
        };
        runtime.block_on(world.run(&operations));
        Ok(())
    });
    run.unwrap();
}
