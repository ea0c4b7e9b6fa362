//! Problem details (RFC 9457).

use std::fmt::Write as _;

use http::{HeaderValue, StatusCode};

use crate::error::ErrorClass;

pub(crate) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A problem whose type is `about:blank`: its title is the phrase of the status (RFC 9457 §4.2.1).
pub(crate) fn json(status: StatusCode, detail: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let status = status.as_u16();
    // Nearly every detail has the same length in JSON.
    let mut json = String::with_capacity(detail.len() + 64);
    // Writing to a `String` cannot fail.
    let _ = write!(json, r#"{{"title":"{title}","status":{status},"detail":""#);
    for character in detail.chars() {
        let _ = match character {
            '"' | '\\' => write!(json, "\\{character}"),
            '\0'..='\x1f' => write!(json, "\\u{:04x}", u32::from(character)),
            _ => json.write_char(character),
        };
    }
    json.push_str("\"}");
    json
}

impl ErrorClass {
    /// The status of a response that reports such an error (RFC 9110 §15.5 and §15.6).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Input => StatusCode::BAD_REQUEST,
            Self::Policy => StatusCode::UNPROCESSABLE_ENTITY,
            Self::State | Self::Conflict => StatusCode::CONFLICT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Store => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_a_json_string() {
        assert_eq!(
            json(StatusCode::BAD_REQUEST, "without \" and \\\n\u{1}é"),
            r#"{"title":"Bad Request","status":400,"detail":"without \" and \\\u000a\u0001é"}"#
        );
    }
}
