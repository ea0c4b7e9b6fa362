//! A replica is a store: it keeps the contract of one over each kind of database, except for one sentence. A key that was
//! removed stays dead there, so it is not known again if it is put again.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::JoinHandle;
use tower_api_key::replica::{Feed, Replica};
use tower_api_key::store::{
    BoxFuture, Found, Index, KeyStore, StoreError, StoreErrorKind, StoreId,
};
use tower_api_key::{Actor, KeyId, Realm, Timestamp};
use tower_api_key_contract::{Clause, contract, contract_without};
use tower_api_key_sqlite::SqliteStore;

use crate::feed::MemoryFeed;
use crate::folder::Folder;
use crate::pg_server::{self, patient};

/// A replica that a task of the test follows, for as long as it lives.
struct Followed {
    replica: Replica,
    follow: JoinHandle<Infallible>,
    /// A store may refuse to. The clauses that need no purge hold without exception.
    purges: bool,
}

impl Followed {
    async fn new(database: impl Feed, purges: bool) -> Self {
        let options = Replica::options().staleness(Duration::from_mins(10));
        let (replica, follow) = options.follow(database).unwrap();
        let follow = tokio::spawn(follow);
        replica.ready().await.unwrap();
        Self {
            replica,
            follow,
            purges,
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.follow.abort();
    }
}

impl KeyStore for Followed {
    crate::support::forward!(replica: find, commit, revoke, get, list, record_uses, last_uses, record_usage, usages, claim_expiry_notices);

    fn index(&self, realm: &Realm) -> Option<&Index> {
        self.replica.index(realm)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        self.replica.spawn(task)
    }

    fn identity(&self) -> Option<StoreId> {
        self.replica.identity()
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        self.replica.get_many(realm, ids)
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        if self.purges {
            return self.replica.purge(realm, ended_by, by);
        }
        Box::pin(async { Err(StoreErrorKind::Unsupported.into()) })
    }
}

async fn assert_contract<F: Feed>(database: impl AsyncFn() -> F) {
    let without_purge = async || Followed::new(database().await, false).await;
    let verdict = contract_without(&[Clause::Purge, Clause::History], without_purge).await;
    verdict.unwrap();

    let violation = contract(async || Followed::new(database().await, true).await).await;
    let violation = violation.unwrap_err();
    assert_eq!(
        (violation.clause(), violation.seen()),
        (
            Clause::Purge,
            "once it was put again, find did not show the record"
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_of_a_database_in_memory_keeps_the_contract() {
    assert_contract(async || MemoryFeed::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_of_a_sqlite_file_keeps_the_contract() {
    let folder = Folder::new();
    assert_contract(async || SqliteStore::open(folder.fresh()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_of_postgres_keeps_the_contract() {
    assert_contract(async || {
        let url = pg_server::database().await;
        patient().connect(&url).await.unwrap()
    })
    .await;
}
