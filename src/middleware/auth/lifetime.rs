//! What a response says of the end of its key.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::time::{Timestamp, http_date};
use crate::verdict::VerifiedKey;

const SUNSET: HeaderName = HeaderName::from_static("sunset");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");

/// Whether and when the end of a key is announced to its holder.
#[derive(Clone, Copy)]
pub(super) struct LifetimeHeaders {
    /// How long before its expiry. A key in its grace period is announced at any time.
    pub(super) within: Duration,
}

impl LifetimeHeaders {
    /// Announces the end of a key in the response to its holder. A response that has one of the fields speaks of its resource,
    /// and stays as it is.
    #[cold]
    pub(super) fn announce(self, key: &VerifiedKey, now: Timestamp, headers: &mut HeaderMap) {
        let Some(end) = key.valid_until() else {
            return;
        };
        let is_replaced = key.record().grace_ends_at().is_some();
        let left = Duration::from_secs(end.as_unix().saturating_sub(now.as_unix()));
        let is_near = is_replaced || left <= self.within;
        if !is_near || headers.contains_key(SUNSET) || headers.contains_key(DEPRECATION) {
            return;
        }
        let sunset = http_date(end).map(HeaderValue::try_from);
        // RFC 9745 §4: a sunset is no earlier than the deprecation. The record does not say when the key was replaced. It
        // was before now, and the key ends later.
        let deprecation = HeaderValue::try_from(format!("@{}", now.as_unix()));
        if let Some(Ok(sunset)) = sunset {
            headers.insert(SUNSET, sunset);
            if let (true, Ok(deprecation)) = (is_replaced && now <= end, deprecation) {
                headers.insert(DEPRECATION, deprecation);
            }
        }
    }
}
