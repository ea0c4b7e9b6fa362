//! Types that are their own text: parsed and shown in every way that a user expects.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;

use tower_api_key::store::Cursor;
use tower_api_key::{
    Actor, Caveat, CaveatKind, Caveats, CertificateThumbprint, Error, ErrorKind, KeyDigest, KeyId,
    KeyPrefix, KeyState, Label, Metadata, Networks, Realm, RevocationReason, Scope, ScopeSet,
    Subject, Timestamp,
};

/// Whether a type has a trait.
macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T> Otherwise for T {}
        struct Asked<T>(T);
        impl<T: $($bound)+> Asked<T> {
            const HAS: bool = true;
        }
        <Asked<$type>>::HAS
    }};
}

/// The traits of each type, in a line.
macro_rules! lines {
    ($($type:ident)+) => {[$({
        let line = [
            (has!($type: FromStr<Err = Error>), "FromStr"),
            (has!($type: for<'a> TryFrom<&'a str, Error = Error>), "TryFrom<&str>"),
            (has!($type: for<'a> TryFrom<&'a String, Error = Error>), "TryFrom<&String>"),
            (has!($type: TryFrom<String, Error = Error>), "TryFrom<String>"),
            (has!($type: Display), "Display"),
            (has!($type: AsRef<str>), "AsRef<str>"),
            (has!($type: Borrow<str>), "Borrow<str>"),
            (has!($type: PartialEq<str>), "PartialEq<str>"),
            (has!($type: Eq), "Eq"),
            (has!($type: Ord), "Ord"),
            (has!($type: Hash), "Hash"),
        ];
        let has = line.into_iter().filter_map(|(has, name)| has.then_some(name));
        (stringify!($type), has.collect::<Vec<_>>().join(" "))
    }),+]};
}

const PARSED: &str = "FromStr TryFrom<&str> TryFrom<&String> TryFrom<String>";
const COMPARED: &str = "Eq Ord Hash";

/// A type that is parsed and shown has all traits, except those that would mislead. A set in another order is
/// the same set, and not the same text. An id and a prefix cost nothing to parse, and a second `Borrow` would be
/// in the way of a map of them. A digest is not shown, and compared in constant time.
#[test]
#[expect(dead_code, reason = "`has` reads one of two constants")]
fn a_type_has_the_traits_that_one_expects() {
    let text = format!("{PARSED} Display AsRef<str> Borrow<str> PartialEq<str> {COMPARED}");
    let shown = format!("{PARSED} Display AsRef<str> {COMPARED}");
    let value = format!("{PARSED} Display {COMPARED}");
    let word = format!("Display AsRef<str> {COMPARED}");
    let expected = |name| match name {
        "Realm" | "Scope" | "Subject" | "Actor" | "Label" => text.clone(),
        "KeyId" | "KeyPrefix" | "ScopeSet" | "Caveats" | "RevocationReason" => shown.clone(),
        "Caveat" | "Networks" | "CertificateThumbprint" | "Cursor" | "Timestamp" => value.clone(),
        "KeyState" | "CaveatKind" => word.clone(),
        "KeyDigest" => format!("{PARSED} Eq Hash"),
        _ => panic!("{name}"),
    };
    let lines = lines!(
        KeyId KeyPrefix Realm Scope Subject Actor Label ScopeSet Caveats RevocationReason Caveat Networks
        CertificateThumbprint Cursor Timestamp KeyState CaveatKind KeyDigest
    );
    for (name, line) in lines {
        assert_eq!(line, expected(name), "{name}");
    }
}

#[track_caller]
fn is_its_text<T>(text: &str, wrong: &str, kind: ErrorKind)
where
    T: AsRef<str> + Clone + Debug + Display + Ord + Hash + FromStr<Err = Error>,
    T: for<'a> TryFrom<&'a str, Error = Error> + TryFrom<String, Error = Error>,
    T: for<'a> TryFrom<&'a String, Error = Error> + for<'a> From<&'a T>,
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let parsed: T = text.parse().unwrap();
    assert_eq!(T::try_from(text).unwrap(), parsed);
    assert_eq!(T::try_from(text.to_owned()).unwrap(), parsed);
    assert_eq!(T::try_from(&text.to_owned()).unwrap(), parsed);
    assert_eq!(T::from(&parsed), parsed);
    assert_eq!(parsed.as_ref(), text);
    assert_eq!(format!("{parsed:>20}"), format!("{text:>20}"));
    assert!(HashSet::from([parsed.clone()]).contains(&parsed));
    let json = serde_json::to_string(&parsed).unwrap();
    assert_eq!(json, serde_json::to_string(text).unwrap());
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), parsed);
    let wrong_json = serde_json::to_string(wrong).unwrap();
    assert!(
        serde_json::from_str::<T>(&wrong_json)
            .unwrap_err()
            .is_data()
    );
    for error in [
        wrong.parse::<T>().unwrap_err(),
        T::try_from(wrong).unwrap_err(),
        T::try_from(wrong.to_owned()).unwrap_err(),
        T::try_from(&wrong.to_owned()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), kind);
    }
}

#[test]
fn each_is_parsed_and_shown_in_the_same_ways() {
    is_its_text::<KeyId>("0123456789Ab", "0123456789A_", ErrorKind::InvalidKeyId);
    is_its_text::<KeyPrefix>("acme_live", "acme_", ErrorKind::InvalidPrefix);
    is_its_text::<Realm>("orders", "or\"ders", ErrorKind::InvalidRealm);
    is_its_text::<Scope>("orders:read", "orders read", ErrorKind::InvalidScope);
    is_its_text::<ScopeSet>("read write", "read  write", ErrorKind::InvalidScope);
    is_its_text::<Caveats>("cnf=a net=10.0.0.0/8", "a  b", ErrorKind::InvalidCaveat);
    is_its_text::<Subject>("alice \u{1f511}", "", ErrorKind::InvalidSubject);
    is_its_text::<Actor>("ops@example.com", "", ErrorKind::InvalidActor);
    is_its_text::<Label>("", "a\nb", ErrorKind::InvalidLabel);
}

/// A map of these is asked by a text: they are hashed and ordered as their texts are.
#[test]
fn some_are_found_by_their_text() {
    fn are_found<T>(mut texts: [&str; 3])
    where
        T: Borrow<str> + PartialEq<str> + FromStr<Err = Error> + Hash + Ord + Clone,
    {
        let all = texts.map(|text| text.parse::<T>().unwrap());
        for text in texts {
            assert!(HashSet::from(all.clone()).contains(text));
            assert!(BTreeSet::from(all.clone()).contains(text));
            assert_eq!(all.iter().filter(|it| *it == text).count(), 1);
        }
        let sorted: Vec<T> = BTreeSet::from(all).into_iter().collect();
        let sorted: Vec<&str> = sorted.iter().map(Borrow::borrow).collect();
        texts.sort_unstable();
        assert_eq!(sorted, texts);
    }
    are_found::<Subject>(["b", "a", "C"]);
    are_found::<Actor>(["b", "a", "C"]);
    are_found::<Label>(["b", "a", "C"]);
    are_found::<Realm>(["b", "a", "C"]);
    are_found::<Scope>(["b", "a", "C"]);
}

/// Rule 36: no subject, no actor and no label holds what a terminal or a spreadsheet obeys.
#[test]
fn r36_subjects_actors_and_labels_can_be_shown_as_they_are() {
    let long = "a".repeat(256);
    let too_long = "a".repeat(257);
    for text in [
        "=1+1",
        "a\u{1b}[2J",
        "a\0",
        "a\u{7f}",
        "a\u{9b}",
        "a\u{202e}b",
        "a\u{200b}",
        "a\u{2028}",
        &too_long,
    ] {
        let error = Subject::new(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSubject, "{text:?}");
        let error = Actor::new(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidActor, "{text:?}");
        let error = Label::new(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidLabel, "{text:?}");
    }
    for text in ["alice", "a=1", "\u{c5}lice \u{6f22}", " ", &long] {
        assert_eq!(Subject::new(text).unwrap(), text);
        assert_eq!(Actor::new(text).unwrap(), text);
        assert_eq!(Label::new(text).unwrap(), text);
    }
}

#[test]
fn metadata_is_parsed_once() {
    let entries = [("b", "2"), ("a", "1"), ("b", "3")];
    let metadata = Metadata::new(entries).unwrap();
    assert_eq!(metadata, Metadata::try_from(entries).unwrap());
    assert_eq!(
        metadata.iter().collect::<Vec<_>>(),
        [("a", "1"), ("b", "3")]
    );
    assert_eq!((metadata.len(), metadata.is_empty()), (2, false));
    assert_eq!((metadata.get("b"), metadata.get("c")), (Some("3"), None));
    assert_eq!(format!("{metadata:?}"), r#"{"a": "1", "b": "3"}"#);
    let json = serde_json::to_string(&metadata).unwrap();
    assert_eq!(json, r#"{"a":"1","b":"3"}"#);
    assert_eq!(serde_json::from_str::<Metadata>(&json).unwrap(), metadata);
    assert_eq!(
        Metadata::try_from(BTreeMap::new()).unwrap(),
        Metadata::none()
    );

    let half = "x".repeat(Metadata::MAX_LEN / 2);
    assert_eq!(Metadata::new([(&half, &half)]).unwrap().len(), 1);
    for (name, value) in [
        (format!("{half}x"), half.as_str()),
        ("a\0".to_owned(), ""),
        (half.clone(), "\0"),
    ] {
        let error = Metadata::new([(name.as_str(), value)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMetadata);
        let json = serde_json::json!({ name: value }).to_string();
        assert!(
            serde_json::from_str::<Metadata>(&json)
                .unwrap_err()
                .is_data()
        );
    }
}
