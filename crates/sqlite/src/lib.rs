//! API keys in a file of SQLite: a store for [`tower-api-key`](tower_api_key).
//!
//! It is for one machine: keys survive the process, several processes share them, and there is no server.
//! SQLite is built into the program.
//!
//! ```
//! use tower_api_key::{Grant, KeyRing, RevocationReason};
//! use tower_api_key_sqlite::SqliteStore;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let folder = std::env::temp_dir().join(format!("tower-api-key-page-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let path = folder.join("keys.db");
//! // The file is created if it is not there, and migrated to the schema of this version.
//! let server = KeyRing::builder("acme").build(SqliteStore::open(&path)?)?;
//! let issued = server.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//! let presented = issued.secret().expose().as_bytes();
//!
//! // A second process: the next request to the first one sees the revocation.
//! let shell = KeyRing::builder("acme").build(SqliteStore::open_existing(&path)?)?;
//! assert_eq!(shell.verify(presented).await?.subject(), "alice");
//! shell.revoke(issued.id(), RevocationReason::KeyCompromise).await?;
//! assert!(server.verify(presented).await.is_err());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! - [`SqliteStore`] has how it reads, commits, and treats its files.
//! - [`SqliteOptions`] sets the intervals and the waits.
//! - [`guide`] is about backup and restore. [`SqliteRestore`] revives no key that was revoked since.
//!
//! # From memory
//!
//! A look-up reads the file, in microseconds. A [`Replica`](tower_api_key::replica::Replica) over the store answers from
//! memory instead, at a tenth of that, and follows what any process changes:
//!
//! ```
//! use tower_api_key::replica::Replica;
//! use tower_api_key::{Grant, KeyRing, RevocationReason};
//! use tower_api_key_sqlite::SqliteStore;
//!
//! # let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
//! # runtime()?.block_on(async {
//! # let folder = std::env::temp_dir().join(format!("tower-api-key-memory-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let path = folder.join("keys.db");
//! let (replica, follow) = Replica::options().follow(SqliteStore::open(&path)?)?;
//! let runtime = runtime()?;
//! std::thread::spawn(move || runtime.block_on(follow));
//! replica.ready().await?;
//! let server = KeyRing::builder("acme").build(replica.clone())?;
//! let issued = server.issue(Grant::new("alice")).await?;
//! assert!(server.verify(issued.secret().expose().as_bytes()).await.is_ok());
//!
//! // A second process: the server refuses the key some milliseconds later, and after one staleness at the latest.
//! let shell = KeyRing::builder("acme").build(SqliteStore::open_existing(&path)?)?;
//! shell.revoke(issued.id(), RevocationReason::KeyCompromise).await?;
//! replica.settle().await?;
//! assert!(server.verify(issued.secret().expose().as_bytes()).await.is_err());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - While it follows, a thread of the store looks for changes each millisecond, for some percent of a processor.
//! - The [staleness](SqliteStore::staleness) of all processes is in the file, 1 s in a new one. A replica that has not
//!   read the file for nine tenths of it, because its process was stopped or its disk stalls, answers from the file or not
//!   at all.
//! - If the file is restored, replaced or changed without its triggers, the replica compares it with what it holds and
//!   loads what differs. A key that it has refused as revoked stays refused until its process ends.
//! - A change is in the log of the file, with its key's digest, until 100 000 newer ones are there and every replica
//!   of the last quarter of an hour has read it.
//!
//! Without a replica, a revocation counts for the next request of every process. That is the simpler choice if look-ups
//! of some microseconds are fast enough.
//!
//! # Limits
//!
//! - The file is on a local disk, in a folder of its own. A container mounts the folder, not the file.
//! - One commit at a time, each with its `fsync`: some hundred to some thousand a second. Look-ups do not
//!   wait for it.
//! - A process keeps six threads for a store, and one connection for each processor.
//! - A program links SQLite once. This crate resolves next to sqlx 0.8 and 0.9, diesel 2.3 and sea-orm 1,
//!   because the version of `rusqlite` is a range.

#![forbid(unsafe_code)]

pub mod guide;

mod acting;
mod backup;
mod checkpoint;
mod connection;
mod expiring;
mod failure;
mod feed;
mod files;
mod history;
mod limit;
mod list;
mod open;
mod options;
mod place;
mod port;
mod purge;
mod read;
mod readers;
mod restore;
mod revoke;
mod schema;
mod shared;
mod state;
mod stopwatch;
mod usage;
mod watcher;
mod worker;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

#[doc(inline)]
pub use options::SqliteOptions;
#[doc(inline)]
pub use restore::{Restored, SqliteRestore};

use self::connection::Access;
use self::shared::Shared;
use tower_api_key::store::StoreError;

/// A store in a file: keys survive the process, and several processes share them.
///
/// SQLite is built into the program. There is no server. A program links SQLite once, so the version of
/// `rusqlite` is a range: cargo takes the one that fits sqlx 0.8 or 0.9, diesel 2.3 or sea-orm 1 in the
/// same lock file. The file, its write-ahead log next to it (`-wal`) and the index of that (`-shm`)
/// belong together. Put them on a local disk: a network file system is slow where this is fast, and its
/// locks may not hold.
///
/// ```
/// use tower_api_key::{Grant, KeyRing};
/// use tower_api_key_sqlite::SqliteStore;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = std::env::temp_dir().join(format!("tower-api-key-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("keys.db");
/// let ring = KeyRing::builder("acme").build(SqliteStore::open(&path)?)?;
/// let issued = ring.issue(Grant::new("alice")).await?;
///
/// // Another process, or this one after a restart.
/// let ring = KeyRing::builder("acme").build(SqliteStore::open(&path)?)?;
/// assert!(ring.verify(issued.secret().expose().as_bytes()).await.is_ok());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Look-ups
///
/// Each look-up reads the database, so a key that another process revoked is refused by the next
/// request. It reads in the calling thread, and answers at once: an indexed read from the page cache
/// takes microseconds, less than a hop to another thread and back. There are as many connections for
/// this as processors. If all of them are taken, or SQLite would wait for a lock, the look-up is handed
/// to a thread that waits, and the answer is [`Lookup::Pending`](tower_api_key::store::Lookup::Pending), which the ring
/// bounds. A record is read by its id in the same way, so that watches go on next to a long list.
///
/// Look-ups read in place only while reads are fast. If a read takes 20 ms or more, or is still running
/// after that time, look-ups are handed to the thread that waits, until 16 reads there were faster, one
/// after the other. So if a disk stalls, it blocks the threads whose reads had begun, and no others.
///
/// # Commits
///
/// Commits take turns, in a separate thread and between processes. A commit has returned when it is on
/// the disk (`PRAGMA synchronous = FULL`), so that no power failure brings a revoked key back. That
/// costs one `fsync`, from a tenth of a millisecond to some ten, depending on the disk. Readers never
/// wait for a commit, and no commit waits for them. A purge takes its turn for some thousand records at
/// a time, and rests in between, so that revocations go on during a large one, in this process and in
/// others.
///
/// The database enforces the rules too. Its triggers refuse a statement of any program that would change
/// the identity of a key, give it a scope, let it end later, or undo a revocation. Label and metadata, which
/// are no authority, only change by themselves. A statement that revokes a key, and changes only `revoked_at`, `revocation_reason` and
/// `version`, is never refused, whatever else the row holds. A key that is deleted is gone, and a user
/// who may write to the file can add keys. The file is made readable by its owner alone.
///
/// # The history
///
/// Triggers write who changed which key, in the commit of the change: [`KeyRing::history`](tower_api_key::KeyRing::history). The
/// database refuses a statement that updates or deletes an entry, except for
/// [`KeyRing::forget_history`](tower_api_key::KeyRing::forget_history). SQLite has no roles, so an entry of a statement by hand
/// says only that.
///
/// # Files
///
/// The file that answers is the file at the path. Twice a second, or at the
/// [`check_interval`](SqliteOptions::check_interval), a thread compares the file, its log and the index
/// of that with those that are open. It also checks that the schema has this version, and that the table
/// of keys is the one that this crate makes. The writer compares the files before and after each commit.
/// If something differs, look-ups and commits fail with its cause until the store has opened the new
/// file, which it does by itself. It neither creates nor migrates that file.
///
/// A file with several names (hard links) is refused, and so is one that is mounted by itself, as
/// `docker -v keys.db:/data/keys.db` does. Each name has its own log, so none sees revocations through
/// another. Mount the folder. A symbolic link is followed.
///
/// A commit is in the log first. It is written to the file when the writer has had nothing to do for 100
/// ms, and when the last clone is dropped. [`backup`](Self::backup) copies a store while it is used, and
/// [`restore`](Self::restore) puts a copy in its place without reviving keys that were revoked since.
/// See [backup and restore](guide).
///
/// # Threads
///
/// Six threads end when the last clone is dropped: four with a connection, and two that monitor the
/// files and stalled reads. That drop waits until the files are closed, some milliseconds as a rule and
/// 5 s at the most. Clones share their connections. Opening blocks, so do it at the start. Open the file
/// again in a child process instead of keeping a store over a `fork`.
#[derive(Clone)]
pub struct SqliteStore(Arc<Shared>);

impl SqliteStore {
    /// Opens a file, creates it if there is none, and migrates it to the schema of this version of the
    /// crate. The folder must exist.
    ///
    /// # Errors
    ///
    /// - [`Schema`](tower_api_key::store::StoreErrorKind::Schema) for the database of another application, and for one
    ///   that a newer version of this crate has migrated;
    /// - [`Corrupt`](tower_api_key::store::StoreErrorKind::Corrupt) for a file that is no database, or a damaged one;
    /// - [`ReadOnly`](tower_api_key::store::StoreErrorKind::ReadOnly) for a file or a folder that is write-protected;
    /// - [`Busy`](tower_api_key::store::StoreErrorKind::Busy) if another process holds the lock for too long;
    /// - [`Unavailable`](tower_api_key::store::StoreErrorKind::Unavailable) for other errors of the system.
    ///
    /// The error's source names the file, and gives the remedy in one line.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().open(path)
    }

    /// Opens a file that exists and has the schema of this version of the crate, for tools that must not
    /// create a store by a typing error, nor migrate one under the servers that use it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). If the file is not there, the error is
    /// [`Unavailable`](tower_api_key::store::StoreErrorKind::Unavailable). If it has an older schema, or none, it is
    /// [`Schema`](tower_api_key::store::StoreErrorKind::Schema).
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().open_existing(path)
    }

    /// Opens a file read-only: commits, purges and last uses fail as
    /// [`ReadOnly`](tower_api_key::store::StoreErrorKind::ReadOnly).
    ///
    /// SQLite still writes to the index of its log (`-shm`), and creates it if it is not there. On a
    /// read-only medium, and for a user who may not write to the folder, this works while a process that
    /// may write has the store open. Otherwise it fails, and says so: copy the file and its log into
    /// another folder then. The mode `immutable` of SQLite, which needs no index, is not used, because
    /// it does not see the changes of a writer.
    ///
    /// If this user may write to the folder and not to the file, the new index belongs to this user, and
    /// the server may not be able to open it.
    ///
    /// # Errors
    ///
    /// As [`open_existing`](Self::open_existing).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().open_read_only(path)
    }

    /// Settings to open a file with, if the defaults do not fit.
    pub fn options() -> SqliteOptions {
        SqliteOptions::new()
    }

    fn with(path: &Path, access: Access, options: &SqliteOptions) -> Result<Self, StoreError> {
        let shared = Shared::open(path, access, options)?;
        Ok(Self(Arc::new(shared)))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.0.place.path)
            .finish_non_exhaustive()
    }
}
