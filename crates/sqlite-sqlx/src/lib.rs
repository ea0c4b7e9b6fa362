//! API keys in the SQLite database of a service, over its own pool of sqlx: a store for
//! [`tower-api-key`](tower_api_key).
//!
//! It is for a service that has a `SqlitePool` already. Its keys are in the same file as its own tables, and a change of its
//! own and one of the keys are one commit.
//!
//! ```
//! use tower_api_key::{Grant, KeyRing, RevocationReason};
//! use tower_api_key_sqlite_sqlx::{InTransaction, SqlxSqliteStore};
//! use tower_api_key_sqlite_sqlx::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("tower-api-key-sqlx-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let path = folder.join("orders.db");
//! // The service's own pool.
//! let settings = SqliteConnectOptions::new()
//!     .filename(&path)
//!     .create_if_missing(true)
//!     .journal_mode(SqliteJournalMode::Wal);
//! let pool = SqlitePool::connect_with(settings).await?;
//!
//! SqlxSqliteStore::migrate(&pool).await?;
//! let ring = KeyRing::builder("acme").build(SqlxSqliteStore::from_pool(pool.clone()).await?)?;
//! let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//! assert_eq!(ring.verify(issued.secret().expose().as_bytes()).await?.subject(), "alice");
//!
//! // The service's change and that of the keys are one commit.
//! let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
//! let mut keys = InTransaction::join(&ring, &mut transaction).await?;
//! keys.revoke(issued.id(), RevocationReason::PrivilegeWithdrawn).await?;
//! let unannounced = keys.finish();
//! transaction.commit().await?;
//! unannounced.announce();
//! assert!(ring.verify(issued.secret().expose().as_bytes()).await.is_err());
//! # pool.close().await;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`SqlxSqliteStore`] has the tables, the settings that a pool needs, and what a look-up does.
//! - [`InTransaction`] changes keys in a transaction of the service.
//! - [`SqlxSqliteOptions`] weakens one setting.
//!
//! # This store, or the one over rusqlite
//!
//! `tower-api-key-sqlite` has connections of its own, and reads in the calling thread. Take it if the keys are in a file of
//! their own. This one sends each statement to the thread of a connection, as sqlx does, so a look-up costs a hop to another
//! thread and back. Take it if the keys are to be in the service's own database.
//!
//! Both have the same tables, so each opens a file that the other has made, also at the same time in two programs.
//! The command line `tower-api-key` manages the keys of the service in this way. In one program they link the same SQLite, if
//! cargo finds a version of `libsqlite3-sys` for both: sqlx 0.9 with rusqlite 0.32 to 0.39. If the lock file has a newer
//! rusqlite, `cargo update -p rusqlite --precise 0.39.0` makes room.
//!
//! # Limits
//!
//! - No [`Replica`](https://docs.rs/tower-api-key/latest/tower_api_key/replica/) follows this store. A look-up reads the file, so a
//!   revocation counts for the next request of every process. A replica in another program can follow the same file by
//!   `tower-api-key-sqlite`.
//! - One commit at a time, for all tables of the file.
//! - Watches end at once if this ring changes a key, and at their interval if another process does.
//! - The SQLite that sqlx bundles, also in a program that asks sqlx for another one by `sqlite-unbundled`: cargo adds the two up.
//! - Tokio, and the version of sqlx that the crate re-exports. It needs Rust 1.94, because sqlx does.

#![forbid(unsafe_code)]

mod borrowed;
mod calls;
mod connection;
mod expiring;
mod history;
mod in_transaction;
mod list;
mod open;
mod options;
mod place;
mod port;
mod read;
mod record;
mod schema;
mod settings;
mod statement;
mod task;
mod usage;
mod write;

use std::fmt;
use std::sync::Arc;

use self::connection::Connections;
#[doc(inline)]
pub use self::in_transaction::InTransaction;
#[doc(inline)]
pub use self::options::SqlxSqliteOptions;

/// The version of sqlx whose `SqlitePool` and `SqliteConnection` [`SqlxSqliteStore`] takes.
#[doc(no_inline)]
pub use sqlx;

/// Keys in the SQLite database of a service, over its pool.
///
/// Clones share the pool. Rings of several realms can share one store. The store starts no thread and no task, except for
/// calls that read, which are tasks of Tokio: a caller that hangs up cancels none of them.
///
/// # The tables
///
/// [`migrate`](Self::migrate) makes them, in the schema `main` of the database. Their names begin with `api_key`. It also marks the
/// database, by `application_id` and `user_version`, which other tools and `tower-api-key-sqlite` recognise. It refuses a
/// database in which the application has set one of these itself. The migrations of sqlx do not use them, so
/// `sqlx::migrate!` and its table stand next to ours, and run before or after.
///
/// The database enforces the rules too. Its triggers refuse a statement of any program that would change the identity of a
/// key, give it a scope, let it end later, or undo a revocation, and they write the
/// [history](tower_api_key::KeyRing::history), in which a statement by hand is called one. The store checks tables and
/// triggers when it is opened, and again when the schema of the database has changed. If one is missing or another, every call
/// fails, and no key is taken for unknown.
///
/// A key that is deleted is gone, and a user who may write to the file can add keys. A service that deletes a customer should
/// [revoke](tower_api_key::KeyRing::revoke_subject) the keys in the same transaction.
///
/// # The settings of the pool
///
/// The pool is the application's, and the store changes none of its settings. It refuses those by which an answer could be
/// wrong or a revocation undone, when it is opened and in every transaction:
///
/// | setting | what the store needs |
/// |---|---|
/// | `journal_mode` | `WAL` is best: look-ups and commits do not wait for each other. `TRUNCATE` and `PERSIST` work, and so does `DELETE` with `synchronous` at `EXTRA`. `OFF` is refused, and so is `MEMORY` for a file. |
/// | `synchronous` | `FULL`, which is the default of SQLite, or `EXTRA`. With `NORMAL`, a power failure brings a revoked key back: [`danger_lose_commits_at_power_failure`](SqlxSqliteOptions::danger_lose_commits_at_power_failure) accepts it. |
/// | `read_uncommitted` | `OFF`, the default. |
/// | `ignore_check_constraints` | `OFF`, the default. |
/// | `encoding` | `UTF-8`, the default. |
/// | `busy_timeout` | Any. A call that has waited that long for a lock fails as [`Busy`](tower_api_key::store::StoreErrorKind::Busy), which is a 503 and never an unknown key. The default of sqlx is 5 s. |
/// | `foreign_keys`, `recursive_triggers` and others | Any. |
///
/// # Look-ups
///
/// A look-up is one message to the thread of a connection: `BEGIN`, one indexed read, `COMMIT`. It waits for a connection for the
/// `acquire_timeout` of the pool, or for the ring's [look-up timeout](tower_api_key::KeyRingBuilder::lookup_timeout) if that is
/// shorter. Give the pool some more connections than its longest statements take.
///
/// If the application has begun a transaction by a statement, and was dropped before it ended, sqlx gives the connection back
/// as it is. Its snapshot would show a key that was revoked since. The store rolls such a transaction back when it meets one.
///
/// A call that changes keys and is dropped before it ends is rolled back by sqlx, or was committed as a whole.
///
/// # The file
///
/// Put it on a local disk. On Unix the store compares the file at the path with the one that it was opened over. If another was put in its place,
/// every call fails until a new pool is opened. A file with several names (hard links) is refused.
///
/// [Back up](https://www.sqlite.org/lang_vacuum.html#vacuuminto) the database as a whole. A backup that is put in its place revives keys that
/// were revoked since. `SqliteStore::restore` of `tower-api-key-sqlite` and the command `tower-api-key restore` keep the revocations that
/// the current file has, but bring the tables of the application back to those of the backup.
///
/// A database in memory is for tests, and ends with its last connection. Give its pool one that stays: `max_connections(1)`,
/// `idle_timeout(None)`, `max_lifetime(None)` and `test_before_acquire(false)`, because sqlx closes a connection if the call
/// that tests it is dropped.
#[derive(Clone)]
pub struct SqlxSqliteStore(Arc<Connections>);

impl fmt::Debug for SqlxSqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlxSqliteStore").finish_non_exhaustive()
    }
}
