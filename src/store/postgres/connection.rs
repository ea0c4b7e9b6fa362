//! Connections that are taken, used and given back.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Error as SqlError, PgPool, Postgres};

use super::super::StoreError;
use super::error::{failed, is_answer, is_dead};

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

    /// A connection on which a transaction has begun. Nothing was written before, so a dead
    /// connection is replaced here too.
    pub(super) async fn begun(&self, begin: &'static str) -> Result<Taken, StoreError> {
        let mut attempts = self.attempts();
        loop {
            attempts -= 1;
            let error = match self.taken().await {
                Ok(mut connection) => match sqlx::raw_sql(begin).execute(&mut **connection).await {
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
