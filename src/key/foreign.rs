//! Keys that were minted elsewhere: what can be one, and the message that is digested.

use super::digest::KeyDigest;

/// The longest key that may be imported or presented, in bytes.
const MAX_IMPORTED_LEN: usize = 512;
/// The longest id of a Laravel Sanctum token, in bytes: that of a UUID.
const MAX_SANCTUM_ID_LEN: usize = 36;
/// Neither a space nor U+0000 can be in a presented key, so no key has a Sanctum token's digest
/// unless it is that token. Without it, the stored hash itself would be a key.
const SANCTUM: &[u8] = b"laravel sanctum\0";

/// Whether a header value can carry it as one credential: visible ASCII without commas.
#[inline]
pub(crate) fn is_importable(presented: &[u8]) -> bool {
    (1..=MAX_IMPORTED_LEN).contains(&presented.len())
        && presented
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && byte != b',')
}

/// Whether a text can be the id before the `|` of a Sanctum token: a number, a UUID or a ULID.
pub(crate) fn is_sanctum_id(id: &[u8]) -> bool {
    (1..=MAX_SANCTUM_ID_LEN).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// The message that a ring digests for a Sanctum token: its id, and the hash that Sanctum keeps. So the
/// id is proven as well as the token, as every byte of any other key is.
pub(crate) fn sanctum_message(id: &[u8], token: &KeyDigest) -> Vec<u8> {
    [SANCTUM, id, b"|", token.as_bytes()].concat()
}

/// The same for presented bytes in the shape `id|token`.
pub(crate) fn presented_sanctum_message(presented: &[u8]) -> Option<Vec<u8>> {
    let end = presented.iter().position(|&byte| byte == b'|')?;
    let (id, token) = (presented.get(..end)?, presented.get(end + 1..)?);
    (is_sanctum_id(id) && !token.is_empty()).then(|| sanctum_message(id, &KeyDigest::sha256(token)))
}
