//! The removals of a refused file.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use tower_api_key::store::{Change, Write};
use tower_api_key::{Caveats, KeyDigest, KeyId, KeyRecord, RevocationReason, ScopeSet, Timestamp};

use super::document::Syntax;
use super::merge::Held;
use super::value::{Raw, TOML_DATE};

/// The removals of a refused file, and the keys that it leaves uncertain.
#[derive(Debug, Default)]
pub(super) struct Taken {
    writes: Vec<Write>,
    revoked: Vec<KeyId>,
    narrowed: Vec<KeyId>,
    /// Keys that are missing, but may belong to an entry that names no key.
    uncertain: usize,
}

impl Taken {
    /// Reads the file again, without judging it. If it is no document, or has no list of keys, it takes
    /// nothing away.
    pub(super) fn from(syntax: Syntax, text: &str, held: &Held, now: Timestamp) -> Self {
        let document = match syntax {
            Syntax::Toml => toml::from_str(text).ok(),
            Syntax::Json => serde_json::from_str(text).ok(),
        };
        match document.as_ref().and_then(|root: &Loose| root.get("keys")) {
            Some(Loose::List(entries)) => Self::of(entries, held, now),
            _ => Self::default(),
        }
    }

    fn of(entries: &[Loose], held: &Held, now: Timestamp) -> Self {
        let (mut present, mut nameless) = (BTreeSet::new(), false);
        let mut shrunk = Held::new();
        for entry in entries {
            let Some(digest) = digest_of(entry, held) else {
                nameless = true;
                continue;
            };
            present.insert(digest);
            if let Some(old) = shrunk.get(&digest).or_else(|| held.get(&digest)) {
                let new = meet(old, entry);
                shrunk.insert(digest, new.into());
            }
        }
        let mut taken = Self::default();
        for (digest, old) in held.iter().filter(|(_, old)| old.revocation().is_none()) {
            if let Some(new) = shrunk.get(digest) {
                if new != old {
                    taken.narrowed.push(old.id());
                    taken.writes.push(Write::next(old, |parts| {
                        let new = new.to_parts();
                        parts.scopes = new.scopes;
                        parts.caveats = new.caveats;
                        parts.not_before = new.not_before;
                        parts.expires_at = new.expires_at;
                    }));
                }
            } else if present.contains(digest) {
                // It stays as it is.
            } else if nameless {
                taken.uncertain += 1;
            } else {
                taken.revoked.push(old.id());
                let reason = RevocationReason::Unspecified;
                taken.writes.push(Write::revoked(old, reason, now));
            }
        }
        taken
    }

    pub(super) fn change(&self) -> Change {
        Change::new(self.writes.clone())
    }
}

/// Ends with nothing if there is nothing to say.
impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = |what: &str, ids: &[KeyId]| {
            if ids.is_empty() {
                return Ok(());
            }
            write!(f, "; {what} anyway: {}", ids.len())?;
            for (index, id) in ids.iter().enumerate() {
                write!(f, "{}{id}", if index == 0 { " (" } else { ", " })?;
            }
            f.write_str(")")
        };
        ids("revoked", &self.revoked)?;
        ids("narrowed", &self.narrowed)?;
        if self.uncertain > 0 {
            write!(
                f,
                "; not revoked, because an entry has no readable digest: {}",
                self.uncertain
            )?;
        }
        Ok(())
    }
}

/// The key that an entry is, by its digest, or by the id of a key that is held.
fn digest_of(entry: &Loose, held: &Held) -> Option<[u8; 32]> {
    if let Some(digest) = entry.text("digest").and_then(|text| text.parse().ok()) {
        let digest: KeyDigest = digest;
        return Some(*digest.as_bytes());
    }
    let id: KeyId = entry.text("id")?.parse().ok()?;
    let (digest, _) = held.iter().find(|(_, record)| record.id() == id)?;
    Some(*digest)
}

/// The authority that both the record and the entry allow. A field that cannot be read takes nothing.
fn meet(old: &KeyRecord, entry: &Loose) -> KeyRecord {
    let mut parts = old.to_parts();
    if let Some(scopes) = entry.get("scopes").and_then(Loose::scopes) {
        parts.scopes = scopes;
    }
    if let Some(caveats) = entry.get("caveats").and_then(Loose::texts)
        && let Ok(caveats) = Caveats::new(caveats)
        && old.caveats().union(&caveats).is_ok()
    {
        parts.caveats = caveats;
    }
    if let Some(end) = entry.get("expires_at").and_then(Loose::moment) {
        parts.expires_at = Some(end);
    }
    if let Some(start) = entry.get("not_before").and_then(Loose::moment) {
        parts.not_before = start;
    }
    old.meet(&parts.into()).unwrap_or_else(|| old.clone())
}

/// Any value. A name that is given twice is kept twice, and is then unreadable.
enum Loose {
    Text(String),
    Whole(u64),
    List(Vec<Loose>),
    Table(Vec<(String, Loose)>),
    Other,
}

impl Loose {
    fn get(&self, name: &str) -> Option<&Self> {
        let Self::Table(fields) = self else {
            return None;
        };
        let mut found = fields.iter().filter(|(field, _)| field == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn scopes(&self) -> Option<ScopeSet> {
        ScopeSet::new(self.texts()?).ok()
    }

    fn texts(&self) -> Option<Vec<&str>> {
        let Self::List(list) = self else {
            return None;
        };
        list.iter()
            .map(|scope| match scope {
                Self::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    fn moment(&self) -> Option<Timestamp> {
        let raw = match self {
            Self::Whole(seconds) => Raw::Whole(*seconds),
            Self::Text(text) => Raw::Text(text.clone()),
            Self::Table(_) => Raw::Text(self.text(TOML_DATE)?.to_owned()),
            _ => return None,
        };
        raw.moment().ok()
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose::Whole(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
        Ok(u64::try_from(number).map_or(Loose::Other, Loose::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Loose, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = sequence.next_element()? {
            list.push(value);
        }
        Ok(Loose::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Loose::Table(fields))
    }
}
