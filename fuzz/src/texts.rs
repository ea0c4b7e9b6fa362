//! A text that is parsed is the text that is shown.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::LazyLock;

use tower_api_key::store::{Cursor, MemoryStore};
use tower_api_key::{
    Caveat, Caveats, CertificateThumbprint, Grant, KeyId, KeyPrefix, KeyRing, Networks, Realm,
    Requirement, RevocationReason, Scope, ScopeSet, Timestamp, find_key, redact_keys,
};

use crate::{at_once, filled, key};

static RING: LazyLock<(KeyRing, String)> = LazyLock::new(|| {
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let key = key(&ring, Grant::new("alice"));
    (ring, key)
});

/// A text, for everything that is parsed from one. In it `$KEY` is a valid key.
///
/// What is shown of a parsed value is parsed to the same value. A set has the parts of its text and no other. A
/// requirement is met by nothing but its scopes. Only the key is the key, and no key is left in a redacted text.
///
/// # Panics
///
/// If that does not hold.
pub fn texts(input: &[u8]) {
    let (ring, key) = &*RING;
    let input = filled(input, &[("$KEY", key)]);
    assert_eq!(
        at_once(ring.verify(&input)).is_ok(),
        input == key.as_bytes()
    );
    let Ok(text) = std::str::from_utf8(&input) else {
        return;
    };

    exact::<KeyId>(text);
    exact::<KeyPrefix>(text);
    exact::<Realm>(text);
    exact::<RevocationReason>(text);
    exact::<Scope>(text);
    canonical::<Caveat>(text);
    canonical::<CertificateThumbprint>(text);
    canonical::<Cursor>(text);
    canonical::<Networks>(text);
    if let Some(moment) = canonical::<Timestamp>(text) {
        assert!(moment <= Timestamp::LAST_YEAR);
        // In UTC and without fractions, there is one text for each second.
        if text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T' {
            assert_eq!(moment.to_string(), text);
        }
    }
    scopes(text);
    caveats(text);
    let redacted = redact_keys(text);
    assert!(!redacted.contains(key.as_str()), "{text}");
    assert_eq!(find_key(redacted.as_bytes()), None, "{text}");
}

fn canonical<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let parsed: T = text.parse().ok()?;
    let shown = parsed.to_string();
    let again: T = shown.parse().expect("what is shown is parsed");
    assert_eq!(again, parsed, "{text}");
    assert_eq!(again.to_string(), shown, "{text}");
    Some(parsed)
}

/// The text itself is what is shown.
fn exact<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Some(parsed) = canonical::<T>(text) {
        assert_eq!(parsed.to_string(), text);
    }
}

fn scopes(text: &str) {
    let Some(set) = canonical::<ScopeSet>(text) else {
        return;
    };
    let words: Vec<&str> = text.split(' ').filter(|it| !it.is_empty()).collect();
    assert!(words.iter().all(|word| set.contains(word)), "{text}");
    assert!(set.iter().all(|scope| words.contains(&scope)), "{text}");
    for word in &words {
        let others: Vec<&str> = words.iter().copied().filter(|it| it != word).collect();
        let without = ScopeSet::new(&others).unwrap();
        assert!(!without.contains(word) && without.is_subset(&set), "{text}");
        assert!(!set.is_subset(&without), "{text}");
        let required = Requirement::all(words.iter().copied()).unwrap();
        assert!(
            required.is_met_by(&set) && !required.is_met_by(&without),
            "{text}"
        );
        let required = Requirement::any(words.iter().copied()).unwrap();
        assert_eq!(required.is_met_by(&without), !without.is_empty(), "{text}");
    }
}

fn caveats(text: &str) {
    let Some(set) = canonical::<Caveats>(text) else {
        return;
    };
    let words = text.split(' ').filter(|it| !it.is_empty());
    assert_eq!(set.is_empty(), words.clone().next().is_none(), "{text}");
    for word in words {
        let one: Caveats = word.parse().expect("a part of a set is a set");
        assert!(set.is_superset(&one), "{text}");
        assert!(set.union(&one).is_ok_and(|both| both == set), "{text}");
        assert!(!Caveats::none().is_superset(&one), "{text}");
    }
    let known = set.iter().filter_map(|it| it.parse::<Caveat>().ok());
    assert!(set.known().iter().cloned().eq(known), "{text}");
}
