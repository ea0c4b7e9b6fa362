//! The client that proxies forward for.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

use http::HeaderMap;

use super::texts::texts;
use crate::access::caveat::Networks;
use crate::error::Error;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// Proxies that you run, which append the address of their peer to a header.
///
/// The client is counted from the right: of one proxy it is the last address, of `n` proxies in a row the
/// n-th from the right, and the addresses that follow it must be those of the proxies. Everything to the
/// left of it is up to the client, and is never read. An address that is itself one of a proxy is not certain:
/// there are more proxies than you said. So name the networks of the proxies alone.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    networks: Networks,
    header: Header,
    number: NonZeroUsize,
}

#[derive(Debug, Clone, Copy)]
enum Header {
    XForwardedFor,
    Forwarded,
}

impl TrustedProxies {
    /// Proxies in these networks, each of which appends the address of its peer to `X-Forwarded-For`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`](crate::ErrorKind::InvalidCaveat) if these are not
    /// [networks](Networks).
    pub fn x_forwarded_for<I>(networks: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::new(networks, Header::XForwardedFor)
    }

    /// Proxies in these networks, each of which appends an element with `for=` to `Forwarded`
    /// (RFC 7239 §4).
    ///
    /// # Errors
    ///
    /// As [`x_forwarded_for`](Self::x_forwarded_for).
    pub fn forwarded<I>(networks: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::new(networks, Header::Forwarded)
    }

    fn new<I>(networks: I, header: Header) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(Self {
            networks: Networks::new(networks)?,
            header,
            number: NonZeroUsize::MIN,
        })
    }

    /// Every request comes through this many proxies in a row. Default: one.
    #[must_use]
    pub fn number(self, number: NonZeroUsize) -> Self {
        Self { number, ..self }
    }

    pub(super) fn include(&self, peer: IpAddr) -> bool {
        self.networks.contains(peer)
    }

    /// The address that the outermost proxy has appended.
    pub(super) fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let name = match self.header {
            Header::XForwardedFor => X_FORWARDED_FOR,
            Header::Forwarded => FORWARDED,
        };
        let values = texts(headers, name)?;
        let mut from_the_right = values
            .iter()
            .rev()
            .flat_map(|value| parts(value, ',').into_iter().rev());
        for _ in 1..self.number.get() {
            let proxy = self.address(from_the_right.next()?)?;
            if !self.networks.contains(proxy) {
                return None;
            }
        }
        // One more proxy than said, or fewer: the address is not that of a client.
        self.address(from_the_right.next()?)
            .filter(|client| !self.networks.contains(*client))
    }

    fn address(&self, element: &str) -> Option<IpAddr> {
        match self.header {
            Header::XForwardedFor => node(element),
            Header::Forwarded => {
                let mut named = parts(element, ';').into_iter().filter_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    name.eq_ignore_ascii_case("for").then_some(value)
                });
                // A parameter is in an element once (RFC 7239 §4).
                let (value, None) = (named.next()?, named.next()) else {
                    return None;
                };
                node(unquoted(value)?)
            }
        }
        .map(|address| address.to_canonical())
    }
}

/// The parts of a text between these separators, of which those in quoted strings are none. An escape in a
/// quoted string, and quotes that do not match, are in no address, and may be a client's text that a proxy has
/// put into an element. Such a text has no certain last part.
fn parts(text: &str, separator: char) -> Vec<&str> {
    let mut is_quoted = false;
    let parts = text.split(|character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    });
    let parts: Vec<&str> = parts.map(str::trim).collect();
    if is_quoted || text.contains('\\') {
        vec![""]
    } else {
        parts
    }
}

/// A `quoted-string` without escapes, or a `token`.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest
            .strip_suffix('"')
            .filter(|text| !text.contains(['"', '\\'])),
        None => (!value.contains('"')).then_some(value),
    }
}

/// An address, with or without a port. An IPv6 address may be in brackets.
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse::<SocketAddr>().map(|address| address.ip());
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.ok().or_else(|| text.parse().ok()).or_else(bare)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::TrustedProxies;

    #[track_caller]
    fn assert_client(
        proxies: &TrustedProxies,
        name: &'static str,
        values: &[&str],
        expected: &str,
    ) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let found = proxies.client(&headers).map(|address| address.to_string());
        assert_eq!(found.as_deref().unwrap_or_default(), expected, "{values:?}");
    }

    #[test]
    fn of_one_proxy_the_last_address_counts() {
        let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/24"]).unwrap();
        for (values, expected) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["10.0.0.7, 203.0.113.9"], "203.0.113.9"),
            (&["10.0.0.7", "203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            (&["10.0.0.7, unknown"], ""),
            // There is one more proxy than said.
            (&["203.0.113.9, 10.0.0.7"], ""),
            (&["10.0.0.7,"], ""),
            (&["10.0.0.7", ""], ""),
            (&["\"10.0.0.7, 203.0.113.9"], ""),
            (&[], ""),
        ] {
            assert_client(&proxies, "x-forwarded-for", values, expected);
        }
    }

    #[test]
    fn of_two_proxies_the_last_but_one_counts() {
        let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/24"]).unwrap();
        let proxies = proxies.number(2.try_into().unwrap());
        for (values, expected) in [
            (&["198.51.100.1, 203.0.113.9, 10.0.0.7"][..], "203.0.113.9"),
            // It came through one proxy: the only address is that of the client, not of a proxy.
            (&["203.0.113.9"], ""),
            (&["10.0.0.9"], ""),
            (&["203.0.113.9, 198.51.100.1"], ""),
        ] {
            assert_client(&proxies, "x-forwarded-for", values, expected);
        }
    }

    #[test]
    fn forwarded_elements_name_the_client() {
        let proxies = TrustedProxies::forwarded(["10.0.0.0/24"]).unwrap();
        for (values, expected) in [
            (&["for=203.0.113.9"][..], "203.0.113.9"),
            (
                &["for=10.0.0.7, For=\"[2001:db8::1]:4711\";proto=https"],
                "2001:db8::1",
            ),
            (
                &["for=10.0.0.7", "proto=https; for=\"203.0.113.9:80\""],
                "203.0.113.9",
            ),
            (&["for=10.0.0.7, for=_hidden"], ""),
            (&["for=10.0.0.7, proto=https"], ""),
            (&["for=10.0.0.7, for=10.0.0.7;for=10.0.0.8"], ""),
            (&["for=10.0.0.7, for=\"10.0.0.7"], ""),
            (&["for=\"10.0.0.7, for=203.0.113.9\""], ""),
            // The proxy has put the client's own text into its element.
            (
                &["for=203.0.113.9;host=\"a,for=198.51.100.1;b\""],
                "203.0.113.9",
            ),
            (&["host=\"a;for=198.51.100.1;b\""], ""),
            (&[r#"for=203.0.113.9;host="a\",for=198.51.100.1;b=\"""#], ""),
        ] {
            assert_client(&proxies, "forwarded", values, expected);
        }
    }
}
