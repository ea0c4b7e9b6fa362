//! Digests of presented keys, and the only constant-time compare.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, ErrorKind};
use crate::support::hex::hex_byte;

/// The digest of a key, which a store keeps: 32 bytes, SHA-256 of the exact presented bytes, or
/// HMAC-SHA-256 of them under a [`Pepper`](crate::Pepper).
///
/// A prefix of at most 9 characters makes a minted key of at most 55 bytes, which SHA-256 takes
/// in a single compression. Two digests are compared in constant time. `Debug` shows nothing,
/// because the digest of a weak imported key gives that key away.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The SHA-256 of these exact bytes.
    #[inline]
    pub fn sha256(presented: &[u8]) -> Self {
        match single_block(presented) {
            Some(block) => Self(compress(&block)),
            None => Self(Sha256::digest(presented).into()),
        }
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for a store to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[inline]
    fn words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.0.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }
}

impl PartialEq for KeyDigest {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let mut difference = 0;
        for (ours, theirs) in self.words().into_iter().zip(other.words()) {
            difference |= ours ^ theirs;
        }
        difference.ct_eq(&0).into()
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    /// A digest is uniform already: its first eight bytes are as good a hash as any.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.words()[0]);
    }
}

impl FromStr for KeyDigest {
    type Err = Error;

    /// Reads 64 hexadecimal digits, as `sha256sum` prints them.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(ErrorKind::InvalidDigest.into());
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = hex_byte(*pair).ok_or(ErrorKind::InvalidDigest)?;
        }
        Ok(Self(bytes))
    }
}

/// A message of at most 55 bytes with its padding (FIPS 180-4 §5.1.1), which needs no hasher that
/// buffers.
///
/// Each quarter is made in registers and written at once, as the hash reads it: a read of bytes that two writes have made
/// waits until both are through to the cache.
#[inline]
fn single_block(message: &[u8]) -> Option<[[u8; 16]; 4]> {
    const NONE: [u8; 16] = [0; 16];
    if message.len() > 55 {
        return None;
    }
    let (whole, rest) = message.as_chunks::<16>();
    let last = if let Some(last) = message.last_chunk() {
        *last
    } else {
        let mut last = NONE;
        last[16 - rest.len()..].copy_from_slice(rest);
        last
    };
    // The rest, one bit, and zeros. The bytes before the rest are shifted out.
    let end = (u128::from_be_bytes(last) << 8 | 0x80) << (8 * (15 - rest.len()));
    let bits = 8 * message.len() as u128;
    Some(match whole {
        [] => [end.to_be_bytes(), NONE, NONE, bits.to_be_bytes()],
        [first] => [*first, end.to_be_bytes(), NONE, bits.to_be_bytes()],
        [first, second] => [*first, *second, end.to_be_bytes(), bits.to_be_bytes()],
        [first, second, third, ..] => [*first, *second, *third, (end | bits).to_be_bytes()],
    })
}

/// The SHA-256 of one padded block, from the initial value of FIPS 180-4 §5.3.3.
#[inline]
fn compress(block: &[[u8; 16]; 4]) -> [u8; 32] {
    let mut state = [
        0x6a09_e667_u32,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    sha2::block_api::compress256(&mut state, block.as_flattened().as_chunks().0);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

crate::parsed_text!(KeyDigest);

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for KeyDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write as _;

        let mut text = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        serializer.serialize_str(&text)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for KeyDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
