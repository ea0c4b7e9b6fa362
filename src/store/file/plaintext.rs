//! Keys that stand where only digests belong.

/// What an error says in the place of the key.
pub(super) const FOUND: &str = "this looks like a key in plaintext; write its SHA-256 as `digest`, \
                                and replace the key, for whoever could read the file has it";

const ID_LEN: usize = 12;
const SECRET_LEN: usize = 32;

/// Where the first text in the shape of a minted key stands, whatever its prefix:
/// `[a-z][a-z0-9_]*_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}`.
pub(super) fn find(text: &[u8]) -> Option<usize> {
    (0..text.len())
        .find(|&at| text[at] == b'_' && is_suffix(&text[at + 1..]) && ends_in_prefix(&text[..at]))
}

/// An id, `_`, a secret with its checksum.
fn is_suffix(text: &[u8]) -> bool {
    let Some((id, rest)) = text.split_at_checked(ID_LEN) else {
        return false;
    };
    let Some((b'_', rest)) = rest.split_first().map(|(first, rest)| (*first, rest)) else {
        return false;
    };
    id.iter().all(u8::is_ascii_alphanumeric)
        && rest
            .get(..SECRET_LEN)
            .is_some_and(|secret| secret.iter().all(u8::is_ascii_alphanumeric))
}

fn ends_in_prefix(text: &[u8]) -> bool {
    text.iter()
        .rev()
        .take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        .any(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIX: &str = "_0123456789Ab_0123456789ABCDEFGHIJabcdefghij12";

    #[test]
    fn r06_a_key_of_any_prefix_is_found_wherever_it_stands() {
        for prefix in ["a", "acme_live", "a1_", "0a", "Xacme"] {
            for (before, after) in [("", ""), ("# ", "\n"), ("\"", "\""), ("=", "x"), ("_", "_")] {
                let text = format!("{before}{prefix}{SUFFIX}{after}");
                let at = before.len() + prefix.len();
                assert_eq!(find(text.as_bytes()), Some(at), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_in_the_shape_of_a_key_is_no_key() {
        for text in [
            SUFFIX.to_owned(),
            format!("A{SUFFIX}"),
            format!("7_{SUFFIX}"),
            format!("acme{}", &SUFFIX[..SUFFIX.len() - 1]),
            format!("acme{}", SUFFIX.replace('J', "-")),
            format!("acme{}", SUFFIX.replace("_0123456789Ab", "_0123456789A")),
            "acme_0123456789Ab".to_owned(),
            "f".repeat(64),
        ] {
            assert_eq!(find(text.as_bytes()), None, "{text}");
        }
    }
}
