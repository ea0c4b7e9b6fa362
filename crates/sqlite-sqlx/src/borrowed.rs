//! The store's statements in a transaction that belongs to a caller.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use tower_api_key::store::{
    Change, HistoryPage, HistoryQuery, ListQuery, Page, Revoked, StoreError, StoreErrorKind, Target,
};
use tower_api_key::{Actor, KeyId, KeyRecord, Realm, Revocation};

use super::connection::Connections;
use super::place::{Place, is_within};
use super::schema::{require_intact, require_marked};
use super::settings::path;

use super::{history, list, read, write};

/// A connection on which a caller has begun a transaction.
pub(super) struct Borrowed<'c> {
    pub(super) connection: &'c mut SqliteConnection,
    connections: Arc<Connections>,
}

impl<'c> Borrowed<'c> {
    /// Refuses a connection that is in no transaction, that is set so that an answer could be wrong, or that leads to
    /// another database than the store.
    pub(super) async fn new(
        connections: &Arc<Connections>,
        connection: &'c mut SqliteConnection,
    ) -> Result<Self, StoreError> {
        let place = &connections.place;
        place.require_current()?;
        let advice = "begin a transaction first, with BEGIN IMMEDIATE";
        require_begun(connection, place, advice).await?;
        let found = path(connection, place).await?;
        if !place.is_at(&found) {
            let advice = "roll the transaction back, and begin it on a connection to the store's \
                          own database: this one is another";
            return Err(place.error(StoreErrorKind::Unavailable, advice));
        }
        let settings = connections.writable(connection).await?;
        require_marked(&settings, place)?;
        // What this transaction has done to the schema may never be committed, so it is not kept that it was intact.
        if !connections.is_intact(settings.schema_version) {
            require_intact(connection, place).await?;
        }
        Ok(Self {
            connection,
            connections: Arc::clone(connections),
        })
    }

    pub(super) async fn get(
        &mut self,
        realm: &Realm,
        id: KeyId,
    ) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        read::get(self.connection, &self.connections.place, realm, id).await
    }

    pub(super) async fn list(
        &mut self,
        realm: &Realm,
        query: &ListQuery,
    ) -> Result<Page, StoreError> {
        list::list(self.connection, &self.connections.place, realm, query).await
    }

    pub(super) async fn history(
        &mut self,
        realm: &Realm,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        history::list(self.connection, &self.connections.place, realm, query).await
    }

    /// Applies a change, whole or not at all. If it is not applied, the transaction is as it was before.
    pub(super) async fn commit(&mut self, change: &Change) -> Result<(), StoreError> {
        self.save().await?;
        let done = write::commit(self.connection, &self.connections.place, change).await;
        self.settle(done).await
    }

    pub(super) async fn revoke(
        &mut self,
        realm: &Realm,
        target: &Target,
        revocation: Revocation,
        by: Option<&Actor>,
    ) -> Result<Revoked, StoreError> {
        self.save().await?;
        let (connection, place) = (&mut *self.connection, &self.connections.place);
        let ended = write::revoke(connection, place, realm, target, revocation, by).await;
        self.settle(ended).await
    }

    /// Makes a savepoint. If SQLite has rolled the transaction back since, as it does if the disk is full, a savepoint
    /// would begin another, and its release would commit it.
    async fn save(&mut self) -> Result<(), StoreError> {
        let place = &self.connections.place;
        require_begun(
            self.connection,
            place,
            "the transaction is over; begin another",
        )
        .await?;
        self.execute(SAVE).await
    }

    /// Keeps the changes since the savepoint, or returns to it.
    async fn settle<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match done {
            Ok(done) => {
                self.execute(KEEP).await?;
                Ok(done)
            }
            Err(failure) => {
                // If that fails, SQLite has rolled the whole transaction back.
                let _ = self.execute(UNDO).await;
                if failure.kind() == StoreErrorKind::Busy {
                    return Err(self.connections.place.error(StoreErrorKind::Busy, BUSY));
                }
                Err(failure)
            }
        }
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = sqlx::raw_sql(sql).execute(&mut *self.connection).await;
        let place = &self.connections.place;
        done.map(drop).map_err(|error| place.sqlx(error))
    }
}

const SAVE: &str = "SAVEPOINT tower_api_key";
const KEEP: &str = "RELEASE tower_api_key";
const UNDO: &str = "ROLLBACK TO tower_api_key; RELEASE tower_api_key";

const BUSY: &str = "another connection writes, or has written since this transaction began to \
                    read; roll it back, and begin it with BEGIN IMMEDIATE";

/// A savepoint would begin a transaction, so it tells nothing. A second `BEGIN` is refused.
async fn require_begun(
    connection: &mut SqliteConnection,
    place: &Place,
    advice: &str,
) -> Result<(), StoreError> {
    match sqlx::raw_sql("BEGIN").execute(&mut *connection).await {
        Err(error) if is_within(&error) => Ok(()),
        Err(error) => Err(place.sqlx(error)),
        Ok(_) => {
            let ended = sqlx::raw_sql("ROLLBACK").execute(connection).await;
            ended.map_err(|error| place.sqlx(error))?;
            Err(place.error(StoreErrorKind::Unavailable, advice))
        }
    }
}
