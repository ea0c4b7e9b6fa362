//! The credential in `Authorization`.

use crate::verdict::Scheme;

/// The ways in which a layer reads `Authorization`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authorization {
    schemes: Vec<Scheme>,
    /// Whether a value of none of the schemes is a key as a whole.
    raw: bool,
}

/// The credential in a value.
pub(super) struct Credential<'request> {
    pub(super) token: &'request [u8],
    pub(super) scheme: Scheme,
    /// Whether it is the whole value, although that begins with the name of a scheme. A key behind that is in a wrong
    /// place.
    pub(super) has_other_scheme: bool,
}

impl Authorization {
    pub(super) fn read_scheme(&mut self, scheme: Scheme) {
        if !self.schemes.contains(&scheme) {
            self.schemes.push(scheme);
        }
    }

    pub(super) fn read_raw(&mut self) {
        self.raw = true;
    }

    /// Whether any value can be a credential for the layer.
    #[inline]
    pub(super) fn is_read(&self) -> bool {
        self.raw || !self.schemes.is_empty()
    }

    pub(crate) fn schemes(&self) -> &[Scheme] {
        &self.schemes
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }

    /// The places for keys, as they are named to a client.
    pub(super) fn instructions(&self) -> impl Iterator<Item = String> {
        let schemes = self.schemes.iter();
        let schemes = schemes.map(|scheme| format!("Authorization: {}", scheme.as_str()));
        let raw = self
            .raw
            .then(|| "Authorization without a scheme".to_owned());
        schemes.chain(raw)
    }

    /// The token of an enabled scheme (RFC 9110 §11.4: `1*SP` after the scheme). Anything else after the
    /// scheme, even a tab, is part of a token that is no key. A value of another scheme is not for
    /// this layer, unless the whole value is to be the key.
    pub(super) fn credential<'request>(
        &self,
        value: &'request [u8],
    ) -> Option<Credential<'request>> {
        let end = value
            .iter()
            .position(|&byte| !is_token(byte))
            .unwrap_or(value.len());
        let (presented_scheme, rest) = value.split_at(end);
        let mut schemes = self.schemes.iter();
        if let Some(scheme) = schemes.find(|scheme| scheme.is(presented_scheme)) {
            let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
            return Some(Credential {
                token: &rest[spaces..],
                scheme: *scheme,
                has_other_scheme: false,
            });
        }
        self.raw.then_some(Credential {
            token: value,
            // No scheme says it, and a challenge has to name one (RFC 9110 §11.6.1).
            scheme: Scheme::API_KEY,
            has_other_scheme: end > 0 && rest.first() == Some(&b' '),
        })
    }
}

/// A character of a `token` (RFC 9110 §5.6.2), as a scheme's name is one.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
