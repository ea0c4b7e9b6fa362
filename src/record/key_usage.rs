//! What a key was used for.

use crate::access::client_network::ClientNetwork;
use crate::access::scope_set::ScopeSet;
use crate::time::Timestamp;

/// What a key was used for, as far as rings have [tracked](crate::KeyRingBuilder::track_scope_use) it: the scopes that
/// requests needed, and the [networks](crate::KeyRingBuilder::track_networks) that they came from.
///
/// It only grows: [`add`](Self::add) makes one of two.
///
/// ```
/// use tower_api_key::store::{KeyUsage, ScopeUse};
/// use tower_api_key::Timestamp;
///
/// let at = Timestamp::from_unix;
/// let mut known = KeyUsage::new().scope_use(ScopeUse::new(at(10), at(20), "read".parse()?));
/// known.add(&KeyUsage::new().scope_use(ScopeUse::new(at(15), at(30), "write".parse()?)));
/// let expected = ScopeUse::new(at(10), at(30), "read write".parse()?);
/// assert_eq!(known.scopes(), Some(&expected));
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUsage {
    scopes: Option<ScopeUse>,
    networks: Option<NetworkUse>,
}

impl KeyUsage {
    /// Nothing is known.
    pub const fn new() -> Self {
        Self {
            scopes: None,
            networks: None,
        }
    }

    /// The same with these scopes.
    #[must_use]
    pub fn scope_use(mut self, scopes: ScopeUse) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// The same with these networks.
    #[must_use]
    pub fn network_use(mut self, networks: NetworkUse) -> Self {
        self.networks = Some(networks);
        self
    }

    /// The scopes that requests needed. `None` if no use of the key was tracked for that.
    pub fn scopes(&self) -> Option<&ScopeUse> {
        self.scopes.as_ref()
    }

    /// The networks that requests came from. `None` if none is known.
    pub fn networks(&self) -> Option<&NetworkUse> {
        self.networks.as_ref()
    }

    /// Adds what is known from elsewhere.
    pub fn add(&mut self, other: &Self) {
        match (&mut self.scopes, &other.scopes) {
            (Some(known), Some(further)) => known.add(further),
            (None, Some(further)) => self.scopes = Some(further.clone()),
            (_, None) => {}
        }
        match (&mut self.networks, &other.networks) {
            (Some(known), Some(further)) => known.add(further),
            (None, Some(further)) => self.networks = Some(further.clone()),
            (_, None) => {}
        }
    }
}

/// The scopes of a key that requests needed, and the time in which that was tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeUse {
    first: Timestamp,
    last: Timestamp,
    scopes: ScopeSet,
}

impl ScopeUse {
    /// The first and the last use that was tracked, and the scopes that any use in that time has exercised.
    pub fn new(first: Timestamp, last: Timestamp, scopes: ScopeSet) -> Self {
        Self {
            first,
            last: last.max(first),
            scopes,
        }
    }

    /// The first use of the key that was tracked.
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// The last use of the key that was tracked.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// The scopes that were exercised.
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.scopes = self.scopes.union(&other.scopes);
    }
}

/// The networks that requests with a key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkUse {
    first: Timestamp,
    networks: Vec<UsedNetwork>,
    further: u32,
}

/// A network that requests with a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsedNetwork {
    /// The network.
    pub network: ClientNetwork,
    /// The first use from there that is known.
    pub first: Timestamp,
    /// The last use from there.
    pub last: Timestamp,
}

impl UsedNetwork {
    /// A network with its first and its last use.
    pub fn new(network: ClientNetwork, first: Timestamp, last: Timestamp) -> Self {
        Self {
            network,
            first,
            last: last.max(first),
        }
    }
}

impl NetworkUse {
    /// How many networks of a key are kept: those that it was used from most recently.
    pub const MOST: usize = 16;

    /// These networks, of which the most recent are kept, of a key whose first tracked use was at that time. `further`
    /// is how many were dropped before.
    pub fn new(
        first: Timestamp,
        networks: impl IntoIterator<Item = UsedNetwork>,
        further: u32,
    ) -> Self {
        let mut made = Self {
            first,
            networks: Vec::new(),
            further,
        };
        made.take(networks);
        made
    }

    /// The first use of the key for which a network was noted.
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// The networks, in the order of their addresses.
    pub fn networks(&self) -> &[UsedNetwork] {
        &self.networks
    }

    /// How many networks were dropped because more than [`MOST`](Self::MOST) were known. One that came back and was
    /// dropped again counts each time.
    pub fn further(&self) -> u32 {
        self.further
    }

    fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.further = self.further.saturating_add(other.further);
        self.take(other.networks.iter().copied());
    }

    fn take(&mut self, networks: impl IntoIterator<Item = UsedNetwork>) {
        for used in networks {
            self.first = self.first.min(used.first);
            match self
                .networks
                .iter_mut()
                .find(|it| it.network == used.network)
            {
                Some(known) => {
                    known.first = known.first.min(used.first);
                    known.last = known.last.max(used.last);
                }
                None => self.networks.push(used),
            }
        }
        if self.networks.len() > Self::MOST {
            let by_use = |used: &UsedNetwork| (used.last, used.first, used.network);
            self.networks
                .sort_unstable_by_key(|used| std::cmp::Reverse(by_use(used)));
            let dropped = self.networks.split_off(Self::MOST).len();
            let dropped = u32::try_from(dropped).unwrap_or(u32::MAX);
            self.further = self.further.saturating_add(dropped);
        }
        self.networks.sort_unstable_by_key(|used| used.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + second)
    }

    fn network(number: u32) -> ClientNetwork {
        ClientNetwork::of(std::net::Ipv4Addr::from_bits(number << 8).into())
    }

    fn used(number: u32, first: u64, last: u64) -> UsedNetwork {
        UsedNetwork::new(network(number), at(first), at(last))
    }

    #[test]
    fn what_is_added_twice_is_the_same() {
        let scopes = ScopeUse::new(at(1), at(3), "a c".parse().unwrap());
        let networks = NetworkUse::new(at(1), [used(1, 1, 3), used(2, 2, 2)], 0);
        let one = KeyUsage::new().scope_use(scopes).network_use(networks);
        let mut known = one.clone();
        known.add(&one);
        assert_eq!(known, one);
        let mut nothing = KeyUsage::new();
        nothing.add(&one);
        assert_eq!(nothing, one);
        known.add(&KeyUsage::new());
        assert_eq!(known, one);
    }

    #[test]
    fn r23_a_key_keeps_the_networks_that_it_was_used_from_last() {
        let most = u32::try_from(NetworkUse::MOST).unwrap();
        let mut known = NetworkUse::new(at(0), (0..most).map(|it| used(it, it.into(), 100)), 0);
        assert_eq!(known.further(), 0);
        known.add(&NetworkUse::new(at(0), [used(3, 3, 200)], 0));
        assert_eq!(
            (known.networks().len(), known.further()),
            (NetworkUse::MOST, 0)
        );
        // The seventeenth takes the place of the one whose last and first uses are the earliest.
        known.add(&NetworkUse::new(at(300), [used(99, 300, 300)], 0));
        assert_eq!(
            (known.networks().len(), known.further()),
            (NetworkUse::MOST, 1)
        );
        let has = |number| {
            known
                .networks()
                .iter()
                .any(|it| it.network == network(number))
        };
        assert!(has(99) && has(3) && !has(0));
        assert_eq!(known.first(), at(0));
    }
}
