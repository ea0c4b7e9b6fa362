//! From a path and settings to a store.

use std::path::Path;
use std::sync::Arc;

use tower_api_key::store::StoreError;

use super::options::FileOptions;
use super::shared::Shared;
use super::watcher::Watcher;
use super::{FileStore, Inner};

impl FileStore {
    /// Reads a file, and starts to watch it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](tower_api_key::store::StoreErrorKind::Unavailable) if the file cannot be read, or its name ends neither
    /// in `.toml` nor in `.json`. [`Corrupt`](tower_api_key::store::StoreErrorKind::Corrupt) if it holds a mistake or a key in
    /// plaintext. The error's source names the file, and the line and the field if there is one.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().open(path)
    }

    /// Settings to open a file with, if the defaults do not fit.
    pub fn options() -> FileOptions {
        FileOptions::new()
    }

    fn with(path: &Path, options: &FileOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::load(path, options)?);
        let watcher = match options.interval {
            None => None,
            Some(interval) => Some(Watcher::spawn(&shared, interval)?),
        };
        Ok(Self(Arc::new(Inner {
            shared,
            _watcher: watcher,
        })))
    }
}

impl FileOptions {
    /// As [`FileStore::open`].
    ///
    /// # Errors
    ///
    /// Those of [`FileStore::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FileStore, StoreError> {
        FileStore::with(path.as_ref(), self)
    }
}
