//! The only holder of a plaintext key.

use std::fmt;

use zeroize::Zeroizing;

/// A plaintext key, fresh from the ring that minted it.
///
/// There is one way to the text, [`expose`](Self::expose): no `Clone`, no `Display`, no
/// `Serialize`, no comparison. `Debug` shows the prefix and the id, which are public. The text
/// is overwritten with zeros on drop.
///
/// ```compile_fail
/// fn copy(secret: &tower_api_key::SecretKey) -> tower_api_key::SecretKey {
///     secret.clone()
/// }
/// ```
pub struct SecretKey {
    text: Zeroizing<String>,
    public_len: usize,
}

impl SecretKey {
    /// `public_len` bytes at the start of `text` are the prefix and the id.
    pub(crate) fn new(text: Zeroizing<String>, public_len: usize) -> Self {
        Self { text, public_len }
    }

    /// The text that a client presented, of which nothing is public.
    pub(crate) fn presented(text: &str) -> Self {
        Self::new(Zeroizing::new(text.to_owned()), 0)
    }

    /// The plaintext, to be shown once to the holder.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = self.text.get(..self.public_len).unwrap_or_default();
        match public {
            "" => f.write_str("SecretKey(…)"),
            _ => write!(f, "SecretKey({public}_…)"),
        }
    }
}
