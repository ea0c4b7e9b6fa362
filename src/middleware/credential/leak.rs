//! Keys of the ring in wrong places: the URI, headers that hold a URL, other headers.

use http::header::{self, HeaderMap, HeaderName};
use http::{Extensions, Uri};
use zeroize::Zeroizing;

use crate::key::KeyId;
use crate::key::format::Format;
use crate::middleware::head::RequestHead;
use crate::support::hex::hex_byte;
use crate::verdict::{KeyPlace, Refusal};

/// The headers in which proxies and gateways forward the URL of a request: nginx, Traefik, Caddy, Envoy,
/// IIS and oauth2-proxy. All except `Forwarded` begin with `x-`.
pub(super) const URL_HEADERS: [&str; 11] = [
    "forwarded",
    "x-original-uri",
    "x-original-url",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-rewrite-url",
    "x-replaced-path",
    "x-envoy-original-path",
    "x-auth-request-redirect",
];

/// How many keys of a request are reported, in addition to the one that it is refused for.
const MOST_REPORTED: usize = 8;

#[inline]
pub(crate) fn is_url_header(name: &HeaderName) -> bool {
    URL_HEADERS.contains(&name.as_str())
}

/// The keys of a request that are in wrong places.
#[derive(Default)]
pub(crate) struct Strays {
    /// The one that the request is refused for.
    pub(crate) refused: Option<(KeyPlace, KeyId)>,
    pub(crate) reported: Vec<(KeyPlace, KeyId)>,
}

impl Strays {
    /// Notes the keys in a text. The request is refused for the first key for which `refuses` is true.
    pub(crate) fn note(
        &mut self,
        place: KeyPlace,
        text: &[u8],
        format: &Format,
        refuses: impl Fn(&[u8]) -> bool,
    ) {
        any_key(text, format, |id, key| {
            let stray = (place, id);
            if self.refused.is_none() && refuses(key) {
                self.refused = Some(stray);
                self.reported.retain(|reported| *reported != stray);
            } else if self.refused != Some(stray)
                && self.reported.len() < MOST_REPORTED
                && !self.reported.contains(&stray)
            {
                self.reported.push(stray);
            }
            false
        });
    }
}

/// The refusal of a request that would pass without a credential, if any of its headers holds a key of
/// the ring. `Referer` never refuses a request here, because strangers choose its value.
#[cold]
pub(crate) fn in_any_header(headers: &HeaderMap, format: &Format) -> Option<Refusal> {
    let mut strays = Strays::default();
    for (name, value) in headers {
        if name != header::REFERER {
            strays.note(KeyPlace::OtherHeader, value.as_bytes(), format, |_| true);
        }
    }
    let (place, id) = strays.refused?;
    Some(Refusal::Misplaced(place, id))
}

/// Whether a part of a request's target is long enough to hold a key. The length rules out almost every
/// target before a byte of it is read.
#[inline]
pub(crate) fn may_hold_key(request: &impl RequestHead, format: &Format) -> bool {
    let uri = request.uri();
    let len = |uri: &Uri| path(uri).map_or(0, str::len);
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    let original = original_uri(request.extensions()).map_or(0, len);
    len(uri).max(authority).max(original) >= format.key_len()
}

/// The parts of a request's target.
pub(crate) fn target_parts<R: RequestHead>(request: &R) -> impl Iterator<Item = &[u8]> {
    let uri = request.uri();
    let target = path(uri);
    let original = original_uri(request.extensions())
        .and_then(path)
        .filter(|&original| Some(original) != target);
    let authority = uri.authority().map(http::uri::Authority::as_str);
    [target, original, authority]
        .into_iter()
        .flatten()
        .map(str::as_bytes)
}

#[inline]
fn path(uri: &Uri) -> Option<&str> {
    uri.path_and_query().map(http::uri::PathAndQuery::as_str)
}

/// The target as the client sent it, if a router has recorded it.
#[cfg(feature = "axum")]
#[inline]
fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions
        .get::<axum::extract::OriginalUri>()
        .map(|original| &original.0)
}

#[cfg(not(feature = "axum"))]
#[inline]
fn original_uri(_: &Extensions) -> Option<&Uri> {
    None
}

/// Whether a key is in this text.
#[inline]
pub(crate) fn holds_key(text: &[u8], format: &Format) -> bool {
    any_key(text, format, |_, _| true)
}

/// Looks for keys as they stand, once percent-decoded (RFC 3986 §2.1), and in credentials of the
/// scheme `Basic` (RFC 7617), until one is accepted.
///
/// Most texts are too short for a key, in whatever form.
#[inline]
fn any_key(text: &[u8], format: &Format, mut accepts: impl FnMut(KeyId, &[u8]) -> bool) -> bool {
    if text.len() < format.key_len() {
        return false;
    }
    let mut any = |text: &[u8]| format.keys_in(text).any(|(id, key)| accepts(id, key));
    any(text)
        || (memchr::memchr(b'%', text).is_some() && any(&percent_decode(text)))
        || basic_credentials(text).is_some_and(|credentials| any(&credentials))
}

fn percent_decode(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match after {
            [high, low, ..] if byte == b'%' => hex_byte([*high, *low]),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => decoded.push(byte),
        }
    }
    decoded
}

/// The user and password of `Basic` credentials, as far as they are base64.
fn basic_credentials(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, encoded) = text.split_at_checked("basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut decoded = Zeroizing::new(Vec::with_capacity(encoded.len()));
    let (mut bits, mut held) = (0_u32, 0);
    for &byte in encoded.trim_ascii() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            // The eight bits above those that are held.
            let [.., byte] = (bits >> held).to_be_bytes();
            decoded.push(byte);
            bits &= (1 << held) - 1;
        }
    }
    Some(decoded)
}
