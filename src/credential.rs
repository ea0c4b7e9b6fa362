//! Where a request carries its key: which headers count, what is ambiguous, what has leaked.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};

use crate::error::{Error, ErrorKind};
use crate::format::Format;
use crate::leak::{find_in_bytes, find_in_uri, leaked_referer};
use crate::refusal::{Ambiguity, Leak, Refusal};
use crate::verified::Scheme;

/// A place in a request where a key may be: a header of its own, or a scheme of
/// `Authorization`. Nothing else authenticates: no query, no path, no cookie, no body.
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
pub struct Source(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Header(HeaderName),
    Authorization(Scheme),
}

/// Headers that mean something else to clients, proxies or servers.
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
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCarrier`] for a header that has a meaning of its own, such as
    /// `Authorization`, `Cookie` or `Host`.
    pub fn header(name: HeaderName) -> Result<Self, Error> {
        if NOT_CARRIERS.contains(&name) {
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

/// The sources that a layer accepts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    headers: Vec<HeaderName>,
    schemes: Vec<Scheme>,
    /// One bit for each length of a carrier's name, which is that of its twins too.
    carrier_lengths: u64,
    /// The same with the other names that are of interest, so that most headers are passed over
    /// by their length alone.
    lengths: u64,
}

/// A credential that was found, still in its header.
pub(crate) struct Presented<'sources, 'request> {
    pub(crate) token: &'request [u8],
    pub(crate) scheme: Scheme,
    /// The header that carries it, unless it is `Authorization`.
    pub(crate) header: Option<&'sources HeaderName>,
}

impl Sources {
    pub(crate) fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        let mut these = Self::default();
        for Source(kind) in sources {
            match kind {
                Kind::Header(name) if !these.headers.contains(&name) => these.headers.push(name),
                Kind::Authorization(scheme) if !these.schemes.contains(&scheme) => {
                    these.schemes.push(scheme);
                }
                _ => {}
            }
        }
        these.carrier_lengths = length_bits(&these.headers);
        these.lengths = these.carrier_lengths
            | length_bits(&[header::AUTHORIZATION, header::CONNECTION, header::REFERER]);
        these
    }

    pub(crate) fn from_header(name: HeaderName) -> Self {
        Self::new([Source(Kind::Header(name))])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.schemes.is_empty()
    }

    /// The headers whose presence changes the response.
    fn carriers(&self) -> impl Iterator<Item = &HeaderName> {
        let authorization = (!self.schemes.is_empty()).then_some(&header::AUTHORIZATION);
        self.headers.iter().chain(authorization)
    }

    /// The carriers as the value of `Vary`, `*` if there are none. A clone of it writes no count
    /// that requests share.
    pub(crate) fn vary(&self) -> HeaderValue {
        let carriers: Vec<&str> = self.carriers().map(HeaderName::as_str).collect();
        match carriers.as_slice() {
            [] => HeaderValue::from_static("*"),
            carriers => HeaderValue::from_static(kept(carriers.join(", "))),
        }
    }

    /// The schemes to challenge with; a header of its own counts as `ApiKey`.
    pub(crate) fn schemes(&self) -> Vec<Scheme> {
        let mut schemes = self.schemes.clone();
        if !self.headers.is_empty() || schemes.is_empty() {
            schemes.push(Scheme::ApiKey);
        }
        schemes.sort_unstable();
        schemes.dedup();
        schemes
    }

    /// Finds the one credential of a request, in one pass over its headers.
    ///
    /// `None` where there is none; a refusal where there is more than one, or where a key stands
    /// in the URI or in `Referer`.
    #[inline]
    pub(crate) fn find<'sources, 'request>(
        &'sources self,
        uri: &Uri,
        headers: &'request HeaderMap,
        format: &Format,
    ) -> Result<Option<Presented<'sources, 'request>>, Refusal> {
        if let Some(key_id) = find_in_uri(uri, format) {
            return Err(Refusal::KeyInUrl(Leak::Uri, key_id));
        }
        self.scan(headers, format)
            .map_err(|refusal| leaked_referer(headers, format).unwrap_or(refusal))
    }

    #[inline]
    fn scan<'sources, 'request>(
        &'sources self,
        headers: &'request HeaderMap,
        format: &Format,
    ) -> Result<Option<Presented<'sources, 'request>>, Refusal> {
        let mut presented = None;
        let mut authorizations = 0;
        for (name, value) in headers {
            if self.lengths & length_bit(name) == 0 {
                continue;
            }
            let found = if let Some(carrier) = self.headers.iter().find(|carrier| *carrier == name)
            {
                Presented {
                    token: value.as_bytes(),
                    scheme: Scheme::ApiKey,
                    header: Some(carrier),
                }
            } else if name == header::AUTHORIZATION && !self.schemes.is_empty() {
                authorizations += 1;
                if authorizations > 1 {
                    return Err(Refusal::Ambiguous(Ambiguity::RepeatedHeader));
                }
                match self.authorization(value.as_bytes()) {
                    Some(found) => found,
                    None => continue,
                }
            } else if name == header::CONNECTION && self.is_named_in(value) {
                return Err(Refusal::Ambiguous(Ambiguity::NamedInConnection));
            } else if name == header::REFERER {
                match find_in_bytes(value.as_bytes(), format) {
                    Some(key_id) => return Err(Refusal::KeyInUrl(Leak::Referer, key_id)),
                    None => continue,
                }
            } else if self.carrier_lengths & length_bit(name) != 0 && self.is_twin(name) {
                return Err(Refusal::Ambiguous(Ambiguity::UnderscoreTwin));
            } else {
                continue;
            };
            if let Some(Presented { header, .. }) = presented.replace(found) {
                let repeated = header.is_some_and(|carrier| carrier == name);
                return Err(Refusal::Ambiguous(if repeated {
                    Ambiguity::RepeatedHeader
                } else {
                    Ambiguity::SeveralCarriers
                }));
            }
        }
        Ok(presented.filter(|presented| !presented.token.is_empty()))
    }

    /// Whether a header's name is a carrier's but for `_` and `-`: some servers and gateways take
    /// the two for one.
    fn is_twin(&self, name: &HeaderName) -> bool {
        self.headers
            .iter()
            .any(|carrier| is_same_but_for_dashes(carrier, name.as_str().as_bytes()))
    }

    /// The token of an enabled scheme (RFC 9110 §11.4: one space after the scheme; whatever else
    /// stands there is part of a token that is no key). Another scheme is another's credential.
    fn authorization<'request>(&self, value: &'request [u8]) -> Option<Presented<'_, 'request>> {
        let end = value
            .iter()
            .position(|&byte| !is_token(byte))
            .unwrap_or(value.len());
        let (presented_scheme, rest) = value.split_at(end);
        let scheme = self
            .schemes
            .iter()
            .find(|scheme| presented_scheme.eq_ignore_ascii_case(scheme.as_str().as_bytes()))?;
        Some(Presented {
            token: rest.strip_prefix(b" ").unwrap_or(rest),
            scheme: *scheme,
            header: None,
        })
    }

    /// Whether `Connection` names a carrier, which asks a proxy to drop it on the way.
    fn is_named_in(&self, connection: &HeaderValue) -> bool {
        connection
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|option| {
                let option = option.trim_ascii();
                self.carriers()
                    .any(|carrier| is_same_but_for_dashes(carrier, option))
            })
    }
}

/// Keeps a text for as long as the process lives, once for all who ask for the same. The sets of
/// carriers are few: the program configures them.
fn kept(text: String) -> &'static str {
    static KEPT: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut texts = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text.as_str()) {
        return known;
    }
    let text = String::leak(text);
    texts.insert(text);
    text
}

fn is_same_but_for_dashes(carrier: &HeaderName, name: &[u8]) -> bool {
    let folded = |byte: u8| match byte {
        b'_' => b'-',
        _ => byte.to_ascii_lowercase(),
    };
    carrier.as_str().len() == name.len()
        && carrier
            .as_str()
            .bytes()
            .map(folded)
            .eq(name.iter().copied().map(folded))
}

fn length_bits(names: &[HeaderName]) -> u64 {
    names.iter().fold(0, |bits, name| bits | length_bit(name))
}

#[inline]
fn length_bit(name: &HeaderName) -> u64 {
    1 << (name.as_str().len() & 63)
}

/// A character of a `token` (RFC 9110 §5.6.2), as a scheme's name is one.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Removes the credential from its header, or hides it there where it is to be forwarded.
pub(crate) fn hide<B>(request: &mut Request<B>, header: &HeaderName, forward: bool) {
    if forward {
        for value in request
            .headers_mut()
            .iter_mut()
            .filter(|(name, _)| *name == header)
        {
            value.1.set_sensitive(true);
        }
    } else {
        request.headers_mut().remove(header);
    }
}
