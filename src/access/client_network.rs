//! The network of a client's address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

/// The network that an address is noted as: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
///
/// These are what a provider usually gives to one site (RFC 6177 §2 for IPv6), and less than the address of a person.
/// An IPv4-mapped IPv6 address is the IPv4 address.
///
/// ```
/// use tower_api_key::ClientNetwork;
///
/// let network = ClientNetwork::of("203.0.113.9".parse().unwrap());
/// assert_eq!(network.to_string(), "203.0.113.0/24");
/// let network = ClientNetwork::of("2001:db8:1:2::3".parse().unwrap());
/// assert_eq!(network.to_string(), "2001:db8:1::/48");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNetwork(NonZeroU64);

/// The kind stands above the bits of either.
const KIND: u32 = 48;
const IPV4: u64 = 1;
const IPV6: u64 = 2;

impl ClientNetwork {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        let code = match address.to_canonical() {
            IpAddr::V4(address) => IPV4 << KIND | u64::from(address.to_bits() >> 8),
            // 48 bits fit.
            IpAddr::V6(address) => IPV6 << KIND | (address.to_bits() >> 80) as u64,
        };
        // Each kind has a bit.
        Self(NonZeroU64::new(code).unwrap_or(NonZeroU64::MAX))
    }

    /// The first address of the network.
    pub fn address(self) -> IpAddr {
        let bits = self.0.get() & ((1 << KIND) - 1);
        if self.is_ipv4() {
            let [.., first, second, third] = bits.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(first, second, third, 0))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits) << 80))
        }
    }

    /// How many bits of an address name the network.
    pub fn prefix_len(self) -> u8 {
        if self.is_ipv4() { 24 } else { 48 }
    }

    fn is_ipv4(self) -> bool {
        self.0.get() >> KIND == IPV4
    }

    /// The network as a number that is not 0.
    pub(crate) fn code(self) -> u64 {
        self.0.get()
    }

    /// The network of a number that [`code`](Self::code) gave.
    pub(crate) fn from_code(code: u64) -> Option<Self> {
        NonZeroU64::new(code).map(Self)
    }

    /// Reads what is written for it. `None` for any other text.
    #[cfg(feature = "sql")]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, _) = text.split_once('/')?;
        let network = Self::of(address.parse().ok()?);
        (network.to_string() == text).then_some(network)
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix_len())
    }
}

#[cfg(test)]
mod tests {
    use super::ClientNetwork;

    #[test]
    fn an_address_is_noted_as_its_network() {
        for (address, network) in [
            ("0.0.0.0", "0.0.0.0/24"),
            ("255.255.255.255", "255.255.255.0/24"),
            ("203.0.113.9", "203.0.113.0/24"),
            ("::ffff:203.0.113.9", "203.0.113.0/24"),
            ("::", "::/48"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            (
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "ffff:ffff:ffff::/48",
            ),
        ] {
            let found = ClientNetwork::of(address.parse().unwrap());
            assert_eq!(found.to_string(), network);
            assert_eq!(ClientNetwork::from_code(found.code()), Some(found));
            #[cfg(feature = "sql")]
            assert_eq!(ClientNetwork::parse(network), Some(found));
        }
    }

    #[test]
    #[cfg(feature = "sql")]
    fn what_is_no_network_is_not_read() {
        for text in [
            "",
            "203.0.113.0",
            "203.0.113.9/24",
            "203.0.113.0/25",
            "203.0.113.0/024",
            "2001:db8:1::/64",
            "2001:DB8:1::/48",
            "localhost/24",
        ] {
            assert_eq!(ClientNetwork::parse(text), None, "{text:?}");
        }
    }
}
