//! Connections of the pool: taken, checked, and given back in order.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Connection as _, Error as SqlError, Sqlite, Transaction};
use tower_api_key::store::StoreError;

use super::place::{Place, is_within, is_without};
use super::schema::{require_intact, require_marked};
use super::settings::{Durability, Settings};
use super::statement::Asked;

/// No schema has this version.
const NONE: i64 = -1;

/// The pool, its database, and what is known of that.
pub(super) struct Connections {
    pool: SqlitePool,
    pub(super) place: Place,
    durability: Durability,
    /// The version of the schema that was found to be intact, as SQLite counts.
    intact: AtomicI64,
}

impl Connections {
    pub(super) fn new(pool: SqlitePool, place: Place, durability: Durability) -> Self {
        Self {
            pool,
            place,
            durability,
            intact: AtomicI64::new(NONE),
        }
    }

    /// Refuses settings and a schema with which the store could not work.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let mut taken = self.taken().await?;
        let mut reading = self.reading(&mut taken).await?;
        let settings = self.writable(&mut reading).await.map(drop);
        self.read(reading, settings).await
    }

    /// All rows of a statement that begins and ends its own transaction. If the application has left the connection in
    /// one, its snapshot is an old one: it is rolled back, and the statement is sent again.
    pub(super) async fn rows<'q>(
        &self,
        query: impl Fn() -> Asked<'q>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let mut taken = self.acquired().await?;
        let mut is_first = true;
        loop {
            match query().fetch_all(&mut **taken).await {
                Ok(rows) => {
                    taken.is_in_order = true;
                    return Ok(rows);
                }
                Err(error) => {
                    let freed = taken.free().await;
                    if !is_within(&error) || !is_first {
                        return Err(self.place.sqlx(error));
                    }
                    freed.map_err(|error| self.place.sqlx(error))?;
                    taken.is_in_order = false;
                    is_first = false;
                }
            }
        }
    }

    /// A connection that is in no transaction.
    pub(super) async fn taken(&self) -> Result<Taken, StoreError> {
        let mut taken = self.acquired().await?;
        // Wherever this is dropped, it is in no transaction that it was not in before.
        taken.is_in_order = true;
        let freed = taken.free().await;
        taken.is_in_order = freed.is_ok();
        freed.map_err(|error| self.place.sqlx(error))?;
        Ok(taken)
    }

    /// A connection of which sqlx believes that it is in no transaction. If SQLite has rolled one back by itself, sqlx
    /// does not know, and takes every `BEGIN` on it for one within another: such a connection is closed.
    async fn acquired(&self) -> Result<Taken, StoreError> {
        loop {
            let connection = self.pool.acquire().await;
            let mut taken = Taken {
                connection: connection.map_err(|error| self.place.sqlx(error))?,
                is_in_order: false,
            };
            if !taken.connection.is_in_transaction() {
                return Ok(taken);
            }
            taken.connection.close_on_drop();
        }
    }

    /// A transaction that reads one state of the store.
    pub(super) async fn reading<'c>(
        &self,
        taken: &'c mut Taken,
    ) -> Result<Transaction<'c, Sqlite>, StoreError> {
        self.place.require_current()?;
        let begun = taken.begin_with("BEGIN").await;
        let mut transaction = begun.map_err(|error| self.place.sqlx(error))?;
        let settings = Settings::of(&mut transaction, &self.place).await?;
        settings.require_readable(&self.place)?;
        self.require_intact(&mut transaction, &settings).await?;
        Ok(transaction)
    }

    /// A transaction without another writer. If its future is dropped, sqlx rolls it back.
    pub(super) async fn writing<'c>(
        &self,
        taken: &'c mut Taken,
    ) -> Result<Transaction<'c, Sqlite>, StoreError> {
        self.place.require_current()?;
        let begun = taken.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(|error| self.place.sqlx(error))?;
        let settings = self.writable(&mut transaction).await?;
        self.require_intact(&mut transaction, &settings).await?;
        Ok(transaction)
    }

    /// The settings of a connection that writes, if it may.
    pub(super) async fn writable(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Settings, StoreError> {
        let settings = Settings::of(connection, &self.place).await?;
        settings.require_writable(&self.place, self.durability)?;
        Ok(settings)
    }

    /// Ends a transaction that has read. What a file said that is no longer at the path is no answer.
    pub(super) async fn read<T>(
        &self,
        transaction: Transaction<'_, Sqlite>,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let ended = transaction.rollback().await;
        let answer = answer?;
        ended.map_err(|error| self.place.sqlx(error))?;
        self.place.require_current()?;
        Ok(answer)
    }

    /// Commits. A commit to a file that is no longer at the path has not happened.
    pub(super) async fn commit(
        &self,
        transaction: Transaction<'_, Sqlite>,
    ) -> Result<(), StoreError> {
        let committed = transaction.commit().await;
        committed.map_err(|error| self.place.sqlx(error))?;
        self.place.require_current()
    }

    /// Whether a schema of this version was found to be intact.
    pub(super) fn is_intact(&self, schema_version: i64) -> bool {
        self.intact.load(Ordering::Relaxed) == schema_version
    }

    /// Checks the schema if it has changed. The transaction is the store's own, so what it sees is committed.
    async fn require_intact(
        &self,
        connection: &mut SqliteConnection,
        settings: &Settings,
    ) -> Result<(), StoreError> {
        require_marked(settings, &self.place)?;
        if !self.is_intact(settings.schema_version) {
            require_intact(connection, &self.place).await?;
            self.intact
                .store(settings.schema_version, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A connection that goes back to the pool only if it is in order. If a statement that begins a transaction is given up
/// half-way, the transaction stays open, so the connection is closed.
pub(super) struct Taken {
    connection: PoolConnection<Sqlite>,
    is_in_order: bool,
}

impl Taken {
    /// Ends a transaction that was left open, if there is one. That sqlx begins none of those is why it is a statement.
    async fn free(&mut self) -> Result<(), SqlError> {
        match sqlx::raw_sql("ROLLBACK")
            .execute(&mut *self.connection)
            .await
        {
            Err(error) if !is_without(&error) => Err(error),
            Ok(_) | Err(_) => {
                self.is_in_order = true;
                Ok(())
            }
        }
    }

    async fn begin_with(
        &mut self,
        statement: &'static str,
    ) -> Result<Transaction<'_, Sqlite>, SqlError> {
        self.connection.begin_with(statement).await
    }
}

impl Deref for Taken {
    type Target = PoolConnection<Sqlite>;

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
