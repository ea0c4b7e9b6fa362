//! The places in a request that may hold a key.

use http::header::{self, HeaderName};

use super::authorization::is_token;
use crate::error::{Error, ErrorKind};
use crate::middleware::credential::leak::is_url_header;
use crate::verdict::Scheme;

/// A place in a request that may hold a key: a dedicated header, or `Authorization` with a scheme or without
/// one. Nothing else authenticates: no query, no path, no cookie, no body.
///
/// | source | header | challenge |
/// |---|---|---|
/// | [`header`](Self::header) | `x-api-key: acme_…` | `ApiKey` |
/// | [`bearer`](Self::bearer) | `Authorization: Bearer acme_…` | `Bearer` |
/// | [`api_key`](Self::api_key) | `Authorization: ApiKey acme_…` | `ApiKey` |
/// | [`scheme("Token")`](Self::scheme) | `Authorization: Token acme_…` | `Token` |
/// | [`authorization_raw`](Self::authorization_raw) | `Authorization: acme_…` | `ApiKey` |
///
/// A layer may read several. A request uses one of them: two are ambiguous, and refused, even if they hold the same
/// key.
///
/// ```
/// use http::HeaderName;
/// use tower_api_key::Source;
///
/// let sources = [
///     Source::header(HeaderName::from_static("x-api-key"))?,
///     Source::bearer(),
/// ];
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Header(HeaderName),
    Authorization(Scheme),
    /// `Authorization` with the key as the whole value.
    RawAuthorization,
}

/// Headers that have another meaning for clients, proxies or servers.
const NOT_CARRIERS: [HeaderName; 27] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    header::ORIGIN,
    header::RANGE,
    header::REFERER,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
    header::VARY,
    header::VIA,
    header::ACCEPT,
    header::CACHE_CONTROL,
    header::SET_COOKIE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
];

/// The longest name of a scheme, in bytes.
const MAX_SCHEME_LEN: usize = 64;

/// Schemes whose credentials are something else than a token: those that are registered with IANA, and others in use.
const NOT_KEY_SCHEMES: [&str; 15] = [
    "AWS4-HMAC-SHA256",
    "Basic",
    "Concealed",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "Mutual",
    "Negotiate",
    "NTLM",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "vapid",
];

impl Source {
    /// A header whose whole value is the key.
    ///
    /// A name from [`HeaderName::from_static`] costs nothing when it is written to a response's `Vary`.
    /// A name made at run time is reference-counted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCarrier`] for a header that has a meaning of its own, such as
    /// `Authorization`, `Cookie`, `Host`, or `X-Original-URI`.
    pub fn header(name: HeaderName) -> Result<Self, Error> {
        if NOT_CARRIERS.contains(&name) || is_url_header(&name) {
            return Err(ErrorKind::InvalidCarrier.into());
        }
        Ok(Self(Kind::Header(name)))
    }

    /// `Authorization: Bearer …` (RFC 6750 §2.1).
    pub const fn bearer() -> Self {
        Self(Kind::Authorization(Scheme::BEARER))
    }

    /// `Authorization: ApiKey …`.
    pub const fn api_key() -> Self {
        Self(Kind::Authorization(Scheme::API_KEY))
    }

    /// `Authorization` with another scheme, such as `Token`. Letters are equal in both cases (RFC 9110 §11.1). A
    /// challenge has the name as it is given here.
    ///
    /// ```
    /// use tower_api_key::Source;
    ///
    /// assert_eq!(Source::scheme("Token")?, Source::scheme("token")?);
    /// assert_eq!(Source::scheme("bearer")?, Source::bearer());
    /// assert!(Source::scheme("Basic").is_err());
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCarrier`] if the name is not a token (RFC 9110 §5.6.2) of at most 64 characters, or if the
    /// credentials of the scheme are no bearer token: `Basic`, `Digest`, `DPoP`, `Negotiate` and others.
    pub fn scheme(name: &str) -> Result<Self, Error> {
        let is_name = (1..=MAX_SCHEME_LEN).contains(&name.len()) && name.bytes().all(is_token);
        let mut others = NOT_KEY_SCHEMES.iter();
        if !is_name || others.any(|other| name.eq_ignore_ascii_case(other)) {
            return Err(ErrorKind::InvalidCarrier.into());
        }
        Ok(Self(Kind::Authorization(Scheme::named(name))))
    }

    /// `Authorization` without a scheme: the whole value is the key, as in Cargo's protocol for registries.
    ///
    /// Every value of the header is then a credential for the layer, so `Basic …` is an invalid key, also if the
    /// layer is [optional](crate::ApiKeyLayer::optional). The values of schemes that the layer reads too are not: with
    /// [`bearer`](Self::bearer), `Bearer acme_…` holds the key `acme_…`. A key of the ring behind another scheme is
    /// refused as [`KeyMisplaced`](crate::RejectionKind::KeyMisplaced), which tells the client what to send.
    ///
    /// A challenge has to name a scheme, and names `ApiKey`.
    pub const fn authorization_raw() -> Self {
        Self(Kind::RawAuthorization)
    }
}
