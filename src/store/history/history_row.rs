//! Entries as rows of an SQL table.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{HistoryEntry, HistoryKind, HistoryPlace};
use crate::access::realm::Realm;
use crate::time::Timestamp;

/// An entry of a history, as a store in SQL reads it. Needs the feature `sql`.
///
/// The fields of a record are a JSON object of numbers and texts, under the names of the columns. What cannot be
/// read is left out: an entry that another hand has changed hides no other.
///
/// ```
/// use tower_api_key::store::{HistoryKind, sql::HistoryRow};
/// use tower_api_key::{Realm, Timestamp};
///
/// let row = HistoryRow {
///     action: "changed",
///     key_id: Some("4f9A7YqZr01m"),
///     after: Some(r#"{"revoked_at": 1800000000, "revocation_reason": "key_compromise"}"#),
///     ..HistoryRow::new("7".parse()?, Timestamp::from_unix(1_800_000_000))
/// };
/// let entry = row.entry(&Realm::new("acme")?);
/// assert_eq!(entry.kind(), HistoryKind::Revoked);
/// assert_eq!(entry.after()["revoked_at"], "2027-01-15T08:00:00Z");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug)]
pub struct HistoryRow<'a> {
    /// The place of the entry.
    pub place: HistoryPlace,
    /// When it was written.
    pub at: Timestamp,
    /// `added`, `changed`, `removed`, `expiry_noticed`, or the word of a [`HistoryKind`] about no key.
    pub action: &'a str,
    /// The id of the key.
    pub key_id: Option<&'a str>,
    /// The subject of the key.
    pub subject: Option<&'a str>,
    /// Who made the change.
    pub actor: Option<&'a str>,
    /// The role in the database.
    pub role: Option<&'a str>,
    /// Whether no ring has sent the statement.
    pub is_by_hand: bool,
    /// The fields before.
    pub before: Option<&'a str>,
    /// The fields afterwards.
    pub after: Option<&'a str>,
}

impl HistoryRow<'_> {
    /// The entry at a place, with nothing else.
    pub fn new(place: HistoryPlace, at: Timestamp) -> Self {
        Self {
            place,
            at,
            action: "",
            key_id: None,
            subject: None,
            actor: None,
            role: None,
            is_by_hand: false,
            before: None,
            after: None,
        }
    }

    /// The entry, of the history of this realm.
    pub fn entry(self, realm: &Realm) -> HistoryEntry {
        let after = fields(self.after);
        let kind = match self.action {
            "added" => HistoryKind::Added,
            "removed" => HistoryKind::Removed,
            "expiry_noticed" => HistoryKind::ExpiryNoticed,
            "emptied" => HistoryKind::Emptied,
            "restored" => HistoryKind::Restored,
            "forgotten" => HistoryKind::Forgotten,
            _ => HistoryKind::of_change(&after),
        };
        HistoryEntry {
            kind,
            realm: Some(realm.clone()),
            key_id: self.key_id.and_then(|id| id.parse().ok()),
            subject: self.subject.map(str::to_owned),
            actor: self.actor.and_then(|actor| actor.parse().ok()),
            role: self.role.map(str::to_owned),
            is_by_hand: self.is_by_hand,
            before: fields(self.before),
            after,
            ..HistoryEntry::new(self.place, self.at, kind)
        }
    }
}

/// The fields of a JSON object by their names in a record.
fn fields(json: Option<&str>) -> BTreeMap<String, String> {
    let object: Map<String, Value> = json
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let fields = object.into_iter();
    fields
        .filter_map(|(column, value)| field(column, value))
        .collect()
}

fn field(column: String, value: Value) -> Option<(String, String)> {
    let is_time = column.ends_with("_at") || matches!(&*column, "not_before" | "before");
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) if is_time => match number.as_u64() {
            Some(seconds) => Timestamp::from_unix(seconds).to_rfc3339(),
            None => number.to_string(),
        },
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let name = match &*column {
        "retire_at" => "grace_ends_at".to_owned(),
        _ => column,
    };
    Some((name, text))
}
