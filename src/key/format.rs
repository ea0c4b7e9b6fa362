//! The wire format: `{prefix}_{id:12}_{secret:26}{checksum:6}`.
//!
//! Id, secret and checksum are base62 (`0-9A-Za-z`). The id holds 71 bits and is public. The
//! secret holds 154.8 bits, drawn without bias from the operating system's generator. The
//! checksum is the CRC-32 (IEEE) of everything before it. It filters typos and serves secret scanners,
//! and is no security.

use std::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use memchr::memmem::Finder;
use zeroize::Zeroizing;

use super::base62::{ALPHABET, VALUES, fill_base62, is_base62, system_generator};
use super::id::{ID_LEN, KeyId};
use super::prefix::KeyPrefix;
use super::secret::SecretKey;
use crate::error::Error;

const SECRET_LEN: usize = 26;
const CHECKSUM_LEN: usize = 6;
/// `_`, the id, `_`, the secret and the checksum.
pub(crate) const SUFFIX_LEN: usize = 1 + ID_LEN + 1 + SECRET_LEN + CHECKSUM_LEN;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// The format of one ring's keys.
#[derive(Clone)]
pub(crate) struct Format {
    prefix: KeyPrefix,
    /// The prefix with its `_`, as every key of the ring begins.
    start: Box<str>,
    finder: Finder<'static>,
}

impl Format {
    pub(crate) fn new(prefix: KeyPrefix) -> Self {
        let start = format!("{prefix}_").into_boxed_str();
        let finder = Finder::new(start.as_bytes()).into_owned();
        Self {
            prefix,
            start,
            finder,
        }
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
        let id = KeyId::draw(&mut generator)?;
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

    /// Whether these bytes have the length and the start of a key of this prefix, and may be one.
    #[inline]
    pub(crate) fn begins_as_key(&self, presented: &[u8]) -> bool {
        presented.len() == self.key_len() && presented.starts_with(self.start.as_bytes())
    }

    /// Whether these bytes are meant to be a key of this prefix, whatever their checksum.
    pub(crate) fn is_shaped(&self, presented: &[u8]) -> bool {
        self.begins_as_key(presented)
            && split_id(&presented[self.start.len()..])
                .is_some_and(|(id, secret)| is_base62(id) && is_base62(secret))
    }

    /// The id of a well-formed key of this prefix with a right checksum. `None` for any other bytes.
    pub(crate) fn id_of(&self, presented: &[u8]) -> Option<KeyId> {
        if !self.begins_as_key(presented) {
            return None;
        }
        let (id, secret) = split_id(&presented[self.start.len()..])?;
        let (body, presented_checksum) = presented.split_last_chunk()?;
        let is_right =
            is_base62(secret) && decode(*presented_checksum) == u64::from(CRC.checksum(body));
        if is_right { KeyId::of(*id) } else { None }
    }

    /// The keys of this format in a text, each with its id: at any position, with any text glued to
    /// them. The checksum must be right, which excludes texts that only look like a key.
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

/// Splits the text after the prefix into the id and the secret with its checksum.
#[inline]
fn split_id(rest: &[u8]) -> Option<(&[u8; ID_LEN], &[u8; SECRET_LEN + CHECKSUM_LEN])> {
    let (id, rest) = rest.split_first_chunk::<ID_LEN>()?;
    let secret = rest.strip_prefix(b"_")?.first_chunk()?;
    Some((id, secret))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn r28_a_failing_generator_mints_no_key() {
        let format = Format::new("acme".parse().unwrap());
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
        let format = Format::new("acme".parse().unwrap());
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
