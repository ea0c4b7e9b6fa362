//! Keys in the headers of a request.

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::middleware::credential::source::{Kind, Source};

/// Each key in its place.
pub(super) fn with_keys<'a>(keys: impl IntoIterator<Item = (&'a Source, &'a str)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (source, key) in keys {
        let (name, text) = match &source.0 {
            Kind::Header(name) => (name.clone(), key.to_owned()),
            Kind::Authorization(scheme) => (AUTHORIZATION, format!("{} {key}", scheme.as_str())),
            Kind::RawAuthorization => (AUTHORIZATION, key.to_owned()),
        };
        if let Ok(mut value) = HeaderValue::try_from(text) {
            value.set_sensitive(true);
            headers.append(name, value);
        }
    }
    headers
}

/// The place in a few words.
pub(super) fn place_of(source: &Source) -> &str {
    match &source.0 {
        Kind::Header(name) => name.as_str(),
        Kind::Authorization(scheme) => scheme.as_str(),
        Kind::RawAuthorization => "Authorization without a scheme",
    }
}
