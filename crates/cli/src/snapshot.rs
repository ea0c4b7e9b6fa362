//! A SQLite store that cannot be written to, read all the same.
//!
//! SQLite needs the index of the log (`-shm`) to read, and makes it if it is not there: a user who may
//! only read cannot, and must not leave one that the server may not write to. Its `immutable` mode
//! needs none, and is wrong as soon as a writer lives. So a store that nothing has open is copied,
//! and the copy is read.

use std::error::Error as _;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tower_api_key::store::{KeyStore, StoreError, StoreErrorKind};
use tower_api_key_sqlite::SqliteStore;

use crate::failure::{Exit, Failure};

/// A store that is read, and the folder of its copy if it is one.
pub(crate) struct Reading {
    pub(crate) store: Arc<dyn KeyStore>,
    _copy: Option<Folder>,
}

impl Reading {
    pub(crate) fn new(store: Arc<dyn KeyStore>) -> Self {
        Self { store, _copy: None }
    }

    /// Opens a SQLite store, to read only if it cannot be written to.
    pub(crate) fn sqlite(path: &Path) -> Result<Self, Failure> {
        let refused = match SqliteStore::open_existing(path) {
            Ok(store) => return Ok(Self::new(Arc::new(store))),
            Err(error) if is_write_protected(&error) => error,
            Err(error) => return Err(error.into()),
        };
        // The file itself, if the path is a symbolic link.
        let Ok(path) = fs::canonicalize(path) else {
            return Err(refused.into());
        };
        if beside(&path, "-shm").exists() {
            let store = SqliteStore::open_read_only(&path).map_err(|error| {
                Failure::from(error).advise(
                    "to list, show and check, a user must be able to read the file, its log \
                     (-wal) and the index of the log (-shm)",
                )
            })?;
            return Ok(Self::new(Arc::new(store)));
        }
        Self::copy(&path)
    }

    fn copy(path: &Path) -> Result<Self, Failure> {
        let folder =
            Folder::new().map_err(|error| failed("cannot create a temporary folder", &error))?;
        let copy = folder.0.join("keys.db");
        let before = Stamps::of(path)?;
        for suffix in ["", "-wal"] {
            let from = beside(path, suffix);
            match fs::copy(&from, beside(&copy, suffix)) {
                Err(error) if error.kind() == ErrorKind::NotFound && !suffix.is_empty() => {}
                copied => {
                    copied.map_err(|error| {
                        failed(&format!("cannot read {}", from.display()), &error)
                    })?;
                }
            }
        }
        if Stamps::of(path)? != before {
            return Err(used(path));
        }
        let store = SqliteStore::open_read_only(&copy)?;
        Ok(Self {
            store: Arc::new(store),
            _copy: Some(folder),
        })
    }
}

/// Whether SQLite could not write, or could not make the files that it needs. What the library refuses
/// by itself has no further cause, and stays refused.
fn is_write_protected(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::ReadOnly => true,
        StoreErrorKind::Unavailable => error.source().is_some_and(|it| it.source().is_some()),
        _ => false,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// What changes if somebody writes to the store.
#[derive(PartialEq, Eq)]
struct Stamps([Option<(u64, Option<SystemTime>)>; 2]);

impl Stamps {
    fn of(path: &Path) -> Result<Self, Failure> {
        let stamp = |metadata: Metadata| (metadata.len(), metadata.modified().ok());
        // An index or a journal: somebody has the store open, or died while writing to it.
        for suffix in ["-shm", "-journal"] {
            if beside(path, suffix).exists() {
                return Err(used(path));
            }
        }
        Ok(Self(["", "-wal"].map(|suffix| {
            fs::metadata(beside(path, suffix)).ok().map(stamp)
        })))
    }
}

fn used(path: &Path) -> Failure {
    let text = format!(
        "the store is unavailable: {}: another process is writing to it, or stopped in the middle \
         of a change; try again, or run the command as a user who may write to the store",
        path.display()
    );
    Failure::new(Exit::Store, text)
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Store,
        format!("the store is unavailable: {what}: {error}"),
    )
}

/// A folder for its owner alone, which goes with its contents.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        for number in 0..100 {
            let name = format!("tower-api-key-copy-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                // What is there is not ours.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is no one to tell, and nothing that a key could be made of.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_written_to_is_not_copied() {
        let folder = Folder::new().unwrap();
        let path = folder.0.join("keys.db");
        fs::write(&path, "before").unwrap();
        let before = Stamps::of(&path).unwrap();
        assert!(Stamps::of(&path).unwrap() == before);
        for (suffix, text) in [("", "changed"), ("-wal", "")] {
            fs::write(beside(&path, suffix), text).unwrap();
            assert!(Stamps::of(&path).unwrap() != before, "{suffix}");
        }
        for suffix in ["-shm", "-journal"] {
            fs::write(beside(&path, suffix), "").unwrap();
            let Err(refused) = Reading::copy(&path) else {
                panic!("{suffix} was skipped");
            };
            assert_eq!(refused.exit(), Exit::Store);
            assert!(
                refused
                    .message()
                    .contains(": another process is writing to it, "),
                "{suffix}"
            );
            fs::remove_file(beside(&path, suffix)).unwrap();
        }
    }
}
