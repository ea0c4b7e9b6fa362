//! The settings of a store.

use std::path::Path;
use std::time::Duration;

use tower_api_key::store::StoreError;

use super::SqliteStore;
use super::connection::Access;

/// How a [`SqliteStore`] is opened, from [`SqliteStore::options`].
///
/// ```no_run
/// use std::time::Duration;
/// use tower_api_key_sqlite::SqliteStore;
///
/// let store = SqliteStore::options()
///     .busy_timeout(Duration::from_secs(1))
///     .open("/var/lib/orders/keys.db")?;
/// # Ok::<(), tower_api_key::store::StoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub(super) busy_timeout: Duration,
    pub(super) synchronous: &'static str,
    pub(super) check_interval: Duration,
}

impl SqliteOptions {
    pub(super) fn new() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            synchronous: "FULL",
            check_interval: Duration::from_millis(500),
        }
    }

    /// How long a write, or any other call that waits for a lock, waits for other processes before it
    /// fails as [`Busy`](tower_api_key::store::StoreErrorKind::Busy), in whole milliseconds, up to 24 days.
    /// Default: 5 s.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(Duration::from_millis(i32::MAX.unsigned_abs().into()));
        self
    }

    /// How often the store compares the files at its path with those that it has open, at least 1 ms and
    /// at most 1 s. Default: 500 ms. It takes three `stat` calls and three small queries, in a separate
    /// thread.
    ///
    /// For at most this long, look-ups are answered from a file that was replaced. Commits compare
    /// the files themselves.
    #[must_use]
    pub fn check_interval(mut self, interval: Duration) -> Self {
        self.check_interval = interval.clamp(Duration::from_millis(1), Duration::from_secs(1));
        self
    }

    /// Lets a commit return before it is on the disk (`PRAGMA synchronous = NORMAL`), which allows many
    /// more of them in a second. A power failure may undo the last of them, so that a key that was
    /// revoked works again. The end of the process undoes none.
    #[must_use]
    pub fn danger_lose_commits_at_power_failure(mut self) -> Self {
        self.synchronous = "NORMAL";
        self
    }

    /// As [`SqliteStore::open`].
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`](super::SqliteStore::open).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::with(path.as_ref(), Access::Create, self)
    }

    /// As [`SqliteStore::open_existing`].
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub fn open_existing(&self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::with(path.as_ref(), Access::Existing, self)
    }

    /// As [`SqliteStore::open_read_only`].
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::with(path.as_ref(), Access::ReadOnly, self)
    }
}
