//! Where a request carries its key: which headers count, and what is ambiguous.

mod authorization;
pub(crate) mod leak;
pub(crate) mod source;
mod strays;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::key::KeyId;
use crate::key::format::Format;
use crate::middleware::credential::authorization::Authorization;
use crate::middleware::credential::leak::{
    URL_HEADERS, holds_key, is_url_header, may_hold_key, target_parts,
};
use crate::middleware::credential::source::{Kind, Source};
use crate::middleware::head::RequestHead;
use crate::middleware::kept_values::kept_values;
use crate::verdict::Scheme;
use crate::verdict::{Ambiguity, KeyPlace, Refusal};

/// The sources that a layer accepts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    headers: Vec<HeaderName>,
    authorization: Authorization,
    /// The [bits](name_bit) of the carriers' names, which are those of their twins too.
    carrier_bits: u64,
    /// The same with the other names that are of interest, so that most headers are passed over by their length and
    /// their last letter.
    bits: u64,
}

/// A credential that was found, still in its header.
pub(crate) struct Presented<'sources, 'request> {
    pub(crate) token: &'request [u8],
    pub(crate) scheme: Scheme,
    /// The header that carries it, unless it is `Authorization`.
    pub(crate) header: Option<&'sources HeaderName>,
}

/// A request has more than one credential, or a key may be in a wrong place: it needs a [closer look](Sources::look_closer).
pub(crate) struct Unclear;

/// The credential that a request presents, and the keys in wrong places.
pub(crate) struct Sighting<'sources, 'request> {
    pub(crate) credential: Result<Option<Presented<'sources, 'request>>, Refusal>,
    /// Keys that do not refuse the request, or are not the one that it is refused for.
    pub(crate) reported: Vec<(KeyPlace, KeyId)>,
}

impl Sources {
    pub(crate) fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        let mut these = Self::default();
        for Source(kind) in sources {
            match kind {
                Kind::Header(name) if !these.headers.contains(&name) => these.headers.push(name),
                Kind::Header(_) => {}
                Kind::Authorization(scheme) => these.authorization.read_scheme(scheme),
                Kind::RawAuthorization => these.authorization.read_raw(),
            }
        }
        let others = [header::AUTHORIZATION, header::CONNECTION, header::REFERER];
        these.carrier_bits = name_bits(these.headers.iter().map(HeaderName::as_str));
        these.bits = these.carrier_bits
            | name_bits(others.iter().map(HeaderName::as_str))
            | name_bits(URL_HEADERS);
        these
    }

    pub(crate) fn from_header(name: HeaderName) -> Self {
        Self::new([Source(Kind::Header(name))])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty() && !self.authorization.is_read()
    }

    /// The headers whose presence changes the response.
    fn carriers(&self) -> impl Iterator<Item = &HeaderName> {
        let is_read = self.authorization.is_read();
        let authorization = is_read.then_some(&header::AUTHORIZATION);
        self.headers.iter().chain(authorization)
    }

    /// The headers that hold a key alone, and what is read of `Authorization`.
    #[cfg(feature = "openapi")]
    pub(crate) fn kinds(&self) -> (&[HeaderName], &Authorization) {
        (&self.headers, &self.authorization)
    }

    /// The places for keys, as they are named to a client.
    pub(crate) fn instruction(&self) -> String {
        let headers = self.headers.iter().map(|name| name.as_str().to_owned());
        let places: Vec<String> = headers.chain(self.authorization.instructions()).collect();
        if places.is_empty() {
            return "a header".to_owned();
        }
        places.join(" or ")
    }

    /// Every credential of a request, with its carrier.
    #[cold]
    pub(crate) fn presented(&self, headers: &HeaderMap) -> Vec<(&HeaderName, Zeroizing<Vec<u8>>)> {
        let mut presented = Vec::new();
        for carrier in self.carriers() {
            for value in headers.get_all(carrier) {
                let value = value.as_bytes();
                let token = if carrier == header::AUTHORIZATION {
                    let credential = self.authorization.credential(value);
                    credential.map(|credential| credential.token)
                } else {
                    Some(value)
                };
                if let Some(token) = token {
                    presented.push((carrier, Zeroizing::new(token.to_vec())));
                }
            }
        }
        presented
    }

    /// The carriers as the value of `Vary`, `*` if there are none. A clone does not write a reference
    /// count that requests share.
    pub(crate) fn vary(&self) -> &'static HeaderValue {
        static ANY: HeaderValue = HeaderValue::from_static("*");
        let carriers: Vec<&str> = self.carriers().map(HeaderName::as_str).collect();
        if carriers.is_empty() {
            return &ANY;
        }
        let kept = kept_values(vec![carriers.join(", ")]);
        kept.first().unwrap_or(&ANY)
    }

    /// The schemes to challenge with. A key that stands alone, in a dedicated header or in `Authorization`,
    /// counts as `ApiKey`.
    pub(crate) fn schemes(&self) -> Vec<Scheme> {
        let mut schemes = self.authorization.schemes().to_vec();
        let stands_alone = !self.headers.is_empty() || self.authorization.is_raw();
        if (stands_alone || schemes.is_empty()) && !schemes.contains(&Scheme::API_KEY) {
            schemes.push(Scheme::API_KEY);
        }
        schemes.sort_unstable_by_key(|scheme| scheme.as_str());
        schemes
    }

    /// The one credential of a request, if there is one, in one pass over its headers.
    #[inline]
    pub(crate) fn find<'sources, 'request>(
        &'sources self,
        request: &'request impl RequestHead,
        format: &Format,
    ) -> Result<Option<Presented<'sources, 'request>>, Unclear> {
        let mut stray = may_hold_key(request, format)
            && target_parts(request).any(|part| holds_key(part, format));
        match self.scan(request.headers(), format, &mut stray) {
            Ok(credential) if !stray => Ok(credential),
            _ => Err(Unclear),
        }
    }

    /// The same with the keys in wrong places.
    #[cold]
    pub(crate) fn look_closer<'sources, 'request>(
        &'sources self,
        request: &'request impl RequestHead,
        format: &Format,
    ) -> Sighting<'sources, 'request> {
        let credential = self.scan(request.headers(), format, &mut false);
        self.with_strays(request, format, credential.map_err(Refusal::Ambiguous))
    }

    /// `None` if there is no credential. An error if there is more than one. `stray` becomes true
    /// if a key is in a header that holds a URL, or in `Authorization` otherwise than presented.
    #[allow(
        clippy::inline_always,
        reason = "its result stays in registers, and its second caller is cold"
    )]
    #[inline(always)]
    fn scan<'sources, 'request>(
        &'sources self,
        headers: &'request HeaderMap,
        format: &Format,
        stray: &mut bool,
    ) -> Result<Option<Presented<'sources, 'request>>, Ambiguity> {
        let mut presented = None;
        let mut authorizations = 0;
        for (name, value) in headers {
            if self.bits & name_bit(name.as_str()) == 0 {
                continue;
            }
            let found = if let Some(carrier) = self.headers.iter().find(|carrier| *carrier == name)
            {
                Presented {
                    token: value.as_bytes(),
                    scheme: Scheme::API_KEY,
                    header: Some(carrier),
                }
            } else if name == header::AUTHORIZATION {
                authorizations += usize::from(self.authorization.is_read());
                if authorizations > 1 {
                    return Err(Ambiguity::RepeatedHeader);
                }
                let Some(found) = self.authorization.credential(value.as_bytes()) else {
                    *stray |= holds_key(value.as_bytes(), format);
                    continue;
                };
                if found.has_other_scheme {
                    *stray |= holds_key(value.as_bytes(), format);
                }
                Presented {
                    token: found.token,
                    scheme: found.scheme,
                    header: None,
                }
            } else if name == header::CONNECTION && self.is_named_in(value) {
                return Err(Ambiguity::NamedInConnection);
            } else if self.carrier_bits & name_bit(name.as_str()) != 0 && self.is_twin(name) {
                return Err(Ambiguity::UnderscoreTwin);
            } else {
                // Most values are too short for a key, which is known before the name is read.
                if value.len() >= format.key_len()
                    && (name == header::REFERER || is_url_header(name))
                {
                    *stray |= holds_key(value.as_bytes(), format);
                }
                continue;
            };
            if let Some(Presented { header, .. }) = presented.replace(found) {
                let repeated = header.is_some_and(|carrier| carrier == name);
                return Err(if repeated {
                    Ambiguity::RepeatedHeader
                } else {
                    Ambiguity::SeveralCarriers
                });
            }
        }
        Ok(presented.filter(|presented| !presented.token.is_empty()))
    }

    /// Whether a header's name equals a carrier's except for `_` and `-`, which some servers and
    /// gateways treat as the same.
    fn is_twin(&self, name: &HeaderName) -> bool {
        self.headers
            .iter()
            .any(|carrier| is_same_but_for_dashes(carrier, name.as_str().as_bytes()))
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

/// The bits of these names and of their twins.
fn name_bits<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    let twins = names.into_iter().flat_map(|name| {
        let dashes = name.replace('_', "-");
        let underscores = name.replace('-', "_");
        [dashes, underscores]
    });
    twins.fold(0, |bits, name| bits | name_bit(&name))
}

/// One of 64 bits, by the length and the last letter of a name, in which those that begin with `x-` differ.
#[inline]
fn name_bit(name: &str) -> u64 {
    match name.as_bytes() {
        [.., last] => 1 << ((name.len() + 2 * usize::from(*last)) & 63),
        [] => 0,
    }
}

/// Removes the credential from its header, or hides it there if it is to be forwarded.
pub(crate) fn hide(request: &mut impl RequestHead, header: &HeaderName, forward: bool) {
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
