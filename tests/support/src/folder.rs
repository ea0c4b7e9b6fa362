//! Folders that are removed after the test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of this test alone, removed when it is dropped.
pub struct Folder {
    path: PathBuf,
    files: AtomicU64,
}

static FOLDERS: AtomicU64 = AtomicU64::new(0);

impl Folder {
    pub fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-api-key-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Left by a killed process with the same number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self {
            path,
            files: AtomicU64::new(0),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file name that most tests use.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys.db")
    }

    /// A file name that no other call returned.
    pub fn fresh(&self) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("keys-{number}.db"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
