//! A file's text as entries.

use std::fmt;
use std::path::Path;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use tower_api_key::{Realm, Timestamp};

use super::entry::{Draft, Entry, EntrySeed, realm_of};
use super::failure::{Lines, Problem, line_of};
use super::plaintext;
use super::value::{Name, Parsed};

/// The syntax of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Toml,
    Json,
}

impl Syntax {
    /// The syntax that a file's name implies.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        if extension.eq_ignore_ascii_case("toml") {
            Some(Self::Toml)
        } else if extension.eq_ignore_ascii_case("json") {
            Some(Self::Json)
        } else {
            None
        }
    }
}

const FIELDS: &[&str] = &["realm", "keys"];

/// The keys of a file, in its order. No text of the file is in a [`Problem`].
pub(super) fn parse(syntax: Syntax, text: &str, now: Timestamp) -> Result<Vec<Entry>, Problem> {
    // Before the parsers, whose errors may repeat what they read.
    if let Some(offset) = plaintext::find(text.as_bytes()) {
        return Err(Problem::new(
            line_of(text.as_bytes(), offset),
            plaintext::FOUND,
        ));
    }
    let drafts = match syntax {
        Syntax::Toml => toml::Deserializer::parse(text)
            .and_then(|document| DocumentSeed.deserialize(document))
            .map_err(|error| {
                let line = error
                    .span()
                    .map(|span| line_of(text.as_bytes(), span.start));
                Problem::new(line, without_value(error.message()))
            }),
        Syntax::Json => {
            let mut document = serde_json::Deserializer::from_str(text);
            DocumentSeed
                .deserialize(&mut document)
                .and_then(|drafts| document.end().map(|()| drafts))
                .map_err(|error| {
                    let (text, place) = (error.to_string(), position(&error));
                    let text = without_value(text.strip_suffix(&place).unwrap_or(&text));
                    Problem::new(Some(error.line()).filter(|&line| line > 0), text)
                })
        }
    }?;
    drafts.finish(text, now)
}

/// A message of serde's without the value that it repeats.
fn without_value(message: &str) -> String {
    let repeats = ["invalid type: ", "invalid value: "]
        .iter()
        .any(|start| message.starts_with(start));
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if repeats => format!("expected {expected}"),
        _ => message.to_owned(),
    }
}

/// The position that `serde_json` puts at the end of its messages.
fn position(error: &serde_json::Error) -> String {
    format!(" at line {} column {}", error.line(), error.column())
}

/// The contents of a file, before the realm of the file is known to all its keys.
struct Drafts {
    realm: Option<Realm>,
    entries: Vec<Draft>,
}

impl Drafts {
    fn finish(self, text: &str, now: Timestamp) -> Result<Vec<Entry>, Problem> {
        let (realm, mut lines) = (self.realm, Lines::of(text));
        self.entries
            .into_iter()
            .map(|draft| draft.finish(realm.as_ref(), &mut lines, now))
            .collect()
    }
}

struct DocumentSeed;

impl<'de> DeserializeSeed<'de> for DocumentSeed {
    type Value = Drafts;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Drafts, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DocumentSeed {
    type Value = Drafts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `keys`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Drafts, A::Error> {
        let (mut realm, mut entries) = (None, None);
        let mut seen = Vec::new();
        while let Some(field) = map.next_key_seed(Name::new(FIELDS, &seen))? {
            seen.push(field);
            if field == "realm" {
                realm = Some(map.next_value_seed(Parsed::new(field, realm_of))?);
            } else {
                entries = Some(map.next_value_seed(EntriesSeed)?);
            }
        }
        let entries = entries.ok_or_else(|| {
            A::Error::custom("keys is missing; if the file has no keys, make `keys` an empty list")
        })?;
        Ok(Drafts { realm, entries })
    }
}

struct EntriesSeed;

impl<'de> DeserializeSeed<'de> for EntriesSeed {
    type Value = Vec<Draft>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EntriesSeed {
    type Value = Vec<Draft>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = sequence.next_element_seed(EntrySeed)? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
