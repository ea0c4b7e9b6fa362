//! The settings of a file store.

use std::sync::Arc;
use std::time::Duration;

use tower_api_key::{Clock, Observer, ScopeSet, SystemClock};

#[cfg(doc)]
use super::FileStore;
use super::limits::Limits;
use super::observed::Observed;

/// A second: a deleted key is dead within two, and a look at a file costs a microsecond.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// With a shorter interval, the time of change of two writes may be the same.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// How a [`FileStore`] is opened, from [`FileStore::options`].
///
/// ```no_run
/// use std::error::Error as _;
/// use tower_api_key::observer_fn;
/// use tower_api_key_file::FileStore;
///
/// let store = FileStore::options()
///     .observer(observer_fn(|event| match event.failure() {
///         // The source names the file, the line and the field.
///         Some(failure) => match failure.source() {
///             Some(source) => eprintln!("the keys stay as they were: {failure}: {source}"),
///             None => eprintln!("the keys stay as they were: {failure}"),
///         },
///         None => eprintln!("the keys were read again"),
///     }))
///     .open("/etc/orders/keys.toml")?;
/// # Ok::<(), tower_api_key::store::StoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileOptions {
    pub(super) interval: Option<Duration>,
    pub(super) observer: Observed,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
}

impl FileOptions {
    pub(super) fn new() -> Self {
        Self {
            interval: Some(DEFAULT_INTERVAL),
            observer: Observed::default(),
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
        }
    }

    /// Refuses a file with a key that ends later than this after it is read, or never. Default: no
    /// limit. As [`KeyRingBuilder::max_lifetime`](tower_api_key::KeyRingBuilder::max_lifetime), which limits the
    /// keys that a ring issues.
    ///
    /// The removals of a refused file still apply: see [`FileStore`].
    #[must_use]
    pub fn max_lifetime(mut self, longest: Duration) -> Self {
        self.limits.max_lifetime = Some(longest);
        self
    }

    /// Refuses a file with a key that has a scope outside this set. Default: all scopes. As
    /// [`KeyRingBuilder::grantable_scopes`](tower_api_key::KeyRingBuilder::grantable_scopes).
    #[must_use]
    pub fn grantable_scopes(mut self, scopes: ScopeSet) -> Self {
        self.limits.grantable = Some(scopes);
        self
    }

    /// Refuses a file in which a subject has more unexpired keys of a realm than this. Default: no
    /// limit. As [`KeyRingBuilder::max_keys_per_subject`](tower_api_key::KeyRingBuilder::max_keys_per_subject).
    #[must_use]
    pub fn max_keys_per_subject(mut self, limit: usize) -> Self {
        self.limits.max_keys_per_subject = Some(limit);
        self
    }

    /// Checks the file this often. Default: once a second. At most every 10 ms.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval.max(SHORTEST_INTERVAL));
        self
    }

    /// Does not start a thread: the file is read again only by [`FileStore::reload`].
    #[must_use]
    pub fn unwatched(mut self) -> Self {
        self.interval = None;
        self
    }

    /// Sets the observer that receives an event when the file was read again, or could not be. Default:
    /// none. A mistake that stays is reported once.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Observed::by(observer);
        self
    }

    /// Sets the source of the times at which keys are issued and revoked. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}
