//! Keys where none belongs: in the URI and in `Referer`.

use http::Uri;
use http::header::{self, HeaderMap};

use crate::digest::hex_byte;
use crate::format::{Format, KeyId};
use crate::refusal::{Leak, Refusal};

/// The id of a key that stands in the target of a request.
#[inline]
pub(crate) fn find_in_uri(uri: &Uri, format: &Format) -> Option<KeyId> {
    // The length rules out almost every URI before a byte of it is read.
    let parts = [
        uri.path_and_query().map(http::uri::PathAndQuery::as_str),
        uri.authority().map(http::uri::Authority::as_str),
    ];
    parts
        .into_iter()
        .flatten()
        .filter(|part| part.len() >= format.key_len())
        .find_map(|part| find_in_bytes(part.as_bytes(), format))
}

/// Looks for a key as it stands, and once percent-decoded (RFC 3986 §2.1).
pub(crate) fn find_in_bytes(text: &[u8], format: &Format) -> Option<KeyId> {
    if text.len() < format.key_len() {
        return None;
    }
    format
        .find_in(text)
        .or_else(|| memchr::memchr(b'%', text).and_then(|_| format.find_in(&percent_decode(text))))
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
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

/// A leak is reported whatever else is wrong with the request.
#[cold]
pub(crate) fn leaked_referer(headers: &HeaderMap, format: &Format) -> Option<Refusal> {
    headers
        .get_all(header::REFERER)
        .iter()
        .find_map(|value| find_in_bytes(value.as_bytes(), format))
        .map(|key_id| Refusal::KeyInUrl(Leak::Referer, key_id))
}
