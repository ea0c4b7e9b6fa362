//! Keys in the place of digests.

pub(super) use tower_api_key::find_key as find;

/// The text of an error in the place of the key.
pub(super) const FOUND: &str = "this looks like a key in plaintext; write its SHA-256 as \
                                `digest`, and replace the key, because anyone who could read the \
                                file has it";

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIX: &str = "_0123456789Ab_0123456789ABCDEFGHIJabcdefghij12";

    #[test]
    fn r06_a_key_of_any_prefix_is_found_wherever_it_stands() {
        for prefix in ["a", "acme_live", "a1_", "0a", "Xacme"] {
            for (before, after) in [
                ("", ""),
                ("# ", "\n"),
                ("\"", "\""),
                ("=", "x"),
                ("_", "_"),
                ("KEY_", "%"),
                ("\u{1b}[31m", "\u{1b}"),
                ("%3D", "%20"),
            ] {
                let text = format!("{before}{prefix}{SUFFIX}{after}");
                let at = before.len() + prefix.len();
                assert_eq!(find(text.as_bytes()), Some(at), "{text}");
                let encoded = text.replace('_', "%5f");
                assert!(find(encoded.as_bytes()).is_some(), "{encoded}");
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
