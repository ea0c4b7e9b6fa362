//! A backup in the place of a store, without reviving keys that were revoked since.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use tower_api_key::Actor;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::SqliteStore;
use super::acting::acting;
use super::backup::{copy, sync, sync_folder};
use super::checkpoint::{checkpoint, leave_files_alone};
use super::connection::{self, Access};
use super::expiring;
use super::feed::carry;
use super::files::{Files, with_suffix};
use super::history;
use super::place::Place;

const SHRINK: &str = include_str!("shrink.sql");

/// The first version of the schema that has caveats. No key of an earlier one has any.
const FIRST_WITH_CAVEATS: i64 = 5;

/// The first version of the schema with a history.
const FIRST_WITH_HISTORY: i64 = 9;

/// The first version of the schema that knows which notices were sent.
const FIRST_WITH_NOTICES: i64 = 10;

/// How long it waits for a lock.
const BUSY: Duration = Duration::from_secs(5);

/// How often it tries to find the log of the present store empty, without a writer.
const ATTEMPTS: u32 = 100;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// A restoration of a backup, from [`SqliteStore::restore`].
///
/// ```no_run
/// use tower_api_key_sqlite::SqliteStore;
///
/// let restored = SqliteStore::restore("/backup/monday.db").into("/var/lib/orders/keys.db")?;
/// println!("{} keys, {} of them with less authority", restored.keys, restored.shrunk);
/// # Ok::<(), tower_api_key::store::StoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SqliteRestore {
    backup: PathBuf,
    newer: Vec<PathBuf>,
    present_is_lost: bool,
    actor: Option<Actor>,
}

/// The result of a restoration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// How many keys the backup has, live or dead, of all realms.
    pub keys: u64,
    /// How many of them were given less authority than in the backup, because the present store or a
    /// newer file had withdrawn it.
    pub shrunk: u64,
    /// Whether there was a present store to compare with.
    pub present: bool,
}

impl SqliteStore {
    /// Puts a backup in the place of a store. See [backup and restore](crate::guide).
    pub fn restore(backup: impl Into<PathBuf>) -> SqliteRestore {
        SqliteRestore {
            backup: backup.into(),
            newer: Vec::new(),
            present_is_lost: false,
            actor: None,
        }
    }
}

impl SqliteRestore {
    /// Withdraws the authority that this file has withdrawn, in addition to the present store: a newer
    /// backup, or a copy of the store that was lost. May be called several times.
    #[must_use]
    pub fn also_revoked_in(mut self, newer: impl Into<PathBuf>) -> Self {
        self.newer.push(newer.into());
        self
    }

    /// Restores even if the present store cannot be read. Then every key that was revoked since the
    /// backup was made is live again, unless a file of [`also_revoked_in`](Self::also_revoked_in) says
    /// otherwise.
    #[must_use]
    pub fn danger_present_is_lost(mut self) -> Self {
        self.present_is_lost = true;
        self
    }

    /// Says who restores, for the [history](tower_api_key::KeyRing::history) of the keys.
    #[must_use]
    pub fn acting_as(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Puts the backup in the place of the store at `path`, or there if there is none. It blocks.
    ///
    /// Each key gets the smaller authority of all the files: it is revoked if it is revoked in one of
    /// them, with the scopes that all of them have, and the earliest end. The history is that of all the files, and
    /// says that the backup was restored. The present store is locked
    /// against writes from when it is read until the backup is in its place. Servers that use it see the
    /// new file within [`check_interval`](super::SqliteOptions::check_interval), and answer 503 while
    /// they open it.
    ///
    /// # Errors
    ///
    /// If there is an error, nothing was changed, unless the file is in its place already and its name
    /// could not be written to the disk ([`Unavailable`](StoreErrorKind::Unavailable)).
    ///
    /// - Those of [`SqliteStore::open_existing`] for the backup, for the newer files and for the
    ///   present store, if there is one;
    /// - [`Busy`](StoreErrorKind::Busy) if other processes keep reading or writing it.
    pub fn into(self, path: impl AsRef<Path>) -> Result<Restored, StoreError> {
        let absolute = std::path::absolute(path.as_ref());
        let named = absolute.as_deref().unwrap_or(path.as_ref()).to_owned();
        let place = Place::new(named, BUSY);
        // A link stays one.
        let real = std::fs::canonicalize(&place.path).unwrap_or_else(|_| place.path.clone());
        let made = Made(with_suffix(
            &real,
            &format!(".restoring-{}", std::process::id()),
        ));
        let temporary = Place::new(made.0.clone(), BUSY);
        copy(&open_to_read(&self.backup)?, &temporary, &made.0)?;
        let mut connection = connection::writer(&temporary, &made.0, Access::Create, "FULL")?;

        let present = match Present::lock(&place) {
            Ok(present) => present,
            Err(error) if self.present_is_lost && error.kind() != StoreErrorKind::Busy => None,
            Err(error) => return Err(error),
        };
        let actor = self.actor.as_ref();
        let mut shrunk = 0;
        for newer in &self.newer {
            drop(open_to_read(newer)?);
            shrunk += shrink(&mut connection, &temporary, newer, actor)?;
        }
        if let Some(present) = &present {
            shrunk += shrink(&mut connection, &temporary, present.files.real(), actor)?;
        }
        let keys: i64 = connection
            .query_row("SELECT count(*) FROM api_keys", [], |row| row.get(0))
            .map_err(|error| temporary.sqlite(error))?;
        let present_connection = present.as_ref().map(|present| &present.connection);
        carry(&connection, present_connection)
            .and_then(|()| history::note_restored(&connection, actor))
            .map_err(|error| temporary.sqlite(error))?;
        // The last connection writes the log to the file and removes it.
        connection
            .close()
            .map_err(|(_, error)| temporary.sqlite(error))?;
        sync(&temporary)?;
        std::fs::rename(&made.0, &real).map_err(|error| place.io("cannot replace", error))?;
        let restored = Restored {
            keys: keys.unsigned_abs(),
            shrunk,
            present: present.is_some(),
        };
        match present {
            Some(present) => present.leave(),
            // Remnants of a store that is lost are not the log of the new file.
            None => remove_logs(&real),
        }
        sync_folder(&place)?;
        Ok(restored)
    }
}

/// The file that is being made, and the files of SQLite next to it. Removed unless it was renamed.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        remove_logs(&self.0);
    }
}

fn remove_logs(path: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(with_suffix(path, suffix));
    }
}

/// The store that is to be replaced, with its log empty and without a writer.
struct Present {
    connection: Connection,
    files: Files,
}

impl Present {
    /// `None` if there is no file.
    fn lock(place: &Place) -> Result<Option<Self>, StoreError> {
        if !place.path.exists() {
            return Ok(None);
        }
        let files = Files::look_before_opening(place)?;
        let connection = connection::writer(place, files.real(), Access::Existing, "FULL")?;
        let fail = |error| place.sqlite(error);
        for _ in 0..ATTEMPTS {
            if !checkpoint(&connection, place) {
                thread::sleep(PAUSE);
                continue;
            }
            connection.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
            // Under the lock it stays so.
            let log = with_suffix(files.real(), "-wal");
            if std::fs::metadata(log).is_ok_and(|log| log.len() == 0) {
                return Ok(Some(Self { connection, files }));
            }
            connection.execute_batch("ROLLBACK").map_err(fail)?;
        }
        Err(place.error(
            StoreErrorKind::Busy,
            "others keep reading or writing it; try again, or stop them",
        ))
    }

    /// Removes the files of the store that was replaced, and lets waiting writers go on: they see that
    /// it is no longer at the path.
    fn leave(self) {
        remove_logs(self.files.real());
        leave_files_alone(&self.connection);
        drop(self.connection);
    }
}

/// A file that is only read, to copy or to attach it.
fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let absolute = std::path::absolute(path);
    let place = Place::new(absolute.unwrap_or_else(|_| path.to_owned()), BUSY);
    let files = Files::look_before_opening(&place)?;
    connection::older_reader(&place, files.real())
}

/// Gives the keys of a store the smaller authority of theirs and of those of another. Returns how many
/// it changed.
fn shrink(
    connection: &mut Connection,
    place: &Place,
    newer: &Path,
    actor: Option<&Actor>,
) -> Result<u64, StoreError> {
    let fail = |error| place.sqlite(error);
    let name = newer.to_string_lossy();
    connection
        .execute("ATTACH ?1 AS newer", params![&*name])
        .map_err(fail)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Deferred)
        .map_err(fail)?;
    let version: i64 = transaction
        .query_row("PRAGMA newer.user_version", [], |row| row.get(0))
        .map_err(fail)?;
    let sql = if version < FIRST_WITH_CAVEATS {
        SHRINK.replace("newer.caveats", "''")
    } else {
        SHRINK.to_owned()
    };
    // First what happened there, and then what it takes from the keys of the backup.
    if version >= FIRST_WITH_HISTORY {
        history::carry(&transaction).map_err(fail)?;
    }
    acting(&transaction, place, actor, |transaction| {
        transaction.execute_batch(&sql).map_err(fail)
    })?;
    if version >= FIRST_WITH_NOTICES {
        expiring::carry(&transaction).map_err(fail)?;
    }
    let shrunk: i64 = transaction
        .query_row("SELECT count(*) FROM temp.shrunk", [], |row| row.get(0))
        .map_err(fail)?;
    transaction
        .execute_batch("DROP TABLE temp.shrunk")
        .map_err(fail)?;
    transaction.commit().map_err(fail)?;
    connection.execute_batch("DETACH newer").map_err(fail)?;
    Ok(shrunk.unsigned_abs())
}
