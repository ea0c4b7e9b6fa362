//! Names and values of fields, whose errors never repeat the text of the file.
//!
//! A value is judged while it is read, because only then does the parser know its position.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use tower_api_key::Timestamp;

use super::plaintext;

/// The name by which the TOML parser hands over a date.
pub(super) const TOML_DATE: &str = "$__toml_private_datetime";

/// The value of a field.
#[derive(Debug)]
pub(super) enum Raw {
    Text(String),
    Whole(u64),
    Truth(bool),
    List(Vec<String>),
    Table(BTreeMap<String, String>),
    Other,
}

impl Raw {
    pub(super) fn text(self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err("expected a string".to_owned()),
        }
    }

    pub(super) fn truth(self) -> Result<bool, String> {
        match self {
            Self::Truth(truth) => Ok(truth),
            _ => Err("expected true or false".to_owned()),
        }
    }

    pub(super) fn list(self) -> Result<Vec<String>, String> {
        match self {
            Self::List(list) => Ok(list),
            _ => Err("expected a list of strings".to_owned()),
        }
    }

    pub(super) fn table(self) -> Result<BTreeMap<String, String>, String> {
        match self {
            Self::Table(table) => Ok(table),
            _ => Err("expected a table of strings".to_owned()),
        }
    }

    pub(super) fn moment(self) -> Result<Timestamp, String> {
        const EXPECTED: &str =
            "expected Unix seconds or an RFC 3339 time, such as 2027-01-15T08:00:00Z";

        match self {
            Self::Whole(seconds) if seconds > Timestamp::LAST_YEAR.as_unix() => {
                return Err(
                    "this is beyond the year 9999: milliseconds taken for seconds?".to_owned(),
                );
            }
            Self::Whole(seconds) => Some(Timestamp::from_unix(seconds)),
            Self::Text(text) => Timestamp::from_rfc3339(&text).ok(),
            _ => None,
        }
        .ok_or_else(|| EXPECTED.to_owned())
    }
}

/// The value of a field, as this function parses it.
pub(super) struct Parsed<F> {
    field: &'static str,
    parse: F,
}

impl<F> Parsed<F> {
    pub(super) fn new(field: &'static str, parse: F) -> Self {
        Self { field, parse }
    }
}

impl<'de, T, F: FnOnce(Raw) -> Result<T, String>> DeserializeSeed<'de> for Parsed<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<F> Parsed<F> {
    fn parse<T, E: Error>(self, value: Raw) -> Result<T, E>
    where
        F: FnOnce(Raw) -> Result<T, String>,
    {
        (self.parse)(value).map_err(|problem| E::custom(format_args!("{}: {problem}", self.field)))
    }
}

impl<'de, T, F: FnOnce(Raw) -> Result<T, String>> Visitor<'de> for Parsed<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        // An escape may have hidden it from the search in the file's text.
        if plaintext::find(text.as_bytes()).is_some() {
            return Err(E::custom(format_args!(
                "{}: {}",
                self.field,
                plaintext::FOUND
            )));
        }
        self.parse(Raw::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.parse(Raw::Whole(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.parse(u64::try_from(number).map_or(Raw::Other, Raw::Whole))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        self.parse(Raw::Other)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<T, E> {
        self.parse(Raw::Truth(truth))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.parse(Raw::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<T, A::Error> {
        let mut list = Vec::new();
        let element = || Parsed::new(self.field, Raw::text);
        while let Some(text) = sequence.next_element_seed(element())? {
            list.push(text);
        }
        self.parse(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut table = BTreeMap::new();
        let text = || Parsed::new(self.field, Raw::text);
        while let Some(name) = map.next_key_seed(text())? {
            let value = map.next_value_seed(text())?;
            if name == TOML_DATE {
                return self.parse(Raw::Text(value));
            }
            if table.insert(name, value).is_some() {
                let field = self.field;
                return Err(A::Error::custom(format_args!(
                    "{field}: a name is given twice"
                )));
            }
        }
        self.parse(Raw::Table(table))
    }
}

/// The name of a field: one of these, and not seen yet.
pub(super) struct Name<'a> {
    fields: &'static [&'static str],
    seen: &'a [&'static str],
}

impl<'a> Name<'a> {
    pub(super) fn new(fields: &'static [&'static str], seen: &'a [&'static str]) -> Self {
        Self { fields, seen }
    }
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let Some(&field) = self.fields.iter().find(|field| **field == name) else {
            let fields = self.fields.join(", ");
            return Err(E::custom(if is_word(name) {
                format!("{name}: no such field; the fields are {fields}")
            } else {
                format!("no such field; the fields are {fields}")
            }));
        };
        if self.seen.contains(&field) {
            return Err(E::custom(format_args!("{field}: the field is given twice")));
        }
        Ok(field)
    }
}

/// A misspelt word is repeated in the error. Anything else may be a secret in the wrong place.
fn is_word(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'-'))
}
