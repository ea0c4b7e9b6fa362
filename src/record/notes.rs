//! What a key is used for, noted by the requests that use it.

use crate::access::client_network::ClientNetwork;
use crate::access::requirement::Requirement;
use crate::access::scope_set::ScopeSet;
use crate::key::KeyId;
use crate::record::key_usage::{KeyUsage, NetworkUse, ScopeUse, UsedNetwork};
use crate::support::sync::{AtomicU64, Ordering};
use crate::time::Timestamp;

/// What a ring notes about its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) scopes: bool,
    pub(crate) networks: bool,
}

/// What a key was used for since its notes were last taken. A request that finds its scopes and its network marked
/// writes nothing.
#[derive(Debug)]
pub(crate) struct Notes {
    id: KeyId,
    /// The use for which the notes were made.
    at: Timestamp,
    scopes: ScopeSet,
    /// A bit for each place of the scopes. Empty if scopes are not noted.
    exercised: Box<[AtomicU64]>,
    /// The networks by their codes, 0 for none yet. Empty if networks are not noted.
    networks: Box<[AtomicU64]>,
    /// Not 0 if there was no room for a network.
    further: AtomicU64,
}

impl Notes {
    /// The scopes are those of the record, whatever its owner may do now.
    pub(crate) fn new(id: KeyId, scopes: &ScopeSet, at: Timestamp, noted: Noted) -> Self {
        let words = if noted.scopes {
            scopes.places().div_ceil(64)
        } else {
            0
        };
        let networks = if noted.networks { NetworkUse::MOST } else { 0 };
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            id,
            at,
            scopes: scopes.clone(),
            exercised: zeros(words),
            networks: zeros(networks),
            further: AtomicU64::new(0),
        }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Notes that a key with these scopes has met a requirement.
    #[inline(never)]
    pub(crate) fn exercise(&self, requirement: &Requirement, scopes: &ScopeSet) {
        requirement.each_exercised(scopes, &mut |scope| {
            let Some(place) = self.scopes.place_of(scope) else {
                return;
            };
            let Some(word) = self.exercised.get(place / 64) else {
                return;
            };
            let bit = 1 << (place % 64);
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::AcqRel);
            }
        });
    }

    /// Notes where a request came from.
    pub(crate) fn come_from(&self, network: ClientNetwork) {
        let code = network.code();
        for place in &self.networks {
            let mut known = place.load(Ordering::Relaxed);
            if known == 0 {
                let written = place.compare_exchange(0, code, Ordering::AcqRel, Ordering::Relaxed);
                known = written.err().unwrap_or(code);
            }
            if known == code {
                return;
            }
        }
        if self.further.load(Ordering::Relaxed) == 0 {
            self.further.store(1, Ordering::Release);
        }
    }

    /// Takes what was noted. `None` if that is nothing but the use itself.
    pub(crate) fn take(&self) -> Option<KeyUsage> {
        let words: Vec<u64> = self.exercised.iter().map(taken).collect();
        let codes: Vec<u64> = self.networks.iter().map(taken).collect();
        let further = u32::from(taken(&self.further) != 0);
        let is_marked = words.iter().chain(&codes).any(|it| *it != 0) || further != 0;
        is_marked.then(|| self.usage(&words, &codes, further))
    }

    /// The same, and the use itself.
    pub(crate) fn take_first(&self) -> KeyUsage {
        let nothing = || self.usage(&[], &[], 0);
        self.take().unwrap_or_else(nothing)
    }

    fn usage(&self, words: &[u64], codes: &[u64], further: u32) -> KeyUsage {
        let mut usage = KeyUsage::new();
        // A key without scopes has none to exercise.
        if !self.exercised.is_empty() {
            let is_marked = |place: usize| {
                let word = words.get(place / 64).copied().unwrap_or(0);
                word & 1 << (place % 64) != 0
            };
            let scopes = self.scopes.at_places(is_marked);
            usage = usage.scope_use(ScopeUse::new(self.at, self.at, scopes));
        }
        let networks = codes
            .iter()
            .filter_map(|&code| ClientNetwork::from_code(code));
        let networks: Vec<UsedNetwork> = networks
            .map(|network| UsedNetwork::new(network, self.at, self.at))
            .collect();
        if !networks.is_empty() {
            usage = usage.network_use(NetworkUse::new(self.at, networks, further));
        }
        usage
    }
}

fn taken(word: &AtomicU64) -> u64 {
    word.swap(0, Ordering::AcqRel)
}
