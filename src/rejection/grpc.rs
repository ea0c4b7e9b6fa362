//! Refusals as gRPC clients read them.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::RejectionKind;
use super::response::forbid_storing;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A gRPC response that is over with its headers; an empty body ends the stream with them.
pub(super) fn trailers_only(
    content_type: HeaderValue,
    kind: RejectionKind,
    message: HeaderValue,
    vary: &HeaderValue,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code(kind)));
    headers.insert(GRPC_MESSAGE, message);
    forbid_storing(headers, vary);
    response
}

const fn code(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::Missing | RejectionKind::Invalid => "16",
        RejectionKind::Ambiguous | RejectionKind::KeyInUrl | RejectionKind::KeyMisplaced => "3",
        RejectionKind::InsufficientScope => "7",
        RejectionKind::StoreUnavailable => "14",
        RejectionKind::NotAuthenticated => "13",
    }
}

/// The content type of the answer to a gRPC request, `None` for any other request.
pub(super) fn content_type(request: &HeaderMap) -> Option<HeaderValue> {
    let asked = request.get(header::CONTENT_TYPE)?.as_bytes();
    let is = |family: &str| {
        asked
            .split_at_checked(family.len())
            .is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(family.as_bytes())
                    && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
            })
    };
    [
        "application/grpc-web-text",
        "application/grpc-web",
        "application/grpc",
    ]
    .into_iter()
    .find(|family| is(family))
    .map(HeaderValue::from_static)
}

/// Percent-encodes what the gRPC protocol's `Percent-Byte-Unencoded` leaves out.
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
