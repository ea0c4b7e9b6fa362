//! One realm over one store.

mod acceptance;
mod acting;
mod again;
pub(crate) mod answer;
mod asking;
mod bounded;
mod build;
mod builder;
mod change;
mod describe;
mod elsewhere;
mod expiring;
mod form;
mod history;
mod import;
mod import_digests;
mod import_many;
mod issue;
mod issued;
mod judge;
#[cfg(feature = "metrics")]
mod key_counts;
pub(crate) mod last_use;
mod list;
#[cfg(feature = "metrics")]
mod meter;
mod noting;
mod owned;
pub(crate) mod owners;
mod pending;
mod replace;
pub mod report;
mod ring_clock;
mod shrink;
mod tracking;
#[cfg(feature = "testing")]
mod trial;
mod unannounced;
mod unknown;
pub(crate) mod unknown_keys;
mod upkeep;
mod verifier;
mod verify;
mod verifying;
mod waiting;
mod watch;
pub(crate) mod watchers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use builder::KeyRingBuilder;
pub use issued::Issued;
use ring_clock::RingClock;
pub use unannounced::Unannounced;
pub use verifier::{Verifier, VerifierBuilder};
pub(crate) use verifying::Verifying;
use waiting::Waiting;
pub use watch::Watch;

use crate::access::actor::Actor;
use crate::access::caveat::{CaveatKind, Facts};
use crate::access::realm::Realm;
use crate::key::digester::Digester;
use crate::key::format::Format;
use crate::lifecycle::{Policy, Reading};
use crate::observe::observed::Observed;
use crate::record::KeyRecord;
use crate::ring::last_use::Uses;
use crate::ring::watchers::Watchers;
use crate::store::{ExpiryLadder, Index, KeyStore, Proof};
use crate::support::sync;
use crate::time::Timestamp;
use crate::verdict::{VerifiedKey, VerifyError};

/// One realm over one store: it issues, imports, verifies, rotates, regrants, narrows, describes,
/// revokes and lists keys.
///
/// It is cheap to clone, and knows nothing of HTTP.
///
/// ```
/// use tower_api_key::{Grant, KeyRing, RevocationReason, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::builder("acme_live").realm("orders").build(MemoryStore::new())?;
/// let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
///
/// let presented = issued.secret().expose().as_bytes();
/// let key = ring.verify(presented).await?;
/// assert_eq!(key.subject(), "alice");
///
/// ring.revoke(key.id(), RevocationReason::KeyCompromise).await?;
/// assert!(ring.verify(presented).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # When a change is in doubt
///
/// A method that issues, replaces, narrows or revokes says by its error that nothing has changed, except
/// for [`ErrorKind::Store`](crate::ErrorKind::Store): a database that loses the connection while it
/// commits may have applied the change. The same holds for a future that is dropped before it completes,
/// as a server does with a handler whose client hangs up. A new secret is lost then, and no observer is
/// notified. `PostgresStore` and `SqliteStore` finish a commit that has begun even then. If a client can
/// hang up, run the call in a task of its own (`tokio::spawn`), and after such an error read the key's
/// lineage with [`list`](Self::list) before you try again. Revoking again is always safe.
///
/// One method can take two commits, and documents the state after a failure: [`promote`](Self::promote)
/// between two stores.
///
/// # Look-ups
///
/// A verification that waits for the store belongs to the ring, not to its caller. A future that is
/// dropped, as a server does with a request whose client hangs up, stops waiting and cancels nothing
/// if the store runs [tasks](crate::store::KeyStore::spawn), as `PostgresStore` does. At most
/// [`max_pending_lookups`](KeyRingBuilder::max_pending_lookups) wait at a time.
///
/// Only a verification and a [`watch`](Self::watch) are bounded by the
/// [`lookup_timeout`](KeyRingBuilder::lookup_timeout): the other methods wait for as long as the store
/// takes.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>, Option<Actor>);

struct Inner {
    store: Arc<dyn KeyStore>,
    /// The store's records, if they are in memory: a look-up then needs no virtual call and nothing to
    /// catch.
    index: Option<Index>,
    clock: RingClock,
    realm: Realm,
    format: Format,
    digester: Digester,
    policy: Policy,
    lookup_timeout: Duration,
    waiting: Waiting,
    #[cfg(feature = "metrics")]
    meter: Option<meter::Meter>,
    accepts_imports: bool,
    /// The form of the keys from elsewhere, if it is known.
    form: Option<form::Form>,
    accepts_sanctum: bool,
    /// Answers for keys that the store does not know.
    unknown_keys: Option<asking::Asking>,
    /// What the owners of keys may do, if that is asked.
    owners: Option<owners::AskedOwners>,
    /// The latest end of a key that was denied because of it: no end is judged by an earlier
    /// time. Written only when such a key is denied.
    latest_end: AtomicU64,
    revokes_on_reuse: bool,
    observer: Observed,
    watchers: sync::Arc<Watchers>,
    watch_interval: Duration,
    /// The uses that the store does not know yet, if they are tracked.
    uses: Option<Uses>,
    /// What the keys were used for, if that is tracked.
    noting: Option<noting::Noting>,
    acceptance: acceptance::Acceptance,
    upkeep_interval: Duration,
    retention: Duration,
    expiry_notices: ExpiryLadder,
}

impl Inner {
    #[inline]
    fn reading(&self) -> Reading {
        self.reading_at(self.clock.now())
    }

    /// The same with the reading of the clock that has proven the index fresh, if it is of the same clock.
    #[inline]
    fn reading_by(&self, proof: &Proof) -> Reading {
        match (&self.clock, proof.time()) {
            (RingClock::System, Some(now)) => self.reading_at(now),
            _ => self.reading(),
        }
    }

    #[inline]
    fn reading_at(&self, now: Timestamp) -> Reading {
        let latest_end = Timestamp::from_unix(self.latest_end.load(Ordering::Relaxed));
        Reading { now, latest: now }.or_later(latest_end)
    }

    /// Judges no end by an earlier time than that of this key, which is over.
    fn remember_end(&self, record: &KeyRecord) {
        let end = record.valid_until();
        // MAX is not the end of a key but of time itself. A known end is not written again: every
        // request reads this.
        let is_news = end.as_unix() > self.latest_end.load(Ordering::Relaxed);
        if end != Timestamp::MAX && is_news {
            self.latest_end.fetch_max(end.as_unix(), Ordering::Relaxed);
        }
    }
}

impl KeyRing {
    /// Whether these exact bytes are a key that is valid now.
    ///
    /// Nothing is trimmed, folded or decoded. No fact about the client is known here, so a key with a
    /// [caveat](crate::Caveats) is refused: see [`verify_with`](Self::verify_with).
    ///
    /// # Errors
    ///
    /// [`VerifyError`], whose kind distinguishes an invalid key from a store that gave no verdict.
    pub async fn verify(&self, presented: &[u8]) -> Result<VerifiedKey, VerifyError> {
        self.verify_with(presented, Facts::none()).await
    }

    /// As [`verify`](Self::verify), with facts about the client, by which the [caveats](crate::Caveats) of
    /// the key are judged.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify), and [`InvalidCause::CaveatNotMet`](crate::InvalidCause::CaveatNotMet) if
    /// the facts do not meet a caveat of the key.
    pub async fn verify_with(
        &self,
        presented: &[u8],
        facts: Facts,
    ) -> Result<VerifiedKey, VerifyError> {
        match self.begin(presented, || facts) {
            Verifying::Done(verdict) => verdict,
            Verifying::Pending(verdict) => verdict.await,
        }
    }

    /// The caveats that this ring grants.
    pub fn grantable_caveats(&self) -> &[CaveatKind] {
        &self.0.policy.caveats
    }

    /// Whether the networks of clients are noted.
    pub(crate) fn tracks_networks(&self) -> bool {
        let noting = self.0.noting.as_ref();
        noting.is_some_and(noting::Noting::is_of_networks)
    }

    /// The regular expression that matches this ring's keys, for secret scanners.
    ///
    /// It finds a key wherever it stands, whatever is glued to it: after the colour codes of a
    /// terminal, `\n` in JSON, `%3D` in a URL or `KEY_`. It has no anchors, groups or look-around,
    /// so that it is the same in RE2 (gitleaks, trufflehog), Rust (ripgrep), PCRE, Python and
    /// `grep -E`. It cannot check the checksum, and does not match a key whose `_` is
    /// percent-encoded.
    ///
    /// ```
    /// # use tower_api_key::{KeyRing, store::MemoryStore};
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// assert_eq!(ring.scanner_pattern(), "acme_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}");
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn scanner_pattern(&self) -> String {
        self.0.format.scanner_pattern()
    }

    /// The realm of this ring's keys.
    pub fn realm(&self) -> &Realm {
        &self.0.realm
    }

    /// The prefix of every key that this ring mints.
    pub fn prefix(&self) -> &str {
        self.0.format.prefix().as_str()
    }

    /// The moment by which the end of a key is judged.
    pub(crate) fn time_of_ends(&self) -> Timestamp {
        self.0.reading().latest
    }

    pub(crate) fn format(&self) -> &Format {
        &self.0.format
    }

    pub(crate) fn observer(&self) -> &Observed {
        &self.0.observer
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("realm", &self.0.realm)
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}
