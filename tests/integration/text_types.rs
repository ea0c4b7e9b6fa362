//! Types that are their own text: parsed and shown in every way that a user expects.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use tower_api_key::{Error, ErrorKind, KeyId, KeyPrefix, Realm, Scope, ScopeSet};

#[track_caller]
fn is_its_text<T>(text: &str, wrong: &str, kind: ErrorKind)
where
    T: AsRef<str> + Debug + Display + Ord + FromStr<Err = Error>,
    T: for<'a> TryFrom<&'a str, Error = Error> + TryFrom<String, Error = Error>,
{
    let parsed: T = text.parse().unwrap();
    assert_eq!(T::try_from(text).unwrap(), parsed);
    assert_eq!(T::try_from(text.to_owned()).unwrap(), parsed);
    assert_eq!(parsed.as_ref(), text);
    assert_eq!(format!("{parsed:>20}"), format!("{text:>20}"));
    for error in [
        wrong.parse::<T>().unwrap_err(),
        T::try_from(wrong).unwrap_err(),
        T::try_from(wrong.to_owned()).unwrap_err(),
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
}
