//! In which form an old key is known. It is said, never guessed: 64 hexadecimal digits are a hash to
//! one system and the key itself to another.

use clap::ValueEnum;
use tower_api_key::{KeyDigest, OldKey};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The key as clients present it
    Plaintext,
    /// The SHA-256 of the key, in hexadecimal
    Sha256Hex,
    /// The same in base64, with + and /
    Sha256Base64,
    /// The same in base64url, with - and _
    Sha256Base64url,
    /// The column token of Laravel Sanctum, and in id its id
    Sanctum,
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What people try, and what to do instead.
const IMPOSSIBLE: &str = "this hash cannot be converted to SHA-256; let the service look up such \
                          keys when they are presented (KeyRingBuilder::unknown_keys; see the \
                          guide on moving)";

impl Kind {
    /// The kind of this name; the reason does not repeat it.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if let Ok(kind) = Self::from_str(name, false) {
            return Ok(kind);
        }
        let name = name.to_ascii_lowercase();
        let foreign = [
            "sha512", "sha-512", "sha1", "md5", "bcrypt", "argon2", "pbkdf2", "scrypt",
        ];
        if foreign.iter().any(|foreign| name.starts_with(foreign)) {
            return Err(IMPOSSIBLE.to_owned());
        }
        Err(
            "unknown kind; write plaintext, sha256-hex, sha256-base64, sha256-base64url or sanctum"
                .to_owned(),
        )
    }

    pub(super) fn key(self, text: String, id: Option<String>) -> Result<OldKey, String> {
        if id.is_some() && self != Self::Sanctum {
            return Err("only a key of the kind sanctum has an id here; remove the id".to_owned());
        }
        if is_quoted(&text) {
            return Err(
                "the key is in quotes, which would become part of it; remove them".to_owned(),
            );
        }
        if text.trim() != text || text.starts_with('\u{feff}') {
            return Err("there is white space around the key; remove it".to_owned());
        }
        if let Some(scheme) = foreign_scheme(&text) {
            return Err(format!("this is a hash of {scheme}; {IMPOSSIBLE}"));
        }
        Ok(match self {
            Self::Plaintext => OldKey::plaintext(text),
            Self::Sha256Hex => OldKey::sha256(hexadecimal(&text)?),
            Self::Sha256Base64 => OldKey::sha256(base64(&text, STANDARD, "base64")?),
            Self::Sha256Base64url => OldKey::sha256(base64(&text, URL, "base64url")?),
            Self::Sanctum => {
                let id = id.ok_or(
                    "a sanctum token needs the id of its row, because clients send it with \
                         the token",
                )?;
                OldKey::sanctum(id, hexadecimal(&text)?)
            }
        })
    }
}

/// Whether a text is in quotes, as shells and spreadsheets put them around it.
pub(super) fn is_quoted(text: &str) -> bool {
    ['"', '\'', '`']
        .into_iter()
        .any(|quote| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote))
}

/// What made a text in the form of a password hash, which is no key.
fn foreign_scheme(text: &str) -> Option<&'static str> {
    [
        ("$2a$", "bcrypt"),
        ("$2b$", "bcrypt"),
        ("$2y$", "bcrypt"),
        ("$argon2", "Argon2"),
        ("$pbkdf2", "PBKDF2"),
        ("pbkdf2_sha256$", "PBKDF2"),
        ("pbkdf2:sha", "PBKDF2"),
        ("$scrypt$", "scrypt"),
        ("scrypt:", "scrypt"),
        ("$6$", "SHA-512 crypt"),
        ("sha512$$", "SHA-512"),
    ]
    .into_iter()
    .find_map(|(start, scheme)| text.starts_with(start).then_some(scheme))
}

fn hexadecimal(text: &str) -> Result<KeyDigest, String> {
    if text.len() == 128 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!(
            "128 hexadecimal digits are not a SHA-256; {IMPOSSIBLE}"
        ));
    }
    text.parse()
        .map_err(|_| "expected the 64 hexadecimal digits of a SHA-256".to_owned())
}

/// 32 bytes in base64 (RFC 4648 §4, §5), with or without the `=` at its end.
fn base64(text: &str, alphabet: &[u8; 64], name: &str) -> Result<KeyDigest, String> {
    let wrong = || format!("expected the 43 characters of a SHA-256 in {name}, and at most one =");
    let text = text.strip_suffix('=').unwrap_or(text);
    if text.len() != 43 {
        return Err(wrong());
    }
    let (mut bytes, mut filled) = ([0_u8; 32], 0);
    let (mut pending, mut bits) = (0_u32, 0);
    for character in text.bytes() {
        let value = alphabet.iter().position(|&it| it == character);
        let value = value
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(wrong)?;
        pending = pending << 6 | value;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            if let (Some(place), Ok(byte)) = (bytes.get_mut(filled), u8::try_from(pending >> bits))
            {
                *place = byte;
            }
            pending &= (1 << bits) - 1;
            filled += 1;
        }
    }
    // What is left over is zero in the one text that encodes these bytes.
    if pending != 0 {
        return Err(wrong());
    }
    Ok(KeyDigest::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_in_the_alphabet_that_is_named() {
        let digest = KeyDigest::sha256(b"a-key");
        let text = encode(digest.as_bytes(), STANDARD);
        assert_eq!(base64(&text, STANDARD, "base64"), Ok(digest));
        assert_eq!(base64(&format!("{text}="), STANDARD, "base64"), Ok(digest));
        let every = [0xff; 32];
        let url = encode(&every, URL);
        assert_eq!(
            base64(&url, URL, "base64url"),
            Ok(KeyDigest::from_bytes(every))
        );
        assert!(base64(&url, STANDARD, "base64").is_err());
        assert!(base64(&encode(&every, STANDARD), URL, "base64url").is_err());
        // One text for each digest: the last character has two bits that count for nothing.
        let zero = "A".repeat(43);
        assert!(base64(&zero, STANDARD, "base64").is_ok());
        for wrong in [
            "A".repeat(42) + "B",
            "A".repeat(42),
            "A".repeat(44),
            zero.clone() + "==",
        ] {
            assert!(base64(&wrong, STANDARD, "base64").is_err(), "{wrong}");
        }
    }

    fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
        let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
        (0..43)
            .map(|at| (0..6).fold(0, |value, next| value << 1 | bit(at * 6 + next)))
            .map(|value| char::from(alphabet[usize::from(value)]))
            .collect()
    }

    #[test]
    fn a_hash_that_is_no_sha256_says_what_to_do() {
        for name in [
            "sha512",
            "SHA-512",
            "bcrypt",
            "argon2id",
            "pbkdf2_sha256",
            "scrypt",
        ] {
            assert_eq!(
                Kind::named(name).err().as_deref(),
                Some(IMPOSSIBLE),
                "{name}"
            );
        }
        for hash in ["$2b$12$x", "$argon2id$v=19$x", "pbkdf2_sha256$600000$x"] {
            let refused = Kind::Plaintext.key(hash.to_owned(), None).err();
            assert!(
                refused.is_some_and(|reason| reason.ends_with(IMPOSSIBLE)),
                "{hash}"
            );
        }
    }
}
