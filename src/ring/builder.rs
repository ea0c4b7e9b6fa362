//! What a ring is made of.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::{Inner, KeyRing};
use crate::clock::{Clock, SystemClock};
use crate::digest::{Digester, Pepper};
use crate::error::Error;
use crate::format::Format;
use crate::lifecycle::{DEFAULT_LIFETIME, Policy};
use crate::realm::Realm;
use crate::store::KeyStore;

/// Two seconds: longer than a healthy store ever takes, short enough that requests do not pile
/// up behind a sick one.
const DEFAULT_LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Builds a [`KeyRing`]; from [`KeyRing::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RingBuilder {
    prefix: String,
    realm: Option<String>,
    clock: Arc<dyn Clock>,
    pepper: Option<Pepper>,
    earlier_peppers: Vec<Pepper>,
    longest_lifetime: Option<Duration>,
    lookup_timeout: Duration,
    accepts_imports: bool,
}

impl RingBuilder {
    pub(super) fn new(prefix: String) -> Self {
        Self {
            prefix,
            realm: None,
            clock: Arc::new(SystemClock),
            pepper: None,
            earlier_peppers: Vec::new(),
            longest_lifetime: Some(DEFAULT_LIFETIME),
            lookup_timeout: DEFAULT_LOOKUP_TIMEOUT,
            accepts_imports: false,
        }
    }

    /// Sets the protection space; the prefix where nothing is said.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Keeps HMAC-SHA-256 digests under this pepper instead of plain SHA-256.
    ///
    /// A ring with a pepper knows no key that was issued without one, so choose before the first
    /// key, or issue those keys anew.
    pub fn pepper(mut self, current: Pepper) -> Self {
        self.pepper = Some(current);
        self
    }

    /// Still verifies keys whose digests were made with this pepper. Each one costs an unknown
    /// key one more look-up.
    pub fn earlier_pepper(mut self, earlier: Pepper) -> Self {
        self.earlier_peppers.push(earlier);
        self
    }

    /// Sets the longest lifetime, in whole seconds from the moment of issue; 90 days where
    /// nothing is said.
    pub fn longest_lifetime(mut self, longest: Duration) -> Self {
        self.longest_lifetime = Some(longest);
        self
    }

    /// Lets keys be issued that live for ever. A grant that says nothing still gets 90 days.
    pub fn unlimited_lifetime(mut self) -> Self {
        self.longest_lifetime = None;
        self
    }

    /// Bounds the wait for the store in a verification; two seconds where nothing is said.
    pub fn lookup_timeout(mut self, longest: Duration) -> Self {
        self.lookup_timeout = longest;
        self
    }

    /// Accepts keys that were minted elsewhere.
    ///
    /// Such keys have no shape of their own, so everything of up to 512 visible ASCII characters
    /// is hashed and looked up, and a leaked one is not recognised in a URL.
    pub fn accept_imports(mut self) -> Self {
        self.accepts_imports = true;
        self
    }

    /// Sets the source of time; [`SystemClock`] where nothing is said.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the ring.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`](crate::ErrorKind::InvalidPrefix),
    /// [`InvalidRealm`](crate::ErrorKind::InvalidRealm) or
    /// [`InvalidPepper`](crate::ErrorKind::InvalidPepper).
    pub fn build(self, store: impl KeyStore) -> Result<KeyRing, Error> {
        let format = Format::new(&self.prefix)?;
        let realm = Realm::new(self.realm.as_deref().unwrap_or(&self.prefix))?;
        Ok(KeyRing(Arc::new(Inner {
            memory: store.memory().cloned(),
            store: Arc::new(store),
            clock: self.clock,
            realm,
            format,
            digester: Digester::new(self.pepper.as_ref(), &self.earlier_peppers)?,
            policy: Policy {
                longest_lifetime: self.longest_lifetime,
            },
            lookup_timeout: self.lookup_timeout,
            accepts_imports: self.accepts_imports,
            latest_end: AtomicU64::new(0),
        })))
    }
}
