//! The configuration of a ring.

use std::sync::Arc;
use std::time::Duration;

use super::KeyRing;
use super::form::Form;
use super::ring_clock::RingClock;
use crate::access::caveat::CaveatKind;
use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;
use crate::error::{Error, ErrorKind};
use crate::key::KeyPrefix;
use crate::key::pepper::Pepper;
use crate::lifecycle::grant::{kept, parsed};
use crate::lifecycle::{DEFAULT_GRACE, DEFAULT_LIFETIME};
use crate::observe::observed::Observed;
use crate::observe::observer::Observer;
use crate::record::notes::Noted;
use crate::ring::owners::AskedOwners;
use crate::ring::unknown_keys::Asked;
use crate::store::ExpiryLadder;
use crate::time::Clock;

/// Two seconds: longer than a healthy store ever takes, short enough that requests do not pile
/// up behind a sick one.
const DEFAULT_LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// A hundred for each connection of a pool of ten. If a look-up takes a millisecond, the last of
/// them waits a tenth of a second.
const DEFAULT_MAX_PENDING_LOOKUPS: usize = 1_000;
/// Half a second: a stream whose key another process revoked ends within a second.
const DEFAULT_WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// Four: as many threads of slow hashing as a small machine can spare while it serves.
const DEFAULT_MAX_PENDING_UNKNOWN_KEYS: usize = 4;
/// A minute: last uses are for people, and people think in days.
const DEFAULT_UPKEEP_INTERVAL: Duration = Duration::from_secs(60);
/// 30 days: a client that was forgotten in a rotation shows itself within a month.
const DEFAULT_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Which keys from elsewhere a ring takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Imports {
    Refused,
    Accepted,
    /// Also tokens of Laravel Sanctum by the hash of a part of them.
    AndSanctum,
}

/// Builds a [`KeyRing`], from [`KeyRing::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct KeyRingBuilder {
    pub(super) prefix: Result<KeyPrefix, ErrorKind>,
    pub(super) realm: Option<Realm>,
    pub(super) clock: RingClock,
    pub(super) pepper: Option<Pepper>,
    pub(super) earlier_peppers: Vec<Pepper>,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) max_grace: Duration,
    pub(super) grantable: Option<ScopeSet>,
    pub(super) caveats: Vec<CaveatKind>,
    pub(super) max_keys_per_subject: Option<usize>,
    pub(super) revokes_on_reuse: bool,
    pub(super) observer: Observed,
    #[cfg(feature = "metrics")]
    pub(super) is_measured: bool,
    pub(super) lookup_timeout: Duration,
    pub(super) max_pending_lookups: usize,
    pub(super) watch_interval: Duration,
    pub(super) tracks_last_use: bool,
    pub(super) noted: Noted,
    pub(super) upkeep_interval: Duration,
    pub(super) retention: Duration,
    pub(super) expiry_notices: Result<ExpiryLadder, Error>,
    pub(super) imports: Imports,
    pub(super) form: Option<Form>,
    pub(super) unknown_keys: Option<Asked>,
    pub(super) max_pending_unknown_keys: usize,
    pub(super) owners: Option<AskedOwners>,
    /// The first part that could not be parsed, after the prefix.
    pub(super) problem: Option<ErrorKind>,
}

// Here and not with the other methods, so that the page of `KeyRing` begins with it.
impl KeyRing {
    /// Begins a ring whose keys start with `prefix`: `[a-z][a-z0-9_]{0,19}`, not ending in `_`.
    ///
    /// At most 9 characters make keys of at most 55 bytes, which SHA-256 takes in one step.
    ///
    /// The prefix, the realm and the grantable scopes are texts or parsed values.
    /// [`build`](KeyRingBuilder::build) returns the first error of a text.
    pub fn builder<P>(prefix: P) -> KeyRingBuilder
    where
        P: TryInto<KeyPrefix>,
        P::Error: Into<Error>,
    {
        KeyRingBuilder::new(parsed(prefix))
    }
}

impl KeyRingBuilder {
    pub(super) fn new(prefix: Result<KeyPrefix, ErrorKind>) -> Self {
        Self {
            prefix,
            realm: None,
            clock: RingClock::System,
            pepper: None,
            earlier_peppers: Vec::new(),
            max_lifetime: Some(DEFAULT_LIFETIME),
            max_grace: DEFAULT_GRACE,
            grantable: None,
            caveats: Vec::new(),
            max_keys_per_subject: None,
            revokes_on_reuse: false,
            observer: Observed::default(),
            #[cfg(feature = "metrics")]
            is_measured: false,
            lookup_timeout: DEFAULT_LOOKUP_TIMEOUT,
            max_pending_lookups: DEFAULT_MAX_PENDING_LOOKUPS,
            watch_interval: DEFAULT_WATCH_INTERVAL,
            tracks_last_use: false,
            noted: Noted::default(),
            upkeep_interval: DEFAULT_UPKEEP_INTERVAL,
            retention: DEFAULT_RETENTION,
            expiry_notices: Ok(ExpiryLadder::default()),
            imports: Imports::Refused,
            form: None,
            unknown_keys: None,
            max_pending_unknown_keys: DEFAULT_MAX_PENDING_UNKNOWN_KEYS,
            owners: None,
            problem: None,
        }
    }

    /// Sets the realm, the protection space of RFC 9110 §11.5: 1 to 64 printable ASCII characters
    /// without `"` and `\`. Default: the prefix. A key of one realm is unknown in every other.
    /// The challenges of a layer keep some hundred bytes for each realm until the process ends.
    pub fn realm<R>(mut self, realm: R) -> Self
    where
        R: TryInto<Realm>,
        R::Error: Into<Error>,
    {
        if let Some(realm) = kept(&mut self.problem, parsed(realm)) {
            self.realm = Some(realm);
        }
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

    /// Sets the longest lifetime, in whole seconds from the moment of issue. Default: 90 days. At
    /// most 100 years of 365.25 days. A [rotation](KeyRing::rotate) cuts the lifetime of the new key to
    /// it, without an error.
    pub fn max_lifetime(mut self, longest: Duration) -> Self {
        self.max_lifetime = Some(longest);
        self
    }

    /// Lets keys be issued that live for ever. A grant that does not ask for it still gets 90 days.
    pub fn unlimited_lifetime(mut self) -> Self {
        self.max_lifetime = None;
        self
    }

    /// Sets the longest grace period of a [rotation](KeyRing::rotate), in whole seconds. Default: 24
    /// hours. At most 100 years.
    pub fn max_grace(mut self, longest: Duration) -> Self {
        self.max_grace = longest;
        self
    }

    /// Lets only these scopes be granted: a [`ScopeSet`], a text of scopes with single spaces between them,
    /// or a list of texts, each of which is one scope. Default: all. A ring whose keys anybody can have
    /// should grant next to nothing.
    pub fn grantable_scopes<S>(mut self, scopes: S) -> Self
    where
        S: TryInto<ScopeSet>,
        S::Error: Into<Error>,
    {
        if let Some(scopes) = kept(&mut self.problem, parsed(scopes)) {
            self.grantable = Some(scopes);
        }
        self
    }

    /// Lets these caveats be granted and added. Default: none.
    ///
    /// Name a kind if every layer over a ring of this realm can check it: a layer over this ring does not
    /// build without a source of the fact that the caveat needs, which is
    /// [`client_address`](crate::ApiKeyLayer::client_address) for `net` and
    /// [`client_certificate`](crate::ApiKeyLayer::client_certificate) for `cnf`. A ring checks the caveats of
    /// a key whether it grants them or not.
    pub fn grantable_caveats(mut self, kinds: impl IntoIterator<Item = CaveatKind>) -> Self {
        self.caveats = kinds.into_iter().collect();
        self
    }

    /// Lets a subject hold this many keys at a time. Default: any number. A key in its grace period and
    /// the one that replaced it count as one key, and so does either of them alone. A rotation, and a
    /// regrant to the same subject, put a key in the place of another. They are not counted, so that they succeed
    /// under a limit that was lowered.
    pub fn max_keys_per_subject(mut self, limit: usize) -> Self {
        self.max_keys_per_subject = Some(limit);
        self
    }

    /// Revokes the whole lineage when a key that another has replaced is presented after its end,
    /// as RFC 9700 §4.14.2 has it for refresh tokens.
    ///
    /// It ends the keys that a thief may have obtained with a stolen secret, and it lets anyone who kept
    /// an old secret end the keys that came after. Without it, reuse is only
    /// [reported](crate::EventKind::Reuse).
    ///
    /// The refusal waits for the revocation, within the [`lookup_timeout`](Self::lookup_timeout). A
    /// client that hangs up does not end the revocation if the store runs
    /// [tasks](crate::store::KeyStore::spawn). If it failed, the next reuse tries again. A clock that
    /// fails ends nothing, and neither does a key that is denied only because the clock had been ahead.
    pub fn revoke_lineage_on_reuse(mut self) -> Self {
        self.revokes_on_reuse = true;
        self
    }

    /// Sets the observer that hears of every key and of every request: of the ring's operations, and
    /// once of the outcome of each request to a layer over it, also if a guard or an extractor
    /// further in refused it. Default: none.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Observed::by(observer);
        self
    }

    /// Keeps the records of dead keys for this long, in whole seconds, before a
    /// [purge](KeyRing::purge) removes them. Default: 30 days. At most 100 years. While it is kept, a key that comes
    /// back is known as replaced, expired or revoked, and cannot be imported again.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Sets how long before the expiry of a key [`KeyRing::upkeep`] reports
    /// [`ExpiresSoon`](crate::EventKind::ExpiresSoon): up to ten steps in whole seconds, at most 100 years each. Default: 30
    /// days, 7 days and 1 day. An empty list turns it off.
    ///
    /// Each key and step is reported once, by one process of all that share the store, however often they are restarted.
    /// [`upkeep`](KeyRing::upkeep) has the details. A step counts for a key that was issued before the step began: a key that
    /// is issued for 12 hours is not reported, and one that is issued for 30 days for the first time seven days before its
    /// end. If several steps have passed unseen, only the nearest is reported. A key that is revoked or was replaced, by
    /// a rotation or a regrant, is not reported.
    ///
    /// Each is also an entry of the [history](KeyRing::history), if the store keeps one, which no process that dies can lose.
    /// Without an [`observer`](Self::observer) nothing is claimed, so that another process may report it. Give all
    /// processes over a store the same steps, or none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::{EventKind, KeyRing, observer_fn, store::MemoryStore};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    ///
    /// let ring = KeyRing::builder("acme")
    ///     .expiry_notices([14 * DAY, 3 * DAY])
    ///     .observer(observer_fn(|event| {
    ///         if let EventKind::ExpiresSoon { expires_at, .. } = event.kind() {
    ///             let (id, subject) = (event.key_id(), event.subject());
    ///             println!("write to {subject:?}: key {id:?} expires at {expires_at}");
    ///         }
    ///     }))
    ///     .build(MemoryStore::new())?;
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn expiry_notices(mut self, steps: impl IntoIterator<Item = Duration>) -> Self {
        self.expiry_notices = ExpiryLadder::new(steps);
        self
    }

    /// Sets how often a [watch](KeyRing::watch) reads its record again, to see the changes of other
    /// rings and processes. Default: half a second.
    pub fn watch_interval(mut self, interval: Duration) -> Self {
        self.watch_interval = interval;
        self
    }

    /// Bounds the wait for the store in a verification, and in each look of a
    /// [watch](KeyRing::watch). Default: two seconds.
    ///
    /// A look-up that is late is answered with 503, and goes on for up to three times this bound if
    /// the store runs [tasks](crate::store::KeyStore::spawn). So a moment in which the database is
    /// slow costs no connection.
    pub fn lookup_timeout(mut self, longest: Duration) -> Self {
        self.lookup_timeout = longest;
        self
    }

    /// Lets this many look-ups wait for the store at a time, including those whose client has hung
    /// up. Default: 1,000, a hundred for each connection of a default `PostgresStore`. Size it to the
    /// pool: a look-up that waits longer than the [`lookup_timeout`](Self::lookup_timeout) is answered
    /// with 503 anyway.
    ///
    /// One more is answered at once with 503, and the error's source is of the kind
    /// [`Overloaded`](crate::store::StoreErrorKind::Overloaded). A look-up that the store answers
    /// without a wait does not count.
    pub fn max_pending_lookups(mut self, most: usize) -> Self {
        self.max_pending_lookups = most;
        self
    }

    /// Counts the ring's [events](crate::MetricsObserver) and measures its look-ups, in the facade `metrics`. Needs the
    /// feature `metrics`. Another [`observer`](Self::observer) receives the events too.
    ///
    /// | metric | kind | labels |
    /// |---|---|---|
    /// | those of [`MetricsObserver`](crate::MetricsObserver) | counters | `realm` and few more |
    /// | `api_key_lookup_duration_seconds` | histogram | `realm`, `result`: `found`, `unknown`, `failed`, or `abandoned` by a client that hung up or after a timeout. Look-ups in memory are left out |
    /// | `api_key_lookups_in_flight` | gauge | `realm`: look-ups that wait for the store |
    /// | `api_key_lookups_in_flight_limit` | gauge | `realm`: [`max_pending_lookups`](Self::max_pending_lookups) |
    ///
    /// The metrics belong to the recorder that is installed when the ring is built: install it first.
    /// [`KeyRing::report_key_counts`] counts the keys.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self) -> Self {
        self.is_measured = true;
        self
    }

    /// Sets the source of time. Default: [`SystemClock`](crate::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = RingClock::Other(Arc::new(clock));
        self
    }
}
