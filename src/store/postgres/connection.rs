//! Connections that are taken, used and given back.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Error as SqlError, PgPool, Postgres};

use super::super::StoreError;
use super::error::{commit_failed, failed, is_answer, is_dead};

/// Each statement sees what was committed before it, whatever the server's default is: the check
/// of a subject's keys must see what the holder of the lock before left. A lock that another
/// session keeps is waited for, and not for ever. A process that stands still in the middle is
/// taken for dead before those who wait give up: the server ends its session, and the locks, which
/// would otherwise be kept until the network tells, be it hours.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// A pool, and how its connections are used.
pub(super) struct Connections {
    pool: PgPool,
}

impl Connections {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// All rows of a statement that can be repeated: where the connection turns out to be dead,
    /// it is sent again on another.
    pub(super) async fn rows<'q>(
        &self,
        query: impl Fn() -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut attempts = self.attempts();
        loop {
            attempts -= 1;
            let error = match self.taken().await {
                Ok(mut connection) => match query().fetch_all(&mut **connection).await {
                    Ok(rows) => {
                        connection.is_in_order = true;
                        return Ok(rows);
                    }
                    Err(error) => {
                        connection.is_in_order = is_answer(&error);
                        error
                    }
                },
                Err(error) => return Err(failed(&error)),
            };
            if attempts == 0 || !is_dead(&error) {
                return Err(failed(&error));
            }
        }
    }

    /// Executes one statement as a transaction, and says how many rows it concerned.
    pub(super) async fn execute(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, StoreError> {
        let mut taken = self.begun().await?;
        let done = query.execute(&mut **taken).await;
        let concerned = done.map(|done| done.rows_affected());
        taken.end(concerned.map_err(|error| failed(&error))).await
    }

    /// A connection on which a transaction has begun. Nothing was written before, so a dead
    /// connection is replaced here too.
    pub(super) async fn begun(&self) -> Result<Taken, StoreError> {
        let mut attempts = self.attempts();
        loop {
            attempts -= 1;
            let error = match self.taken().await {
                Ok(mut connection) => match sqlx::raw_sql(BEGIN).execute(&mut **connection).await {
                    Ok(_) => return Ok(connection),
                    Err(error) => error,
                },
                Err(error) => return Err(failed(&error)),
            };
            if attempts == 0 || !is_dead(&error) {
                return Err(failed(&error));
            }
        }
    }

    /// Every connection may be dead after the server restarted; the next one is new.
    fn attempts(&self) -> u32 {
        let most = self.pool.options().get_max_connections();
        most.saturating_add(1)
    }

    async fn taken(&self) -> Result<Taken, SqlError> {
        Ok(Taken {
            connection: self.pool.acquire().await?,
            is_in_order: false,
        })
    }
}

/// A connection that goes back to the pool only when it is in order. The pool itself would wait
/// for the answer that a caller gave up on, for as long as a network that swallows everything
/// lets it, and have one connection less.
pub(super) struct Taken {
    connection: PoolConnection<Postgres>,
    pub(super) is_in_order: bool,
}

impl Taken {
    /// Ends the transaction: what was done in it is committed, where it did not fail.
    pub(super) async fn end<T>(mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        // The server would answer a COMMIT of what failed with a success, so a failure never sends
        // it.
        match (done, sqlx::raw_sql(end).execute(&mut **self).await) {
            (Ok(done), Ok(_)) => {
                self.is_in_order = true;
                Ok(done)
            }
            (Ok(_), Err(error)) => Err(commit_failed(&error)),
            (Err(failure), ended) => {
                self.is_in_order = ended.is_ok();
                Err(failure)
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
