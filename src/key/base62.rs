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

/// Fills `out` with unbiased base62 characters: six random bits each, with values beyond the alphabet
/// discarded.
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
