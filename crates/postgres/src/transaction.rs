//! The store's statements in a transaction that belongs to a caller.

use std::convert::identity;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};
use tower_api_key::store::sql::Statement;
use tower_api_key::store::{
    Change, HistoryPage, HistoryQuery, ListQuery, Page, Revoked, StoreError, StoreErrorKind, Target,
};
use tower_api_key::{Actor, KeyId, KeyRecord, Realm, Revocation};

use super::authority::Authority;
use super::commit::Statements;
use super::connection::{Answer, Connections};
use super::error::{Reason, because, commit_failed, failed};
use super::home::Seen;
use super::list::{self, Source};
use super::record::column;
use super::tables::{SEEN, SELECT_BY_ID, Tables, home, seen};
use super::{first, history, revoke};

/// Outside a transaction, a savepoint is refused.
const CHECK: &str = concat!(
    "SAVEPOINT tower_api_key; SELECT ",
    seen!("within"),
    ", pg_catalog.current_setting('transaction_isolation'), \
     pg_catalog.current_setting('transaction_read_only'), ",
    home!(),
    "; RELEASE SAVEPOINT tower_api_key"
);

/// In milliseconds. 0 is for ever.
macro_rules! bound {
    ($setting:literal) => {
        concat!(
            "(EXTRACT(epoch FROM pg_catalog.current_setting('",
            $setting,
            "')::pg_catalog.interval) @* 1000)::pg_catalog.int8"
        )
    };
}

const SAVE: &str = concat!(
    "SAVEPOINT tower_api_key; SELECT ",
    seen!("savepoint"),
    ", ",
    bound!("lock_timeout"),
    ", ",
    bound!("idle_in_transaction_session_timeout"),
);

/// The bounds of the store's own transactions, in milliseconds.
const LONGEST_WAIT: i64 = 5_000;
const LONGEST_STANDSTILL: i64 = 3_000;

const UNDO: &str = "ROLLBACK TO SAVEPOINT tower_api_key; RELEASE SAVEPOINT tower_api_key";

const ELSEWHERE: &str = "roll the transaction back, and begin it on a connection to the store's own \
     database: this one is another, or on a server that does not count";

/// A connection on which a caller has begun a transaction.
pub(super) struct Borrowed<'c> {
    pub(super) connection: &'c mut PgConnection,
    connections: Arc<Connections>,
    tables: Arc<Tables>,
}

impl Source for Borrowed<'_> {
    async fn read<T: Send>(
        &mut self,
        statement: &Statement,
        read: impl Fn(PgRow) -> T + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let query = list::bound(&self.tables, statement);
        Borrowed::read(self, "list", query, read).await
    }
}

impl<'c> Borrowed<'c> {
    /// Refuses a connection that is in no transaction, in one that could miss the commits of other
    /// sessions, or in one that is not of this store's database.
    pub(super) async fn new(
        connections: &Arc<Connections>,
        connection: &'c mut PgConnection,
    ) -> Result<Self, StoreError> {
        let tables = Arc::clone(connections.authority().ready().await?);
        let check = sqlx::raw_sql(AssertSqlSafe(tables.text(CHECK)));
        let rows = check.fetch_all(&mut *connection).await;
        let rows = rows.map_err(|error| failed(&error))?;
        let borrowed = Self {
            connection,
            connections: Arc::clone(connections),
            tables,
        };
        let row = borrowed.counted(&rows, "within")?;
        let (isolation, read_only): (&str, &str) = (column(row, SEEN)?, column(row, SEEN + 1)?);
        let database: i64 = column(row, SEEN + 2)?;
        if !borrowed
            .authority()
            .is_home(Seen::of(row, "within")?, database)
        {
            return Err(because(StoreErrorKind::Unavailable, ELSEWHERE));
        }
        if !isolation.starts_with("read ") {
            let advice = "begin the transaction with ISOLATION LEVEL READ COMMITTED: a snapshot \
                          would miss keys that others have issued since";
            return Err(because(StoreErrorKind::Unavailable, advice));
        }
        if read_only != "off" {
            let advice = "begin the transaction with READ WRITE";
            return Err(because(StoreErrorKind::ReadOnly, advice));
        }
        Ok(borrowed)
    }

    fn authority(&self) -> &Arc<Authority> {
        self.connections.authority()
    }

    /// The first row of an answer, if its server counts.
    fn counted<'r>(&self, rows: &'r [PgRow], statement: &str) -> Result<&'r PgRow, StoreError> {
        self.expect(Seen::first_of(rows, statement)?)?;
        let row = rows.first();
        row.ok_or_else(|| because(StoreErrorKind::Unavailable, ELSEWHERE))
    }

    /// Refuses an answer of a server that does not count. There is no other connection to try.
    fn expect(&self, seen: Seen) -> Result<(), StoreError> {
        let counts = self.authority().counts(seen)?;
        counts
            .then_some(())
            .ok_or_else(|| because(StoreErrorKind::Unavailable, ELSEWHERE))
    }

    async fn rows(
        &mut self,
        statement: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.read(statement, query, identity).await
    }

    async fn read<T>(
        &mut self,
        statement: &str,
        query: Query<'_, Postgres, PgArguments>,
        read: impl Fn(PgRow) -> T,
    ) -> Result<Vec<T>, StoreError> {
        self.authority().ready().await?;
        let answer = Answer::of(query, statement, self.connection, read).await;
        let answer = answer.map_err(|error| failed(&error))?;
        self.expect(answer.seen?)?;
        Ok(answer.rows)
    }

    pub(super) async fn get(
        &mut self,
        realm: &Realm,
        id: KeyId,
    ) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let query = self.tables.query(&SELECT_BY_ID);
        let query = query.bind(id.to_string()).bind(realm.as_str());
        let rows = self.rows("get", query).await?;
        first(&rows, realm)
    }

    pub(super) async fn list(
        &mut self,
        realm: &Realm,
        query: &ListQuery,
    ) -> Result<Page, StoreError> {
        list::list(self, realm, query).await
    }

    pub(super) async fn history(
        &mut self,
        realm: &Realm,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        let Some(asked) = history::Statement::of(realm, query)? else {
            return Ok(HistoryPage::default());
        };
        let asked = asked.query(&self.tables);
        let rows = self.rows("history", asked).await?;
        history::page(&rows, realm, query)
    }

    /// Applies a change, whole or not at all. If it is not applied, the transaction is as it was before.
    pub(super) async fn commit(&mut self, change: &Change) -> Result<(), StoreError> {
        let statements = Statements::of(change)?;
        let longest_wait = self.save().await?;
        let done = statements.run(&self.tables, self.connection, change).await;
        self.settle(done, longest_wait).await
    }

    pub(super) async fn revoke(
        &mut self,
        realm: &Realm,
        target: &Target,
        revocation: Revocation,
        by: Option<&Actor>,
    ) -> Result<Revoked, StoreError> {
        if matches!(target, Target::Subject(subject) if subject.contains('\0')) {
            return Ok(Revoked::default());
        }
        let longest_wait = self.save().await?;
        let (connection, tables) = (&mut *self.connection, &self.tables);
        let ended = revoke::end(connection, tables, realm, target, revocation, by).await;
        let ended = ended.map_err(|error| commit_failed(&error));
        self.settle(ended, longest_wait).await
    }

    /// Makes a savepoint, and bounds how long the transaction waits and is idle, as in one of the
    /// store's own. Returns the caller's bound on a wait, in milliseconds.
    async fn save(&mut self) -> Result<i64, StoreError> {
        self.authority().ready().await?;
        let save = sqlx::raw_sql(AssertSqlSafe(self.tables.text(SAVE)));
        let rows = save.fetch_all(&mut *self.connection).await;
        let rows = rows.map_err(|error| failed(&error))?;
        let row = self.counted(&rows, "savepoint")?;
        let (wait, standstill): (i64, i64) = (column(row, SEEN)?, column(row, SEEN + 1)?);
        for (setting, bound, longest) in [
            ("lock_timeout", wait, LONGEST_WAIT),
            (
                "idle_in_transaction_session_timeout",
                standstill,
                LONGEST_STANDSTILL,
            ),
        ] {
            if bound == 0 || bound > longest {
                let set = format!("SET LOCAL {setting} = {longest}");
                self.execute(set).await?;
            }
        }
        Ok(wait)
    }

    /// Keeps the changes since the savepoint, or returns to it.
    async fn settle<T>(
        &mut self,
        done: Result<T, StoreError>,
        longest_wait: i64,
    ) -> Result<T, StoreError> {
        match done {
            Ok(done) => {
                // What the application does next is not the ring's.
                let keep = format!(
                    "SET LOCAL lock_timeout = {longest_wait}; SET LOCAL tower_api_key.ring = ''; \
                     RELEASE SAVEPOINT tower_api_key"
                );
                self.execute(keep).await?;
                Ok(done)
            }
            Err(failure) => {
                // If that fails, the transaction has failed, and cannot be committed.
                let _ = self.execute(UNDO.to_owned()).await;
                if Reason::is_deadlock(&failure) {
                    let advice = "roll the transaction back, and begin it anew: another session \
                                  waits for what it has changed";
                    return Err(because(StoreErrorKind::Busy, advice));
                }
                Err(failure)
            }
        }
    }

    async fn execute(&mut self, sql: String) -> Result<(), StoreError> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *self.connection)
            .await;
        done.map(drop).map_err(|error| failed(&error))
    }
}
