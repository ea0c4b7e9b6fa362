//! Connections that are taken, used and given back.

use std::convert::identity;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_timer::Delay;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Error as SqlError, PgConnection, PgPool, Postgres};
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::authority::Authority;
use super::error::{
    PREPARED_STATEMENTS, Reason, because, commit_failed, failed, is_answer, is_dead,
};
use super::feed::{Hints, Slot};
use super::home::Seen;
use super::tables::{Tables, channel, seen};

/// Each statement sees everything that was committed before it, whatever the server's default is: the
/// check of a subject's keys must see the changes of the lock's previous holder. A lock that another
/// session keeps is waited for, but not for ever. A process that stalls in the middle is taken for dead
/// before those that wait give up. The server ends its session and frees its locks, which would
/// otherwise be kept until the network reports the loss, perhaps for hours. The answer says on which
/// server the transaction has begun.
macro_rules! begin {
    () => {
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'; SELECT "
    };
}
const BEGIN: &str = concat!(begin!(), seen!("begin"));

/// Ends a transaction, and notifies in another one. So a full queue of notifications keeps no revocation from being
/// committed, and the lock that orders notifications is not held while the commit is written to the disk.
const COMMIT_AND_NOTIFY: &str = concat!("COMMIT; NOTIFY ", channel!());

/// Only a borrowed pool can be without one.
const STATEMENT_CACHE: &str = "set the capacity of the pool's statement cache above 0: without a \
                               cache, each look-up takes memory of the server";

/// A whole answer.
pub(super) struct Answer<T> {
    pub(super) seen: Result<Seen, StoreError>,
    pub(super) rows: Vec<T>,
}

impl<T> Answer<T> {
    /// Reads rows that have [`seen!`] in front, each as soon as it is here.
    pub(super) async fn of(
        query: Query<'_, Postgres, PgArguments>,
        statement: &str,
        connection: &mut PgConnection,
        read: impl Fn(PgRow) -> T,
    ) -> Result<Self, SqlError> {
        let mut answer = Self {
            seen: Err(because(StoreErrorKind::Unavailable, PREPARED_STATEMENTS)),
            rows: Vec::new(),
        };
        let mut rows = query.fetch(connection);
        while let Some(row) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
            let row = row?;
            if answer.rows.is_empty() {
                answer.seen = Seen::of(&row, statement);
                // The columns are those of another statement.
                if answer.seen.is_err() {
                    break;
                }
            }
            answer.rows.push(read(row));
        }
        Ok(answer)
    }
}

/// A pool, and how its connections are used.
pub(super) struct Connections {
    pool: PgPool,
    authority: Arc<Authority>,
    feed: Slot,
    hints: Hints,
}

impl Connections {
    pub(super) fn new(pool: PgPool, authority: Arc<Authority>) -> Self {
        Self {
            pool,
            authority,
            feed: Slot::default(),
            hints: Hints::default(),
        }
    }

    /// What hears that a key was changed elsewhere.
    pub(super) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// The connection of the change feed.
    pub(super) fn feed(&self) -> &Slot {
        &self.feed
    }

    pub(super) fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// All rows of a statement that can be repeated, each with [`seen!`] in front. If the connection
    /// turns out to be dead, or to lead to a server that does not count, the statement is sent again on
    /// another.
    pub(super) async fn rows<'q>(
        &self,
        statement: &str,
        query: impl Fn(&Tables) -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.read(statement, query, identity).await
    }

    /// The same, of which each row is read while the server prepares those after it.
    pub(super) async fn read<'q, T>(
        &self,
        statement: &str,
        query: impl Fn(&Tables) -> Query<'q, Postgres, PgArguments>,
        read: impl Fn(PgRow) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let tables = self.authority.ready().await?;
        let mut attempts = self.attempts();
        loop {
            attempts -= 1;
            let mut connection = self.taken(tables).await?;
            match Answer::of(query(tables), statement, &mut connection, &read).await {
                Ok(answer) => {
                    if self.authority.counts(answer.seen?)? {
                        connection.is_in_order = true;
                        if connection.cached_statements_size() == 0 {
                            return Err(because(StoreErrorKind::Unavailable, STATEMENT_CACHE));
                        }
                        return Ok(answer.rows);
                    }
                    drop(connection);
                    self.look_again(attempts).await?;
                }
                Err(error) => {
                    connection.is_in_order = is_answer(&error);
                    if attempts == 0 || !is_dead(&error) {
                        return Err(failed(&error));
                    }
                }
            }
        }
    }

    async fn look_again(&self, attempts: u32) -> Result<(), StoreError> {
        if attempts == 0 {
            let advice = "use a URL that leads to one server: this one leads to several";
            return Err(because(StoreErrorKind::Unavailable, advice));
        }
        self.authority.anew().await
    }

    /// Executes one statement as a transaction, and returns how many rows it affected.
    pub(super) async fn execute<'q>(
        &self,
        query: impl FnOnce(&Tables) -> Query<'q, Postgres, PgArguments>,
    ) -> Result<u64, StoreError> {
        let mut taken = self.begun().await?;
        let done = query(&taken.tables).execute(&mut **taken).await;
        let concerned = done.map(|done| done.rows_affected());
        taken.end(concerned.map_err(|error| failed(&error))).await
    }

    /// A connection on which a transaction has begun. Nothing was written before, so a connection that
    /// is dead, or leads to a server that does not count, is replaced here too.
    pub(super) async fn begun(&self) -> Result<Taken, StoreError> {
        let tables = self.authority.ready().await?;
        let mut attempts = self.attempts();
        loop {
            attempts -= 1;
            let mut connection = self.taken(tables).await?;
            let begin = sqlx::raw_sql(AssertSqlSafe(tables.text(BEGIN)));
            match begin.fetch_all(&mut **connection).await {
                Ok(rows) => {
                    let seen = Seen::first_of(&rows, "begin")?;
                    if self.authority.counts(seen)? {
                        return Ok(connection);
                    }
                    drop(connection);
                    self.look_again(attempts).await?;
                }
                Err(error) => {
                    if attempts == 0 || !is_dead(&error) {
                        return Err(failed(&error));
                    }
                }
            }
        }
    }

    /// Every connection may be dead after the server restarted. The next one is new, and may be the
    /// first to show that the server is another, which ends one more attempt.
    fn attempts(&self) -> u32 {
        let most = self.pool.options().get_max_connections();
        most.saturating_add(1).saturating_mul(2)
    }

    /// Waits no longer than the store's own bound: a borrowed pool may have a longer one.
    async fn taken(&self, tables: &Arc<Tables>) -> Result<Taken, StoreError> {
        let mut acquired = pin!(self.pool.acquire());
        // None is made if a connection is at hand.
        let mut timeout = None;
        let connection = poll_fn(|context| {
            if let Poll::Ready(acquired) = acquired.as_mut().poll(context) {
                return Poll::Ready(acquired);
            }
            let timeout = timeout.get_or_insert_with(|| Delay::new(self.authority.timeout()));
            pin!(timeout)
                .poll(context)
                .map(|()| Err(SqlError::PoolTimedOut))
        });
        Ok(Taken {
            authority: Arc::clone(&self.authority),
            tables: Arc::clone(tables),
            connection: connection.await.map_err(|error| failed(&error))?,
            is_in_order: false,
        })
    }
}

/// A connection that goes back to the pool only if it is in order. The pool itself would wait for an
/// answer that the caller gave up on. If the network swallows everything, that takes as long as the
/// network allows, and the pool has one connection less.
pub(super) struct Taken {
    authority: Arc<Authority>,
    pub(super) tables: Arc<Tables>,
    connection: PoolConnection<Postgres>,
    pub(super) is_in_order: bool,
}

impl Taken {
    /// Ends the transaction: its changes are committed if they did not fail.
    pub(super) async fn end<T>(self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        self.end_with("COMMIT", done).await
    }

    /// As [`end`](Self::end), and notifies replicas after the commit.
    pub(super) async fn end_and_notify<T>(
        self,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.end_with(COMMIT_AND_NOTIFY, done).await
    }

    async fn end_with<T>(
        mut self,
        commit: &'static str,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let end = if done.is_ok() { commit } else { "ROLLBACK" };
        // The server was the primary when the transaction began, or seemed to be.
        if done.as_ref().is_err_and(Reason::is_fenced) {
            self.authority.renew();
        }
        // The server would answer a COMMIT of a failed transaction with a success, so a failure never
        // sends it.
        match (done, self.first_of(end).await) {
            (Ok(done), Ok(is_in_order)) => {
                self.is_in_order = is_in_order;
                Ok(done)
            }
            (Ok(_), Err(error)) => Err(commit_failed(&error)),
            (Err(failure), ended) => {
                self.is_in_order = ended.is_ok();
                Err(failure)
            }
        }
    }

    /// Sends statements in one message. Fails if the first does, and returns whether the others succeeded too.
    async fn first_of(&mut self, statements: &'static str) -> Result<bool, SqlError> {
        let mut answers = sqlx::raw_sql(statements).fetch_many(&mut ***self);
        let mut next = async || poll_fn(|context| answers.as_mut().poll_next(context)).await;
        match next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Err(SqlError::WorkerCrashed),
        }
        loop {
            match next().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return Ok(false),
                None => return Ok(true),
            }
        }
    }
}

impl Deref for Taken {
    type Target = PoolConnection<Postgres>;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.is_in_order {
            self.connection.close_on_drop();
        }
    }
}
