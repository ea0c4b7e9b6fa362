//! A ring from its configuration.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::acceptance::Acceptance;
use super::asking::Asking;
use super::builder::{Imports, KeyRingBuilder};
#[cfg(feature = "metrics")]
use super::meter::{self, Meter};
use super::noting::Noting;
use super::{Inner, KeyRing, Waiting};
use crate::access::realm::Realm;
use crate::error::{Error, ErrorKind};
use crate::key::digester::Digester;
use crate::key::format::Format;
use crate::lifecycle::{LONGEST_LIFETIME, Policy};
#[cfg(feature = "metrics")]
use crate::observe::{metrics::MetricsObserver, observed::Observed};
use crate::record::notes::Noted;
use crate::ring::last_use::Uses;
use crate::ring::unknown_keys::Asked;
use crate::ring::watchers::Watchers;
use crate::store::KeyStore;
use crate::support::sync;

impl KeyRingBuilder {
    /// Builds the ring.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`](crate::ErrorKind::InvalidPrefix),
    /// [`InvalidRealm`](crate::ErrorKind::InvalidRealm),
    /// [`InvalidPepper`](crate::ErrorKind::InvalidPepper),
    /// [`InvalidScope`](crate::ErrorKind::InvalidScope) among the grantable scopes, or
    /// [`InvalidPolicy`](crate::ErrorKind::InvalidPolicy) for a lifetime or a grace period of under a
    /// second, a lifetime, a grace period or a retention of over 100 years, a limit of no key, no
    /// pending look-up, an interval of zero, or [steps](Self::expiry_notices) that are zero, over 100 years, no whole
    /// seconds, there twice or more than ten.
    pub fn build(self, store: impl KeyStore) -> Result<KeyRing, Error> {
        let prefix = self.prefix?;
        if let Some(kind) = self.problem {
            return Err(kind.into());
        }
        self.check_limits()?;
        let expiry_notices = self.expiry_notices?;
        let realm = match self.realm {
            Some(realm) => realm,
            None => Realm::new(prefix.as_str())?,
        };
        let (observer, waiting) = (self.observer, Waiting::at_most(self.max_pending_lookups));
        #[cfg(feature = "metrics")]
        let (observer, waiting, meter) = if self.is_measured {
            let gauge = meter::in_flight(&realm, self.max_pending_lookups);
            let counting = Observed::by(MetricsObserver::of_realm(&realm));
            let meter = Meter::new(&realm, &self.clock);
            (
                counting.and(&observer),
                waiting.shown_by(gauge),
                Some(meter),
            )
        } else {
            (observer, waiting, None)
        };
        let watchers = Watchers::default();
        store.on_change(watchers.listener());
        let index = store.index(&realm).cloned();
        let realm = match &index {
            Some(index) => index.realm(realm),
            None => realm,
        };
        let inner = Inner {
            index,
            store: Arc::new(store),
            clock: self.clock,
            realm,
            format: Format::new(prefix),
            digester: Digester::new(self.pepper.as_ref(), &self.earlier_peppers)?,
            policy: Policy {
                max_lifetime: self.max_lifetime,
                max_grace: self.max_grace,
                grantable: self.grantable,
                caveats: self.caveats,
                max_keys_per_subject: self.max_keys_per_subject,
            },
            revokes_on_reuse: self.revokes_on_reuse,
            observer,
            watchers: sync::Arc::new(watchers),
            watch_interval: self.watch_interval,
            uses: self.tracks_last_use.then(Uses::default),
            acceptance: Acceptance::of(self.owners.is_some() || self.noted != Noted::default()),
            noting: (self.noted != Noted::default()).then(|| Noting::new(self.noted)),
            upkeep_interval: self.upkeep_interval,
            retention: self.retention,
            expiry_notices,
            lookup_timeout: self.lookup_timeout,
            waiting,
            #[cfg(feature = "metrics")]
            meter,
            form: self.form,
            accepts_imports: self.imports >= Imports::Accepted,
            accepts_sanctum: self.imports == Imports::AndSanctum,
            unknown_keys: self
                .unknown_keys
                .map(|Asked(keys)| Asking::new(keys, self.max_pending_unknown_keys)),
            owners: self.owners,
            latest_end: AtomicU64::new(0),
        };
        Ok(KeyRing(Arc::new(inner), None))
    }

    fn check_limits(&self) -> Result<(), Error> {
        let second = Duration::from_secs(1);
        let lifetime = self.max_lifetime.unwrap_or(Duration::MAX);
        // Lifetimes and grace periods are in whole seconds. The durations of timers need not be.
        let problems = [
            (lifetime < second, "max_lifetime is under a second"),
            (self.max_grace < second, "max_grace is under a second"),
            (
                self.max_lifetime.is_some_and(|it| it > LONGEST_LIFETIME),
                "max_lifetime is over 100 years: milliseconds taken for seconds?",
            ),
            (
                self.max_grace > LONGEST_LIFETIME,
                "max_grace is over 100 years: milliseconds taken for seconds?",
            ),
            (
                self.retention > LONGEST_LIFETIME,
                "retention is over 100 years: milliseconds taken for seconds?",
            ),
            (
                self.max_keys_per_subject == Some(0),
                "max_keys_per_subject is zero",
            ),
            (self.lookup_timeout.is_zero(), "lookup_timeout is zero"),
            (self.max_pending_lookups == 0, "max_pending_lookups is zero"),
            (
                self.max_pending_unknown_keys == 0,
                "max_pending_unknown_keys is zero",
            ),
            (self.watch_interval.is_zero(), "watch_interval is zero"),
            (self.upkeep_interval.is_zero(), "upkeep_interval is zero"),
        ];
        match problems.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, problem)) => Err(Error::with_limit(ErrorKind::InvalidPolicy, problem)),
            None => Ok(()),
        }
    }
}
