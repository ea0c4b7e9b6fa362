//! Copies of a store, while it is used.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::place::Place;
use super::worker::Worker;
use super::{SqliteStore, connection};

impl SqliteStore {
    /// Writes the whole store, as it is at one moment, to a new file, which is a separate store: one
    /// file, readable by its owner alone. The store goes on meanwhile, and no call waits for it.
    ///
    /// A backup does not contain revocations after it was made. See [backup and
    /// restore](crate::guide).
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StoreErrorKind::Unavailable) if there is a file of this name, which is left as it
    /// is, or if the file cannot be written. The incomplete file is then removed. Otherwise the errors
    /// of a look-up.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let place = Arc::clone(&self.0.place);
        place.require_current()?;
        let files = place.state.files().ok_or_else(|| place.fault())?;
        let to = to.as_ref().to_owned();
        let reader = connection::reader(&place, files.real(), place.busy_timeout)?;
        // A separate thread and connection: it is long, and lists go on.
        let worker = Worker::start("api-key-backup", &place)?;
        worker.put(reader);
        let copied = worker.run({
            let place = Arc::clone(&place);
            move |connection| copy(connection, &place, &to)
        });
        copied.await?;
        place.require_current()
    }
}

/// Writes the content that a connection reads to a file that is not there yet, and onto the disk.
pub(super) fn copy(connection: &Connection, place: &Place, to: &Path) -> Result<(), StoreError> {
    let target = Place::new(to.to_owned(), Duration::ZERO);
    create(&target)?;
    let copied = connection
        .execute_batch("PRAGMA query_only = OFF")
        .and_then(|()| {
            let name = to.to_string_lossy();
            connection.execute("VACUUM INTO ?1", [&*name])
        })
        .map_err(|error| place.sqlite(error))
        .and_then(|_| sync(&target));
    if copied.is_err() {
        // An incomplete file is no backup.
        let _ = std::fs::remove_file(to);
    }
    copied
}

/// A new file, readable by its owner alone.
fn create(target: &Place) -> Result<(), StoreError> {
    // SQLite takes the name as text.
    if target.path.to_str().is_none() {
        return Err(target.error(
            StoreErrorKind::Unavailable,
            "the name of the file is not UTF-8; choose another",
        ));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&target.path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(target.error(
            StoreErrorKind::Unavailable,
            "a file of this name exists already, and was not changed; choose another name",
        )),
        Err(error) => Err(target.io("cannot create", error)),
    }
}

/// Onto the disk: the file, and its name.
pub(super) fn sync(target: &Place) -> Result<(), StoreError> {
    let synced = File::open(&target.path).and_then(|file| file.sync_all());
    synced.map_err(|error| target.io("cannot write", error))?;
    sync_folder(target)
}

#[cfg(unix)]
pub(super) fn sync_folder(target: &Place) -> Result<(), StoreError> {
    let folder = match target.path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| target.io("cannot write", error))
}

/// On other systems a folder is no file.
#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Place) -> Result<(), StoreError> {
    Ok(())
}
