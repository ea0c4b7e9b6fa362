//! One key of a file.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use sha2::{Digest, Sha256};
use tower_api_key::{
    Caveats, KeyDigest, KeyId, KeyRecord, KeyRecordParts, Label, Metadata, Realm, ScopeSet,
    Subject, Timestamp,
};

use super::failure::{Lines, Problem};
use super::value::{Name, Parsed, Raw};

/// A key, and the line of its digest.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: Option<usize>,
    pub(super) record: KeyRecord,
}

/// A key whose realm may be that of the file.
#[derive(Debug)]
pub(super) struct Draft {
    /// As it is written, to find its line.
    written: String,
    digest: KeyDigest,
    id: Option<KeyId>,
    realm: Option<Realm>,
    subject: Subject,
    scopes: ScopeSet,
    caveats: Caveats,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    label: Option<Label>,
    metadata: Metadata,
}

const FIELDS: &[&str] = &[
    "digest",
    "subject",
    "scopes",
    "caveats",
    "expires_at",
    "never_expires",
    "not_before",
    "realm",
    "id",
    "label",
    "metadata",
];

impl Draft {
    pub(super) fn finish(
        self,
        realm: Option<&Realm>,
        lines: &mut Lines<'_>,
        now: Timestamp,
    ) -> Result<Entry, Problem> {
        let line = lines.next_with(&self.written);
        let Some(realm) = self.realm.or_else(|| realm.cloned()) else {
            let advice = "realm is missing; name it here, or once for all keys of the file";
            return Err(Problem::new(line, advice));
        };
        let id = match self.id {
            Some(id) => id,
            None => derived_id(&self.digest),
        };
        let mut parts = KeyRecordParts::new(id, realm, self.digest, self.subject, now);
        parts.scopes = self.scopes;
        parts.caveats = self.caveats;
        parts.not_before = self.not_before.unwrap_or(Timestamp::from_unix(0));
        parts.expires_at = self.expires_at;
        parts.label = self.label;
        parts.metadata = self.metadata;
        let record = KeyRecord::from(parts);
        Ok(Entry { line, record })
    }
}

/// An id that is always the same for a digest. It goes to logs, so it is no part of the digest itself.
fn derived_id(digest: &KeyDigest) -> KeyId {
    let hash = Sha256::new()
        .chain_update(b"tower-api-key id of a digest\0")
        .chain_update(digest.as_bytes())
        .finalize();
    let mut start = [0; 16];
    start.copy_from_slice(&hash[..16]);
    KeyId::from_hash(start)
}

pub(super) struct EntrySeed;

impl<'de> DeserializeSeed<'de> for EntrySeed {
    type Value = Draft;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Draft, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key with its fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft, A::Error> {
        let missing = |field| A::Error::custom(format_args!("{field} is missing"));
        let mut seen = Vec::new();
        let (mut digest, mut subject, mut scopes) = (None, None, None);
        let (mut id, mut realm, mut label) = (None, None, None);
        let (mut not_before, mut expires_at, mut never_expires) = (None, None, false);
        let mut metadata = Metadata::none();
        let mut caveats = Caveats::none();
        while let Some(field) = map.next_key_seed(Name::new(FIELDS, &seen))? {
            seen.push(field);
            match field {
                "digest" => digest = Some(map.next_value_seed(Parsed::new(field, digest_of))?),
                "subject" => subject = Some(map.next_value_seed(Parsed::new(field, subject_of))?),
                "scopes" => scopes = Some(map.next_value_seed(Parsed::new(field, scopes_of))?),
                "caveats" => caveats = map.next_value_seed(Parsed::new(field, caveats_of))?,
                "expires_at" => {
                    expires_at = Some(map.next_value_seed(Parsed::new(field, Raw::moment))?);
                }
                "never_expires" => {
                    never_expires = map.next_value_seed(Parsed::new(field, Raw::truth))?;
                }
                "not_before" => {
                    not_before = Some(map.next_value_seed(Parsed::new(field, Raw::moment))?);
                }
                "realm" => realm = Some(map.next_value_seed(Parsed::new(field, realm_of))?),
                "id" => id = Some(map.next_value_seed(Parsed::new(field, id_of))?),
                "label" => label = Some(map.next_value_seed(Parsed::new(field, label_of))?),
                _ => metadata = map.next_value_seed(Parsed::new(field, metadata_of))?,
            }
        }
        let (written, digest) = digest.ok_or_else(|| missing("digest"))?;
        match (expires_at, never_expires) {
            (None, false) => {
                let advice = "expires_at is missing; if the key must not expire, set \
                              never_expires to true";
                return Err(A::Error::custom(advice));
            }
            (Some(_), true) => {
                let advice = "expires_at and never_expires are both given; keep one of them";
                return Err(A::Error::custom(advice));
            }
            _ => {}
        }
        if expires_at.is_some_and(|end| not_before.is_some_and(|start| end <= start)) {
            let advice = "expires_at is not after not_before, so the key is never valid";
            return Err(A::Error::custom(advice));
        }
        Ok(Draft {
            written,
            digest,
            id,
            realm,
            subject: subject.ok_or_else(|| missing("subject"))?,
            scopes: scopes.ok_or_else(|| missing("scopes"))?,
            caveats,
            not_before,
            expires_at,
            label,
            metadata,
        })
    }
}

fn digest_of(value: Raw) -> Result<(String, KeyDigest), String> {
    let text = match value {
        Raw::Text(text) => Some(text),
        _ => None,
    };
    text.and_then(|text| text.parse().ok().map(|digest| (text, digest)))
        .ok_or_else(|| {
            "expected the SHA-256 of a key, 64 hexadecimal digits, and not the key itself".into()
        })
}

fn subject_of(value: Raw) -> Result<Subject, String> {
    Subject::new(&value.text()?).map_err(|error| error.to_string())
}

fn label_of(value: Raw) -> Result<Label, String> {
    Label::new(&value.text()?).map_err(|error| error.to_string())
}

fn metadata_of(value: Raw) -> Result<Metadata, String> {
    Metadata::try_from(value.table()?).map_err(|error| error.to_string())
}

fn scopes_of(value: Raw) -> Result<ScopeSet, String> {
    ScopeSet::new(value.list()?).map_err(|error| error.to_string())
}

fn caveats_of(value: Raw) -> Result<Caveats, String> {
    Caveats::new(value.list()?).map_err(|error| error.to_string())
}

/// The realm that a field names.
pub(super) fn realm_of(value: Raw) -> Result<Realm, String> {
    let text = value.text()?;
    Realm::new(&text).map_err(|error| error.to_string())
}

fn id_of(value: Raw) -> Result<KeyId, String> {
    value
        .text()?
        .parse()
        .map_err(|error: tower_api_key::Error| error.to_string())
}
