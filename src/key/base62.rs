//! Texts in base62, and the generator that draws them: the only user of randomness.

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

pub(super) const ALPHABET: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The value of each base62 character.
pub(super) static VALUES: [u8; 256] = {
    let mut values = [0; 256];
    let mut value = 0;
    while value < 62 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Checks many bytes at a time: the length is known to the compiler, and nothing ends early.
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
pub(super) fn is_base62<const N: usize>(bytes: &[u8; N]) -> bool {
    let mut others = 0;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0') < 10;
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        others |= u8::from(!(digit | letter));
    }
    others == 0
}

pub(super) fn system_generator(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::with_source(ErrorKind::Generator, error))
}

/// Fills `out` with unbiased base62 characters: six random bits each, and what is beyond the
/// alphabet thrown away.
pub(super) fn fill_base62(
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
