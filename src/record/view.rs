//! A record as people and other programs may see it.

use std::sync::Arc;

use super::{KeyRecord, KeyState};
use crate::time::Timestamp;

/// A record without its digest, judged at one moment: for an administrator's page, a JSON answer or a
/// log. The digest of a weak imported key is enough to find the key, so only a store has it.
///
/// With the feature `serde` it serialises, and never deserialises. Times are RFC 3339 in UTC, scopes
/// and caveats are arrays of texts, and unset fields are `null`:
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::{Grant, KeyRing, KeyView, ManualClock, Timestamp, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let now = Timestamp::from_unix(1_800_000_000);
/// let ring = KeyRing::builder("acme").clock(ManualClock::new(now)).build(MemoryStore::new())?;
/// let issued = ring.issue(Grant::new("alice").scopes(["read", "write"])).await?;
///
/// let view = KeyView::new(issued.record().clone(), now);
/// assert_eq!(view.state_name(), "live");
/// # #[cfg(feature = "serde")] {
/// let json = serde_json::to_value(&view)?;
/// assert_eq!(json["subject"], "alice");
/// assert_eq!(json["scopes"], serde_json::json!(["read", "write"]));
/// assert_eq!(json["expires_at"], "2027-04-15T08:00:00Z");
/// assert!(json.get("digest").is_none());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// [`KeyRing::view`](crate::KeyRing::view) makes one by the ring's clock.
#[derive(Debug, Clone)]
pub struct KeyView {
    record: Arc<KeyRecord>,
    at: Timestamp,
    last_used: Option<Timestamp>,
}

impl KeyView {
    /// The record as it is at this moment.
    pub fn new(record: impl Into<Arc<KeyRecord>>, at: Timestamp) -> Self {
        Self {
            record: record.into(),
            at,
            last_used: None,
        }
    }

    /// Adds when the key was last used, from [`KeyRing::last_used`](crate::KeyRing::last_used).
    #[must_use]
    pub fn last_used(mut self, at: Option<Timestamp>) -> Self {
        self.last_used = at;
        self
    }

    /// The record.
    pub fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// The state of the key at the moment of the view.
    pub fn state(&self) -> KeyState {
        self.record.state_at(self.at)
    }

    /// Whether the key is live, and only until the end of its grace period: a rotation has replaced it.
    pub fn is_in_grace(&self) -> bool {
        self.state() == KeyState::Live && self.record.grace_ends_at().is_some()
    }

    /// The state as a `snake_case` word: `in_grace` for a live key that was replaced, and else that of
    /// [`KeyState::as_str`].
    pub fn state_name(&self) -> &'static str {
        if self.is_in_grace() {
            "in_grace"
        } else {
            self.state().as_str()
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for KeyView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        const FIELDS: usize = 20;

        let record = self.record();
        let moment = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
        let scopes: Vec<&str> = record.scopes().iter().collect();
        let caveats: Vec<&str> = record.caveats().iter().collect();
        let revocation = record.revocation();
        let mut view = serializer.serialize_struct("KeyView", FIELDS)?;
        view.serialize_field("id", &record.id())?;
        view.serialize_field("prefix", &record.prefix())?;
        view.serialize_field("realm", record.realm())?;
        view.serialize_field("subject", record.subject())?;
        view.serialize_field("scopes", &scopes)?;
        view.serialize_field("caveats", &caveats)?;
        view.serialize_field("state", self.state_name())?;
        view.serialize_field("issued_at", &record.issued_at().to_rfc3339())?;
        view.serialize_field("not_before", &record.not_before().to_rfc3339())?;
        view.serialize_field("expires_at", &moment(record.expires_at()))?;
        view.serialize_field("grace_ends_at", &moment(record.grace_ends_at()))?;
        view.serialize_field("revoked_at", &moment(revocation.map(|it| it.at)))?;
        let reason = revocation.map(|it| it.reason.as_str());
        view.serialize_field("revocation_reason", &reason)?;
        view.serialize_field("lineage", &record.lineage())?;
        view.serialize_field("generation", &record.generation())?;
        view.serialize_field("version", &record.version())?;
        view.serialize_field("pepper_version", &record.pepper_version())?;
        view.serialize_field("label", &record.label())?;
        view.serialize_field("metadata", record.metadata())?;
        view.serialize_field("last_used", &moment(self.last_used))?;
        view.end()
    }
}
