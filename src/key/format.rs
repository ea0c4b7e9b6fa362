//! The wire format: `{prefix}_{id:12}_{secret:26}{checksum:6}`.
//!
//! Id, secret and checksum are base62 (`0-9A-Za-z`). The id holds 71 bits and is public. The
//! secret holds 154.8 bits, drawn without bias from the operating system's generator. The
//! checksum is the CRC-32 (IEEE) of everything before it; it filters typos and serves secret
//! scanners, and is no security.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use memchr::memmem::Finder;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::key::secret::SecretKey;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub(crate) const ID_LEN: usize = 12;
const SECRET_LEN: usize = 26;
const CHECKSUM_LEN: usize = 6;
/// `_`, the id, `_`, the secret and the checksum.
pub(crate) const SUFFIX_LEN: usize = 1 + ID_LEN + 1 + SECRET_LEN + CHECKSUM_LEN;
pub(crate) const MAX_PREFIX_LEN: usize = 20;

/// The value of each base62 character.
static VALUES: [u8; 256] = {
    let mut values = [0; 256];
    let mut value = 0;
    while value < 62 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// The public, loggable id inside every minted key: twelve base62 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// The id that sorts before all others, but for itself.
    pub(crate) const FIRST: Self = Self([ALPHABET[0]; ID_LEN]);

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only base62 is ever stored, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id that `number` writes in base62; greater numbers are later ids.
    #[cfg(feature = "testing")]
    pub(crate) const fn numbered(mut number: u64) -> Self {
        let mut id = [ALPHABET[0]; ID_LEN];
        let mut place = ID_LEN;
        while place > 0 {
            place -= 1;
            id[place] = ALPHABET[(number % 62) as usize];
            number /= 62;
        }
        Self(id)
    }

    /// The id that 71 bits of a hash make, where it shall be the same every time.
    #[cfg(feature = "file")]
    pub(crate) fn from_hash(hash: [u8; 16]) -> Self {
        let mut rest = u128::from_be_bytes(hash);
        let mut id = [ALPHABET[0]; ID_LEN];
        for character in &mut id {
            // The remainder is below 62, so the default is never taken.
            let value = usize::try_from(rest % 62).unwrap_or_default();
            *character = ALPHABET[value];
            rest /= 62;
        }
        Self(id)
    }

    /// Draws an id for a record whose key does not name one.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut id = [0; ID_LEN];
        fill_base62(&mut id, system_generator)?;
        Ok(Self(id))
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match <[u8; ID_LEN]>::try_from(text.as_bytes()) {
            Ok(id) if is_base62(&id) => Ok(Self(id)),
            _ => Err(ErrorKind::InvalidKeyId.into()),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.as_str())
    }
}

#[cfg(feature = "serde")]
crate::serde_text!(KeyId);

/// The prefix of a ring's keys: `[a-z][a-z0-9_]{0,19}`, not ending in `_`.
///
/// ```
/// use tower_api_key::KeyPrefix;
///
/// let prefix: KeyPrefix = "acme_live".parse()?;
/// assert_eq!(prefix.as_str(), "acme_live");
/// assert!("Acme".parse::<KeyPrefix>().is_err());
/// # Ok::<(), tower_api_key::Error>(())
/// ```
// Within a record: a text on the heap would be one more for each key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix {
    text: [u8; MAX_PREFIX_LEN],
    len: NonZeroU8,
}

impl KeyPrefix {
    /// The prefix as text, without the `_` that follows it in a key.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.len.get()));
        // Only parsed text is ever stored, so neither fallback is taken.
        std::str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    }
}

impl FromStr for KeyPrefix {
    type Err = Error;

    fn from_str(prefix: &str) -> Result<Self, Error> {
        let bytes = prefix.as_bytes();
        let valid = bytes.len() <= MAX_PREFIX_LEN
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().is_some_and(|&last| last != b'_')
            && bytes
                .iter()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let len = u8::try_from(bytes.len()).ok().and_then(NonZeroU8::new);
        let (true, Some(len)) = (valid, len) else {
            return Err(ErrorKind::InvalidPrefix.into());
        };
        let mut text = [0; MAX_PREFIX_LEN];
        text[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { text, len })
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPrefix({})", self.as_str())
    }
}

#[cfg(feature = "serde")]
crate::serde_text!(KeyPrefix);

/// The format of one ring's keys.
#[derive(Clone)]
pub(crate) struct Format {
    prefix: KeyPrefix,
    /// The prefix with its `_`, as every key of the ring begins.
    start: Box<str>,
    finder: Finder<'static>,
}

impl Format {
    /// # Errors
    ///
    /// [`ErrorKind::InvalidPrefix`] outside `[a-z][a-z0-9_]{0,19}`, or with a `_` at the end.
    pub(crate) fn new(prefix: &str) -> Result<Self, Error> {
        let prefix: KeyPrefix = prefix.parse()?;
        let start = format!("{prefix}_").into_boxed_str();
        let finder = Finder::new(start.as_bytes()).into_owned();
        Ok(Self {
            prefix,
            start,
            finder,
        })
    }

    pub(crate) fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// The length of every key of this format, in bytes.
    #[inline]
    pub(crate) fn key_len(&self) -> usize {
        self.start.len() - 1 + SUFFIX_LEN
    }

    /// Mints a key from the operating system's generator.
    pub(crate) fn mint(&self) -> Result<(KeyId, SecretKey), Error> {
        self.mint_from(system_generator)
    }

    fn mint_from(
        &self,
        mut generator: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<(KeyId, SecretKey), Error> {
        let mut id = [0; ID_LEN];
        fill_base62(&mut id, &mut generator)?;
        let id = KeyId(id);
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        fill_base62(&mut secret[..], &mut generator)?;

        // Filled within its capacity, so that no copy of the secret is left in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(self.key_len()));
        text.push_str(&self.start);
        text.push_str(id.as_str());
        let public_len = text.len();
        text.push('_');
        for &character in &secret[..] {
            text.push(char::from(character));
        }
        for character in checksum(text.as_bytes()) {
            text.push(char::from(character));
        }
        Ok((id, SecretKey::new(text, public_len)))
    }

    /// Whether these are the bytes of a well-formed key of this prefix with a right checksum.
    #[inline]
    pub(crate) fn is_key(&self, presented: &[u8]) -> bool {
        if presented.len() != self.key_len() || !presented.starts_with(self.start.as_bytes()) {
            return false;
        }
        let Some((id, secret)) = split_id(&presented[self.start.len()..]) else {
            return false;
        };
        let Some((body, presented_checksum)) = presented.split_last_chunk() else {
            return false;
        };
        is_base62(id) & is_base62(secret)
            && decode(*presented_checksum) == u64::from(CRC.checksum(body))
    }

    /// Whether these bytes are meant to be a key of this prefix, whatever their checksum.
    pub(crate) fn is_shaped(&self, presented: &[u8]) -> bool {
        presented.len() == self.key_len()
            && presented
                .strip_prefix(self.start.as_bytes())
                .and_then(split_id)
                .is_some_and(|(id, secret)| is_base62(id) && is_base62(secret))
    }

    /// The id that a well-formed key names.
    pub(crate) fn id_of(&self, presented: &[u8]) -> Option<KeyId> {
        let (id, _) = split_id(presented.get(self.start.len()..)?)?;
        self.is_key(presented).then_some(KeyId(*id))
    }

    /// The keys of this format in a text, each with its id: wherever they stand, whatever is glued
    /// to them. The checksum must be right, which keeps what only looks like a key out.
    pub(crate) fn keys_in<'text>(
        &self,
        text: &'text [u8],
    ) -> impl Iterator<Item = (KeyId, &'text [u8])> {
        let mut from = 0;
        std::iter::from_fn(move || {
            loop {
                let at = from + self.finder.find(text.get(from..)?)?;
                let candidate = text.get(at..at + self.key_len())?;
                // One step at a time: a prefix such as `a_a` begins again within a false start.
                from = at + 1;
                if let Some(id) = self.id_of(candidate) {
                    return Some((id, candidate));
                }
            }
        })
    }

    /// The regular expression for the places in which [`keys_in`](Self::keys_in) finds keys. It
    /// has no anchor, because a key may be glued to a letter or `_` on either side, and the length
    /// of a key is fixed. It is the same in the syntaxes of RE2, Rust, PCRE, Python and POSIX
    /// (ERE), and has no group that a scanner would take for the secret.
    pub(crate) fn scanner_pattern(&self) -> String {
        format!(
            "{}[0-9A-Za-z]{{{ID_LEN}}}_[0-9A-Za-z]{{{}}}",
            self.start,
            SECRET_LEN + CHECKSUM_LEN
        )
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Format")
            .field("prefix", &self.prefix())
            .finish()
    }
}

/// Splits what follows the prefix into the id and the secret with its checksum.
#[inline]
fn split_id(rest: &[u8]) -> Option<(&[u8; ID_LEN], &[u8; SECRET_LEN + CHECKSUM_LEN])> {
    let (id, rest) = rest.split_first_chunk::<ID_LEN>()?;
    let secret = rest.strip_prefix(b"_")?.first_chunk()?;
    Some((id, secret))
}

/// Checks many bytes at a time: the length is known to the compiler, and nothing ends early.
#[inline]
fn is_base62<const N: usize>(bytes: &[u8; N]) -> bool {
    let mut others = 0;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0') < 10;
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        others |= u8::from(!(digit | letter));
    }
    others == 0
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut value = CRC.checksum(body);
    let mut text = [b'0'; CHECKSUM_LEN];
    for digit in text.iter_mut().rev() {
        *digit = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
    text
}

/// The number that six base62 characters write. Each number has one text of six characters, so
/// that comparing the numbers compares the texts.
#[inline]
fn decode(text: [u8; CHECKSUM_LEN]) -> u64 {
    text.iter().fold(0, |value, &character| {
        value * 62 + u64::from(VALUES[usize::from(character)])
    })
}

fn system_generator(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::with_source(ErrorKind::Generator, error))
}

/// Fills `out` with unbiased base62 characters: six random bits each, and what is beyond the
/// alphabet thrown away.
fn fill_base62(
    out: &mut [u8],
    mut generator: impl FnMut(&mut [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut random = Zeroizing::new([0; 64]);
    let mut filled = 0;
    while filled < out.len() {
        generator(&mut random[..])?;
        for byte in *random {
            if let (Some(&character), Some(slot)) =
                (ALPHABET.get(usize::from(byte & 0x3f)), out.get_mut(filled))
            {
                *slot = character;
                filled += 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r28_a_failing_generator_mints_no_key() {
        let format = Format::new("acme").unwrap();
        for failing_call in 0..2 {
            let mut calls = 0;
            let minted = format.mint_from(|bytes| {
                calls += 1;
                if calls > failing_call {
                    return Err(ErrorKind::Generator.into());
                }
                bytes.fill(0);
                Ok(())
            });
            assert_eq!(minted.unwrap_err().kind(), ErrorKind::Generator);
        }
    }

    #[test]
    fn r28_characters_beyond_the_alphabet_are_drawn_again() {
        let format = Format::new("acme").unwrap();
        let mut next = 0_u8;
        let (id, secret) = format
            .mint_from(|bytes| {
                for byte in bytes {
                    *byte = next;
                    next = next.wrapping_add(1);
                }
                Ok(())
            })
            .unwrap();
        // 64 values a call, 62 and 63 thrown away: the secret starts anew at the alphabet's start.
        assert_eq!(id.as_str(), "0123456789AB");
        assert!(
            secret
                .expose()
                .starts_with("acme_0123456789AB_0123456789ABCDEFGHIJKLMNOP")
        );
        let mut only_beyond = true;
        let mut out = [0; 4];
        fill_base62(&mut out, |bytes| {
            bytes.fill(if only_beyond { 0xff } else { 61 });
            only_beyond = false;
            Ok(())
        })
        .unwrap();
        assert_eq!(&out, b"zzzz");
    }

    #[test]
    fn checksum_is_the_crc32_of_everything_before_it() {
        // CRC-32 of "123456789" is the check value 0xCBF43926 of the CRC catalogue.
        assert_eq!(CRC.checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(decode(checksum(b"123456789")), 0xcbf4_3926);
    }
}
