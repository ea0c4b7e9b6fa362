//! The places in a request that may hold a key.

use http::header::{self, HeaderName};

use crate::error::{Error, ErrorKind};
use crate::middleware::credential::leak::is_url_header;
use crate::verdict::Scheme;

/// A place in a request that may hold a key: a dedicated header, or a scheme of `Authorization`. Nothing
/// else authenticates: no query, no path, no cookie, no body.
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
        Self(Kind::Authorization(Scheme::Bearer))
    }

    /// `Authorization: ApiKey …`.
    pub const fn api_key() -> Self {
        Self(Kind::Authorization(Scheme::ApiKey))
    }
}
