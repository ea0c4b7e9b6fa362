//! The rings under test, and their limits, in figures that the reference model reads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_api_key::{CaveatKind, KeyRing, ManualClock, ScopeSet, observer_fn};

use super::store::{Log, RecordingStore, Waiting};
use crate::support::START;

/// The limits of a ring. Times are in seconds.
#[derive(Debug)]
pub(super) struct RingSpec {
    pub(super) prefix: &'static str,
    pub(super) realm: &'static str,
    /// Which of the two stores has its keys.
    pub(super) store: usize,
    /// Whether it reads the records in place, as with a `MemoryStore`.
    pub(super) in_place: bool,
    pub(super) max_lifetime: Option<u64>,
    pub(super) max_grace: u64,
    pub(super) grantable: Option<&'static str>,
    pub(super) grantable_caveats: &'static [CaveatKind],
    pub(super) max_keys_per_subject: Option<usize>,
    pub(super) revokes_on_reuse: bool,
    pub(super) accepts_imports: bool,
    pub(super) retention: u64,
}

const DAY: u64 = 24 * 60 * 60;

/// Bounds every verification.
pub(super) const LOOKUP_TIMEOUT: u64 = 30;
/// The interval at which a watch reads its record again.
pub(super) const WATCH_INTERVAL: u64 = 2;

pub(super) const REALMS: [&str; 4] = ["orders", "billing", "visitors", "partner"];

/// Two nodes of one realm, a second realm, a temporary ring with caps, and a ring with another
/// store than the others.
pub(super) const RINGS: [RingSpec; 5] = [
    RingSpec {
        prefix: "acme",
        realm: "orders",
        store: 0,
        in_place: false,
        max_lifetime: None,
        max_grace: DAY,
        grantable: None,
        grantable_caveats: &CaveatKind::ALL,
        max_keys_per_subject: None,
        revokes_on_reuse: false,
        accepts_imports: true,
        retention: 100,
    },
    RingSpec {
        prefix: "acme",
        realm: "orders",
        store: 0,
        in_place: false,
        max_lifetime: Some(3_600),
        max_grace: 60,
        grantable: Some("read write"),
        grantable_caveats: &[],
        max_keys_per_subject: None,
        revokes_on_reuse: true,
        accepts_imports: false,
        retention: 30,
    },
    RingSpec {
        prefix: "bill",
        realm: "billing",
        store: 0,
        in_place: true,
        max_lifetime: Some(90 * DAY),
        max_grace: DAY,
        grantable: None,
        grantable_caveats: &[CaveatKind::Net],
        max_keys_per_subject: None,
        revokes_on_reuse: false,
        accepts_imports: false,
        retention: 0,
    },
    RingSpec {
        prefix: "visit",
        realm: "visitors",
        store: 0,
        in_place: false,
        max_lifetime: Some(900),
        max_grace: 30,
        grantable: Some("cart"),
        grantable_caveats: &[CaveatKind::Net],
        max_keys_per_subject: Some(2),
        revokes_on_reuse: true,
        accepts_imports: false,
        retention: 60,
    },
    RingSpec {
        prefix: "part",
        realm: "partner",
        store: 1,
        in_place: false,
        max_lifetime: Some(90 * DAY),
        max_grace: DAY,
        grantable: None,
        grantable_caveats: &[CaveatKind::Confirmation],
        max_keys_per_subject: None,
        revokes_on_reuse: false,
        accepts_imports: true,
        retention: 100,
    },
];

impl RingSpec {
    /// The scopes that the ring grants at all.
    pub(super) fn grantable(&self) -> Option<ScopeSet> {
        self.grantable.map(|scopes| scopes.parse().unwrap())
    }

    pub(super) fn grants_caveat(&self, caveat: &str) -> bool {
        self.grantable_caveats.iter().any(|kind| match kind {
            CaveatKind::Net => caveat.starts_with("net="),
            CaveatKind::Confirmation => caveat.starts_with("cnf="),
            _ => false,
        })
    }

    fn build(&self, stores: &[RecordingStore], clock: &ManualClock, told: &Told) -> KeyRing {
        let told = Arc::clone(told);
        let mut builder = KeyRing::builder(self.prefix)
            .realm(self.realm)
            .clock(clock.clone())
            .max_grace(Duration::from_secs(self.max_grace))
            .lookup_timeout(Duration::from_secs(LOOKUP_TIMEOUT))
            .watch_interval(Duration::from_secs(WATCH_INTERVAL))
            .retention(Duration::from_secs(self.retention))
            .grantable_caveats(self.grantable_caveats.iter().copied())
            .track_last_use()
            .observer(observer_fn(move |event| {
                told.lock().unwrap().push(format!("{event:?}"));
            }));
        builder = match self.max_lifetime {
            Some(longest) => builder.max_lifetime(Duration::from_secs(longest)),
            None => builder.unlimited_lifetime(),
        };
        if let Some(grantable) = self.grantable {
            builder = builder.grantable_scopes(grantable);
        }
        if let Some(limit) = self.max_keys_per_subject {
            builder = builder.max_keys_per_subject(limit);
        }
        if self.revokes_on_reuse {
            builder = builder.revoke_lineage_on_reuse();
        }
        if self.accepts_imports {
            builder = builder.accept_imports();
        }
        let store = &stores[self.store];
        let store = if self.in_place {
            store.in_place()
        } else {
            store.clone()
        };
        builder.build(store).unwrap()
    }
}

/// The events of the observers, as text.
type Told = Arc<Mutex<Vec<String>>>;

/// The code under test.
pub(super) struct World {
    pub(super) rings: Vec<KeyRing>,
    pub(super) clock: ManualClock,
    pub(super) stores: [RecordingStore; 2],
    pub(super) log: Log,
    pub(super) told: Told,
    pub(super) rival: Waiting,
}

impl World {
    /// The number of changes since the last call that were refused because another came first.
    pub(super) fn conflicts(&self) -> u64 {
        self.stores.iter().map(RecordingStore::conflicts).sum()
    }

    pub(super) fn new() -> Self {
        let clock = ManualClock::new(START);
        let log = Log::default();
        let told = Told::default();
        let rival = Waiting::default();
        let stores = [0, 1].map(|number| RecordingStore::new(number, &log, &rival));
        let rings = RINGS
            .iter()
            .map(|spec| spec.build(&stores, &clock, &told))
            .collect();
        Self {
            rings,
            clock,
            stores,
            log,
            told,
            rival,
        }
    }
}
