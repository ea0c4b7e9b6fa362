//! What people should know of the other keys of a lineage.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tower_api_key::store::ListQuery;
use tower_api_key::{
    Clock, Error, ErrorKind, KeyId, KeyPrefix, KeyRecord, KeyRing, KeyState, Span, SystemClock,
    Timestamp,
};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::output::Output;

/// The record of a key that is about to be replaced.
pub(crate) async fn record(ring: &KeyRing, id: KeyId) -> Result<Arc<KeyRecord>, Failure> {
    let record = ring.get(id).await?;
    Ok(record.ok_or_else(|| Error::from(ErrorKind::NotFound))?)
}

/// A key that was replaced, and its grace period.
pub(crate) struct Replaced {
    pub(crate) old: Arc<KeyRecord>,
    /// `None` if it had no grace period, and no longer works.
    pub(crate) grace_ends_at: Option<Timestamp>,
}

impl Replaced {
    /// After a rotation at this moment, with this grace period or none.
    pub(crate) fn new(old: Arc<KeyRecord>, at: Timestamp, grace: Option<Duration>) -> Self {
        let end = grace.and_then(|grace| at.checked_add(grace));
        let grace_ends_at = end.map(|end| old.expires_at().map_or(end, |expiry| expiry.min(end)));
        Self { old, grace_ends_at }
    }

    pub(crate) fn to_json(&self) -> Value {
        let grace_ends_at = self.grace_ends_at.map(Timestamp::to_rfc3339);
        json!({ "id": self.old.id().as_str(), "grace_ends_at": grace_ends_at })
    }

    /// Says until when the old key works.
    pub(crate) fn note(&self, output: Output) {
        let id = self.old.id();
        output.note(&match self.grace_ends_at {
            Some(end) => format!("the old key {id} works until {}", end.to_rfc3339()),
            None => format!("the old key {id} no longer works"),
        });
    }

    /// What the new key has less of, with what raises it.
    pub(crate) fn shortened(&self, new: &KeyRecord, advice: &str) -> Option<String> {
        let (before, now) = (lifetime(&self.old), lifetime(new)?);
        if before.is_some_and(|before| before <= now) {
            return None;
        }
        let now = Span(now);
        let (before, longest) = match before {
            Some(before) => {
                let before = Span(before).to_string();
                (format!("had {before}"), before)
            }
            None => ("has no end".to_owned(), "unlimited".to_owned()),
        };
        let advice = advice.replace("{}", &longest);
        Some(format!(
            "the lifetime of the new key is {now}, and the old one {before}; {advice}"
        ))
    }
}

/// How long a key was to live; `None` if it has no end.
fn lifetime(record: &KeyRecord) -> Option<Duration> {
    let begun = record.issued_at().max(record.not_before());
    let seconds = record
        .expires_at()?
        .as_unix()
        .saturating_sub(begun.as_unix());
    Some(Duration::from_secs(seconds))
}

/// The other keys of a lineage that still work, or will.
pub(crate) async fn living_beside(
    ring: &KeyRing,
    id: KeyId,
    lineage: KeyId,
) -> Result<Vec<Arc<KeyRecord>>, Failure> {
    let now = SystemClock.now();
    let lineage = ring.list(&ListQuery::new().lineage(lineage)).await?;
    let living = lineage.iter().filter(|record| {
        record.id() != id && matches!(record.state_at(now), KeyState::Live | KeyState::NotYetValid)
    });
    Ok(living.map(Arc::clone).collect())
}

/// Says which other keys of the lineage of a revoked key work on.
pub(crate) fn note_living(output: Output, living: &[Arc<KeyRecord>]) {
    for record in living {
        let (id, lineage) = (record.id(), record.lineage());
        let until = match record.ended_at() {
            Some(end) => format!("until {}", end.to_rfc3339()),
            None => "without end".to_owned(),
        };
        output.warn(&format!(
            "the key {id} of the same lineage still works, {until}; to end it too, use revoke \
             --lineage {lineage}"
        ));
    }
}

/// How many of the newest keys are looked at for the prefix of a realm.
const NEWEST: usize = 20;

/// Warns if none of the newest keys of the realm begins as this command's would: a service that takes
/// the one prefix refuses the other. A realm that cannot be read is no reason for a warning.
pub(crate) async fn warn_of_prefix(common: &Common, ring: &KeyRing, output: Output) {
    if common.prefix.is_none() {
        return;
    }
    let newest = ListQuery::new().newest_first().limit(NEWEST);
    let newest = ring.list(&newest).await.unwrap_or_default();
    let prefixes = newest.iter().filter_map(|record| record.prefix());
    let prefixes: BTreeSet<&str> = prefixes.map(KeyPrefix::as_str).collect();
    let (realm, prefix) = (ring.realm(), ring.prefix());
    if prefixes.is_empty() || prefixes.contains(prefix) {
        return;
    }
    let found: Vec<&str> = prefixes.into_iter().collect();
    output.warn(&format!(
        "the prefix is {prefix}, but the newest keys of the realm {realm} begin with {}; a \
         service refuses keys that do not have its prefix",
        found.join(", ")
    ));
}
