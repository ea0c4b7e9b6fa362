//! Texts in the shape of a minted key, of any prefix.
//!
//! Keys are hidden by their shape: a key with a typo is nearly as good as the key, so that the checksum
//! does not count here. It counts when a request is refused or reported.

use std::borrow::Cow;
use std::ops::Range;

use crate::key::format::SUFFIX_LEN;
use crate::key::id::ID_LEN;
use crate::key::prefix::MAX_PREFIX_LEN;
use crate::support::hex::hex_byte;

/// Replaces every text in the shape of a minted key with `(a key)`: of any ring, at any position, with
/// any text glued to it, mistyped or percent-encoded.
///
/// It is for lines that are to be logged or shown and may repeat user input. A key that was
/// [imported](crate::KeyRing::import_plaintext) has no shape and is not found.
///
/// ```
/// use tower_api_key::redact_keys;
///
/// let line = "invalid option '--key=acme_0123456789AB_0123456789ABCDEFGHIJKLMNOPQRSTUV'";
/// assert_eq!(redact_keys(line), "invalid option '--key=(a key)'");
/// assert_eq!(redact_keys("invalid option '--key'"), "invalid option '--key'");
/// ```
pub fn redact_keys(text: &str) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut done = 0;
    for shape in shapes(text.as_bytes()) {
        let start = shape.prefix.unwrap_or(shape.suffix.start);
        // Shapes may overlap: the end of one may be the prefix of the next.
        if let Some(between) = text.get(done..start) {
            redacted.push_str(between);
            redacted.push_str("(a key)");
        }
        done = shape.suffix.end;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    redacted.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(redacted)
}

/// Where the first text in the shape of a key is, of any prefix and percent-encoded too: the place of
/// the `_` after its prefix, in bytes. `None` if there is none.
///
/// For texts in which a key has no place, such as a file of digests that people edit. [`redact_keys`]
/// takes keys out of a text.
///
/// ```
/// use tower_api_key::find_key;
///
/// let text = b"key = acme_0123456789Ab_0123456789ABCDEFGHIJabcdefghij12";
/// assert_eq!(find_key(text), Some(10));
/// assert_eq!(find_key(b"id = 0123456789Ab"), None);
/// ```
pub fn find_key(text: &[u8]) -> Option<usize> {
    shapes(text)
        .find(|shape| shape.prefix.is_some())
        .map(|shape| shape.suffix.start)
}

struct Shape {
    /// Where the prefix starts, if there is one.
    prefix: Option<usize>,
    /// `_`, the id, `_`, the secret and the checksum.
    suffix: Range<usize>,
}

/// Every text in the shape of a key. None is in another, but the prefix of one may be in the one
/// before.
fn shapes(text: &[u8]) -> impl Iterator<Item = Shape> {
    (0..text.len())
        .filter(|&at| matches!(text[at], b'_' | b'%'))
        .filter_map(|at| {
            Some(Shape {
                suffix: at..suffix_end(text, at)?,
                prefix: prefix_start(text, at),
            })
        })
}

/// The end of the suffix that starts here.
fn suffix_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for place in 0..SUFFIX_LEN {
        let (byte, after) = take(text, at)?;
        let fits = if place == 0 || place == 1 + ID_LEN {
            byte == b'_'
        } else {
            byte.is_ascii_alphanumeric()
        };
        if !fits {
            return None;
        }
        at = after;
    }
    Some(at)
}

/// The start of the longest prefix that ends here.
fn prefix_start(text: &[u8], end: usize) -> Option<usize> {
    let (mut at, mut start) = (end, None);
    for _ in 0..MAX_PREFIX_LEN {
        match take_back(text, at) {
            Some((b'a'..=b'z', before)) => {
                start = Some(before);
                at = before;
            }
            Some((b'0'..=b'9' | b'_', before)) => at = before,
            _ => break,
        }
    }
    start
}

/// The character that starts here, percent-decoded if it is encoded, and where the next starts.
fn take(text: &[u8], at: usize) -> Option<(u8, usize)> {
    if let [b'%', high, low, ..] = text.get(at..)?
        && let Some(byte) = hex_byte([*high, *low])
    {
        return Some((byte, at + 3));
    }
    text.get(at).map(|&byte| (byte, at + 1))
}

/// The character that ends here, and where it starts.
fn take_back(text: &[u8], end: usize) -> Option<(u8, usize)> {
    let before = text.get(..end)?;
    if let [.., b'%', high, low] = before
        && let Some(byte) = hex_byte([*high, *low])
    {
        return Some((byte, end - 3));
    }
    before.last().map(|&byte| (byte, end - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "acme_0123456789Ab_0123456789ABCDEFGHIJabcdefghij12";

    fn encoded(text: &str) -> String {
        text.bytes().fold(String::new(), |encoded, byte| {
            format!("{encoded}%{byte:02x}")
        })
    }

    #[test]
    fn r06_a_key_is_redacted_wherever_it_stands() {
        for key in [
            KEY.to_owned(),
            KEY.replace('_', "%5F"),
            KEY.replacen("acme", "a", 1),
            KEY.replacen("acme", "acme_live", 1),
            encoded(KEY),
            encoded(KEY).to_uppercase(),
        ] {
            for (before, after) in [
                ("", ""),
                ("--key=", ","),
                ("KEY_", " "),
                ("\u{1b}[", "\u{1b}[0m"),
                ("%3D", "%20"),
                ("%20", "%zz"),
                ("X", "Xyz"),
                ("\u{e9}", "\u{e9}"),
                (&"A".repeat(100), &"A".repeat(100)),
            ] {
                let redacted = redact_keys(&format!("{before}{key}{after}")).into_owned();
                assert_eq!(redacted, format!("{before}(a key){after}"), "{key}");
            }
        }
        // Text glued to a key in the letters of a prefix may be of the prefix.
        assert_eq!(redact_keys(&format!("\\n{KEY}z")), "\\(a key)z");
        assert_eq!(
            redact_keys(&format!("\u{1b}[31m{KEY}\u{1b}")),
            "\u{1b}[31(a key)\u{1b}"
        );
        // The prefix of the second may begin in the first.
        assert_eq!(redact_keys(&format!("{KEY}{KEY}")), "(a key)");
        assert_eq!(
            redact_keys(&format!("a {KEY} b {KEY} c")),
            "a (a key) b (a key) c"
        );
        // The end of the first is the prefix of the second.
        let overlapping = format!("acme_0123456789Ab_{}{KEY}", "0".repeat(28));
        let redacted = redact_keys(&overlapping);
        assert!(!redacted.contains("ABCDEF"), "{redacted}");
        for prefix in ["", "A", "7_", "ACME"] {
            let text = KEY.replacen("acme", prefix, 1);
            let redacted = redact_keys(&text);
            assert_eq!(redacted, format!("{prefix}(a key)"));
        }
    }

    #[test]
    fn what_is_not_in_the_shape_of_a_key_is_left_alone() {
        for text in [
            String::new(),
            "_".repeat(100),
            "%".repeat(100),
            KEY[..KEY.len() - 1].to_owned(),
            KEY.replace('J', "-"),
            KEY.replace("9Ab_", "9A_"),
            "acme_0123456789Ab".to_owned(),
            "f".repeat(64),
        ] {
            assert!(matches!(redact_keys(&text), Cow::Borrowed(_)), "{text}");
        }
    }
}
