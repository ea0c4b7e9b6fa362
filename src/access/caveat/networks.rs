//! Networks of IPv4 and IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3), such as `10.0.0.0/8,2001:db8::/32`.
///
/// An address alone is a network of one. The bits after the prefix must be zero. An IPv4-mapped IPv6
/// address is the IPv4 address, in a network as in a client's address. `0.0.0.0/0` is every IPv4 address,
/// and `::/0` every other IPv6 address.
///
/// ```
/// use tower_api_key::Networks;
///
/// let networks: Networks = "10.0.0.0/8,2001:db8::/32".parse()?;
/// assert!(networks.contains("10.1.2.3".parse().unwrap()));
/// assert!(networks.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(!networks.contains("11.1.2.3".parse().unwrap()));
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Networks(Box<[Network]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Network {
    address: IpAddr,
    prefix_len: u8,
}

impl Networks {
    /// Parses networks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`] if one of them is not a network, or there is none.
    pub fn new<I>(networks: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let parsed: Option<Vec<Network>> = networks
            .into_iter()
            .map(|network| Network::parse(network.as_ref()))
            .collect();
        let mut networks = parsed.ok_or(ErrorKind::InvalidCaveat)?;
        if networks.is_empty() {
            return Err(ErrorKind::InvalidCaveat.into());
        }
        networks.sort_unstable();
        networks.dedup();
        Ok(Self(networks.into()))
    }

    /// Whether the address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromStr for Networks {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text.split(','))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            place,
            Network {
                address,
                prefix_len,
            },
        ) in self.0.iter().enumerate()
        {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{address}/{prefix_len}")?;
        }
        Ok(())
    }
}

crate::parsed_text!(Networks);

/// The length of an IPv6 prefix in front of a mapped IPv4 address (RFC 4291 §2.5.5.2).
const MAPPED: u8 = 96;

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let prefix_len = match length {
            // Neither a sign nor a leading zero.
            Some(length)
                if length != "0" && !length.starts_with(|first| matches!(first, '1'..='9')) =>
            {
                return None;
            }
            Some(length) => length.parse().ok().filter(|&length| length <= width)?,
            None => width,
        };
        let network = Self {
            address,
            prefix_len,
        }
        .canonical();
        (network.bits_after(network.address) == 0).then_some(network)
    }

    /// The IPv4 network, if it is one that is written as a mapped IPv6 network.
    fn canonical(self) -> Self {
        match (self.address, self.address.to_canonical()) {
            (IpAddr::V6(_), address @ IpAddr::V4(_)) if self.prefix_len >= MAPPED => Self {
                address,
                prefix_len: self.prefix_len - MAPPED,
            },
            _ => self,
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (bits(self.address) ^ bits(address)) & !self.rest() == 0
    }

    fn bits_after(self, address: IpAddr) -> u128 {
        bits(address) & self.rest()
    }

    /// The bits after the prefix.
    fn rest(self) -> u128 {
        let free = width(self.address) - self.prefix_len;
        match free {
            128 => u128::MAX,
            free => (1 << free) - 1,
        }
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}

#[cfg(test)]
mod tests {
    use super::Networks;

    #[track_caller]
    fn assert_contains(networks: &str, address: &str, expected: bool) {
        let networks: Networks = networks.parse().unwrap();
        let found = networks.contains(address.parse().unwrap());
        assert_eq!(found, expected, "{networks} and {address}");
    }

    #[test]
    fn an_address_is_in_a_network_by_its_prefix() {
        for (networks, address, expected) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
            ("10.1.2.2/31", "10.1.2.3", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("10.0.0.0/8,2001:db8::/32", "2001:db8::1", true),
        ] {
            assert_contains(networks, address, expected);
        }
    }

    #[test]
    fn mapped_addresses_are_those_of_ipv4() {
        assert_contains("10.0.0.0/8", "::ffff:10.1.2.3", true);
        assert_contains("::ffff:10.0.0.0/104", "10.1.2.3", true);
        assert_contains("::ffff:0:0/96", "203.0.113.9", true);
        assert_contains("::/0", "::ffff:203.0.113.9", false);
        let networks: Networks = "::ffff:10.0.0.0/104".parse().unwrap();
        assert_eq!(networks.to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            ",",
            "10.0.0.0/8,",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.1/8",
            "10.0.0/8",
            "010.0.0.0/8",
            "2001:db8::/129",
            "2001:db8::1/32",
            "fe80::1%eth0",
            "10.0.0.0/8 ",
            "10.0.0.0/255.0.0.0",
            "localhost",
        ] {
            assert!(text.parse::<Networks>().is_err(), "{text:?}");
        }
    }
}
