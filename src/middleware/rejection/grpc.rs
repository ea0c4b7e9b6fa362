//! Refusals as gRPC clients read them.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, Version};

use super::{Head, RejectionKind};
use crate::middleware::caching;

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A gRPC response that ends with its headers. An empty body ends the stream with them.
pub(super) fn trailers_only(
    content_type: HeaderValue,
    kind: RejectionKind,
    message: HeaderValue,
    vary: &HeaderValue,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(GRPC_STATUS, HeaderValue::from(code(kind)));
    headers.insert(GRPC_MESSAGE, message);
    caching::forbid_storing(headers);
    headers.insert(header::VARY, vary.clone());
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

pub(super) const fn code(kind: RejectionKind) -> i32 {
    match kind {
        RejectionKind::Missing | RejectionKind::Invalid => 16,
        RejectionKind::Ambiguous | RejectionKind::KeyInUrl | RejectionKind::KeyMisplaced => 3,
        RejectionKind::InsufficientScope | RejectionKind::UnknownRoute => 7,
        RejectionKind::StoreUnavailable => 14,
        RejectionKind::NotAuthenticated => 13,
    }
}

/// The content type of the answer to a gRPC request. `None` for any other request.
///
/// A client chooses the content type, and the answer to a gRPC request has the HTTP status 200. So
/// everything else must match the protocols: `POST`, and for gRPC itself HTTP/2 with `te: trailers`,
/// which a proxy does not send in a request of its own.
pub(super) fn content_type(request: Head<'_>) -> Option<HeaderValue> {
    if request.method != Method::POST {
        return None;
    }
    let mut asked = request.headers.get_all(header::CONTENT_TYPE).iter();
    let (asked, None) = (asked.next()?.as_bytes(), asked.next()) else {
        return None;
    };
    let is = |family: &str| {
        asked
            .split_at_checked(family.len())
            .is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(family.as_bytes())
                    && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
            })
    };
    let web = ["application/grpc-web-text", "application/grpc-web"];
    if let Some(family) = web.into_iter().find(|family| is(family)) {
        return Some(HeaderValue::from_static(family));
    }
    let family = "application/grpc";
    let over_http_2 = request.version == Version::HTTP_2 && takes_trailers(request.headers);
    (over_http_2 && is(family)).then(|| HeaderValue::from_static(family))
}

/// Whether `TE` has the member `trailers` (RFC 9110 §10.1.4).
fn takes_trailers(request: &HeaderMap) -> bool {
    request
        .get_all(header::TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Percent-encodes the bytes outside the gRPC protocol's `Percent-Byte-Unencoded`.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
