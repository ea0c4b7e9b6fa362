//! Records in a file of SQLite.

mod connection;
mod failure;
mod options;
mod purge;
mod read;
mod readers;
mod worker;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;

pub use options::SqliteOptions;
use rusqlite::Connection;

use self::connection::Access;
use self::failure::Place;
use self::readers::Readers;
use self::worker::Worker;
use super::{
    BoxFuture, Change, Found, KeyStore, ListQuery, Lookup, StoreError, StoreErrorKind, StoreId,
};
use crate::clock::Timestamp;
use crate::digest::KeyDigest;
use crate::format::KeyId;
use crate::realm::Realm;
use crate::record::KeyRecord;

/// A store in a file: keys survive the process, and several processes share them. Needs the feature
/// `sqlite`.
///
/// SQLite is built into the program; there is no server. The file, its write-ahead log beside it
/// (`-wal`) and the index of that (`-shm`) belong together. Put them on a local disk: a network
/// file system is slow where this is fast, and its locks may not hold.
///
/// ```
/// use tower_api_key::{Grant, KeyRing, store::SqliteStore};
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
/// Each look-up reads the database, so what another process revoked is refused by the next
/// request. It reads in the thread that asks, and answers at once: an indexed read from the page
/// cache takes microseconds, less than a hop to another thread and back. There are as many
/// connections for this as processors. Where all of them are taken, or SQLite would wait for a
/// lock, the look-up is handed to a thread that waits, and the answer is
/// [`Lookup::Pending`], which the ring bounds. A record is got by its id in the same way, so that
/// watches go on beside a long list. Where pages are not in the cache of the operating
/// system, the thread that asks waits for the disk.
///
/// # Commits
///
/// Commits take turns, in a thread of their own and between processes. A commit has returned when
/// it is on the disk (`PRAGMA synchronous = FULL`), so that no power failure brings a revoked key
/// back; that costs one `fsync`, from a tenth of a millisecond to some ten, as the disk has it.
/// Readers never wait for a commit, and none waits for them. A purge takes its turn for some
/// thousand records at a time, and rests in between, so that revocations go on beside a large one,
/// in this process and in others.
///
/// The database holds the rules too: its triggers refuse a statement, by whatever hand, that would
/// change what a key is, give it a scope, let it end later, or undo a revocation. A key that is
/// deleted is gone; who may write to the file can bring keys of their own. The file is made
/// readable by its owner alone.
///
/// The threads end when the last clone is dropped. Clones share their connections. Opening blocks,
/// so do it at the start; and open the file anew in a child process instead of keeping a store
/// over a `fork`.
#[derive(Clone)]
pub struct SqliteStore(Arc<Shared>);

struct Shared {
    place: Arc<Place>,
    readers: Readers,
    /// Look-ups that have to wait.
    waiting: Worker,
    /// Lists, which may be long, and last uses.
    management: Worker,
    /// `None` where the file is only read.
    writer: Option<Worker>,
}

impl SqliteStore {
    /// Opens a file, creates it where there is none, and brings it to the schema of this version
    /// of the crate. The folder must exist.
    ///
    /// # Errors
    ///
    /// - [`Schema`](StoreErrorKind::Schema) for the database of another application, and for one
    ///   that a newer version of this crate has migrated;
    /// - [`Corrupt`](StoreErrorKind::Corrupt) for a file that is no database, or a damaged one;
    /// - [`ReadOnly`](StoreErrorKind::ReadOnly) for a file or a folder that is write-protected;
    /// - [`Busy`](StoreErrorKind::Busy) when another process holds the lock for too long;
    /// - [`Unavailable`](StoreErrorKind::Unavailable) for what else the system refuses.
    ///
    /// The error's source names the file, and says in a line what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().open(path)
    }

    /// Opens a file that exists and has the schema of this version of the crate, for tools that
    /// shall not create a store by a slip of the pen, nor migrate one under the servers that use
    /// it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); a file that is not there is
    /// [`Unavailable`](StoreErrorKind::Unavailable), one with an older schema, or none,
    /// [`Schema`](StoreErrorKind::Schema).
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().open_existing(path)
    }

    /// Opens a file to read only: commits, purges and last uses fail as
    /// [`ReadOnly`](StoreErrorKind::ReadOnly).
    ///
    /// SQLite still writes to the index of its log, unless the folder is write-protected.
    ///
    /// # Errors
    ///
    /// As [`open_existing`](Self::open_existing).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().open_read_only(path)
    }

    /// Settings to open a file with, where the defaults do not fit.
    pub fn options() -> SqliteOptions {
        SqliteOptions::new()
    }

    fn with(path: &Path, access: Access, options: &SqliteOptions) -> Result<Self, StoreError> {
        // A name such as `:memory:` is a file too, and a change of the working directory moves
        // nothing.
        let absolute = std::path::absolute(path);
        let place = Arc::new(Place {
            path: absolute.as_deref().unwrap_or(path).to_owned(),
            busy_timeout: options.busy_timeout,
        });
        if let Err(error) = absolute {
            return Err(place.io("cannot open the file", error));
        }
        let writer = match access {
            Access::ReadOnly => None,
            access => {
                let connection = connection::writer(&place, access, options.synchronous)?;
                Some(Worker::spawn("api-key-writer", connection, &place)?)
            }
        };
        let reader = || connection::reader(&place, place.busy_timeout);
        Ok(Self(Arc::new(Shared {
            readers: Readers::open(&place)?,
            waiting: Worker::spawn("api-key-lookup", reader()?, &place)?,
            management: Worker::spawn("api-key-reader", reader()?, &place)?,
            writer,
            place,
        })))
    }

    /// Hands a look-up to a thread that can wait.
    #[cold]
    fn find_later(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let (realm, digest) = (realm.clone(), *digest);
        let find = move |connection: &mut Connection| read::find(connection, &realm, &digest);
        Lookup::Pending(self.read(&self.0.waiting, find))
    }

    fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection, &Place) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let place = Arc::clone(&self.0.place);
        if let Some(writer) = &self.0.writer {
            Box::pin(writer.run(move |connection| job(connection, &place)))
        } else {
            let error = place.error(
                StoreErrorKind::ReadOnly,
                "the store was opened to read only; open it to write",
            );
            Box::pin(ready(Err(error)))
        }
    }

    fn read<T: Send + 'static>(
        &self,
        reader: &Worker,
        job: impl FnOnce(&mut Connection) -> Result<T, read::Unread> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let place = Arc::clone(&self.0.place);
        let job = move |connection: &mut Connection| job(connection).map_err(|e| e.at(&place));
        Box::pin(reader.run(job))
    }
}

impl KeyStore for SqliteStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let found = self
            .0
            .readers
            .with(|connection| read::find(connection, realm, digest));
        match found {
            Some(Ok(found)) => Lookup::Ready(Ok(found)),
            None => self.find_later(realm, digest),
            Some(Err(error)) if error.is_busy() => self.find_later(realm, digest),
            Some(Err(error)) => Lookup::Ready(Err(error.at(&self.0.place))),
        }
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        let change = change.clone();
        self.write(move |connection, place| write::commit(connection, place, &change))
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        // At once, as `find` does: a watch bounds the wait, and a revocation begins with this.
        let got = self
            .0
            .readers
            .with(|connection| read::get(connection, realm, id));
        match got {
            Some(Ok(record)) => Box::pin(ready(Ok(record))),
            Some(Err(error)) if !error.is_busy() => Box::pin(ready(Err(error.at(&self.0.place)))),
            None | Some(Err(_)) => {
                let realm = realm.clone();
                let get = move |connection: &mut Connection| read::get(connection, &realm, id);
                self.read(&self.0.waiting, get)
            }
        }
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        let (realm, query) = (realm.clone(), query.clone());
        let list = move |connection: &mut Connection| read::list(connection, &realm, &query);
        self.read(&self.0.management, list)
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(purge::purge(self, realm, ended_by))
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (realm, uses) = (realm.clone(), uses.to_vec());
        self.write(move |connection, place| write::record_uses(connection, place, &realm, &uses))
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        let (realm, ids) = (realm.clone(), ids.to_vec());
        let uses = move |connection: &mut Connection| read::last_uses(connection, &realm, &ids);
        self.read(&self.0.management, uses)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.0.place.path)
            .finish_non_exhaustive()
    }
}
