//! An entry of a history.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{HistoryKind, HistoryPlace};
use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::record::KeyRecord;
use crate::store::expiry::ExpiryNotice;
use crate::time::Timestamp;

/// One change of one key: when, by whom, and what the key had before and afterwards.
///
/// It has no digest and nothing of a secret. Of a label and of metadata it says that they changed, and not to what:
/// people write them, and the history cannot be corrected.
///
/// [`KeyRing::history`](crate::KeyRing::history) lists them. With the feature `serde` it serialises, for an export
/// as NDJSON. A store of your own makes one with [`of`](Self::of).
///
/// ```
/// use tower_api_key::store::{HistoryEntry, HistoryKind};
/// use tower_api_key::{KeyDigest, KeyRecordParts, Realm, Subject, Timestamp};
///
/// let at = Timestamp::from_unix(1_800_000_000);
/// let (id, digest) = ("4f9A7YqZr01m".parse()?, KeyDigest::sha256(b"a key"));
/// let parts = KeyRecordParts::new(id, Realm::new("acme")?, digest, Subject::new("alice")?, at);
///
/// let entry = HistoryEntry::of("7".parse()?, at, None, Some(&parts.into()));
/// assert_eq!(entry.kind(), HistoryKind::Added);
/// assert_eq!(entry.key_id(), Some(id));
/// assert_eq!(entry.after()["expires_at"], "2027-01-15T08:00:00Z");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    pub(super) place: HistoryPlace,
    pub(super) at: Timestamp,
    pub(super) kind: HistoryKind,
    pub(super) realm: Option<Realm>,
    pub(super) key_id: Option<KeyId>,
    pub(super) subject: Option<String>,
    pub(super) actor: Option<Actor>,
    pub(super) role: Option<String>,
    pub(super) is_by_hand: bool,
    pub(super) before: BTreeMap<String, String>,
    pub(super) after: BTreeMap<String, String>,
}

impl HistoryEntry {
    /// The entry of a record that was as `before`, and is as `after`. `None` if there was no record, or is none.
    pub fn of(
        place: HistoryPlace,
        at: Timestamp,
        before: Option<&KeyRecord>,
        after: Option<&KeyRecord>,
    ) -> Self {
        let mut entry = Self::new(place, at, HistoryKind::Changed);
        if let Some(record) = after.or(before) {
            entry.realm = Some(record.realm().clone());
            entry.key_id = Some(record.id());
            entry.subject = Some(record.subject().to_string());
        }
        let fields = |record: Option<&KeyRecord>| record.map(fields_of).unwrap_or_default();
        let (old, new) = (fields(before), fields(after));
        let differs = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            let differs = |(name, value): &(&String, &String)| other.get(*name) != Some(value);
            let fields = one.iter().filter(differs);
            let fields = fields.map(|(name, value)| (name.clone(), value.clone()));
            fields.collect::<BTreeMap<_, _>>()
        };
        entry.before = differs(&old, &new);
        entry.after = differs(&new, &old);
        entry.kind = match (before, after) {
            (None, _) => HistoryKind::Added,
            (_, None) => HistoryKind::Removed,
            (Some(old), Some(new)) => {
                for (name, changed) in [
                    ("label", old.label() != new.label()),
                    ("metadata", old.metadata() != new.metadata()),
                ] {
                    if changed {
                        entry.after.insert(name.to_owned(), CHANGED.to_owned());
                    }
                }
                HistoryKind::of_change(&entry.after)
            }
        };
        entry
    }

    /// The entry of a notice that was claimed in this realm. A store writes it in the commit of the claim.
    pub fn of_notice(
        place: HistoryPlace,
        at: Timestamp,
        realm: &Realm,
        notice: &ExpiryNotice,
    ) -> Self {
        let mut entry = Self::new(place, at, HistoryKind::ExpiryNoticed).in_realm(realm);
        entry.key_id = Some(notice.id);
        entry.subject.clone_from(&notice.subject);
        entry
            .saying(NOTICE_STEP, notice.step.as_secs().to_string())
            .saying(EXPIRES_AT, notice.expires_at.to_rfc3339())
    }

    /// An entry that is about no key.
    pub fn new(place: HistoryPlace, at: Timestamp, kind: HistoryKind) -> Self {
        Self {
            place,
            at,
            kind,
            realm: None,
            key_id: None,
            subject: None,
            actor: None,
            role: None,
            is_by_hand: false,
            before: BTreeMap::new(),
            after: BTreeMap::new(),
        }
    }

    /// Adds who made the change.
    #[must_use]
    pub fn by(mut self, actor: Option<&Actor>) -> Self {
        self.actor = actor.cloned();
        self
    }

    /// Adds the realm in which it happened.
    #[must_use]
    pub fn in_realm(mut self, realm: &Realm) -> Self {
        self.realm = Some(realm.clone());
        self
    }

    /// Adds what an entry about no key says, such as how many entries were
    /// [forgotten](HistoryKind::Forgotten).
    #[must_use]
    pub fn saying(mut self, name: &str, value: impl Into<String>) -> Self {
        self.after.insert(name.to_owned(), value.into());
        self
    }

    /// The name of the entry, and its place in the history.
    pub fn place(&self) -> &HistoryPlace {
        &self.place
    }

    /// When it happened, by the clock of the store.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What happened.
    pub fn kind(&self) -> HistoryKind {
        self.kind
    }

    /// The realm of the key.
    pub fn realm(&self) -> Option<&Realm> {
        self.realm.as_ref()
    }

    /// The id of the key; `None` if the entry is about none, or its id cannot be read.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// Whose key it is, as the store has it.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Who [made the change](crate::KeyRing::acting_as), if that was said. A store cannot prove it. In Postgres,
    /// [`role`](Self::role) is what the server has checked.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// The role that was logged in to the database, if the database has roles.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// Whether a statement made the change that no ring has sent: somebody at a console, or a trigger of the
    /// application.
    pub fn is_by_hand(&self) -> bool {
        self.is_by_hand
    }

    /// The fields that changed or are gone, as texts: times in RFC 3339, scopes and caveats separated by spaces.
    pub fn before(&self) -> &BTreeMap<String, String> {
        &self.before
    }

    /// The fields that changed or are new.
    pub fn after(&self) -> &BTreeMap<String, String> {
        &self.after
    }

    /// The notice of an entry of the kind [`ExpiryNoticed`](HistoryKind::ExpiryNoticed). `None` for an entry of another
    /// kind, or if a part cannot be read. In the fields, `notice_step` is the step in seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::store::{ExpiryNotice, HistoryEntry, HistoryKind};
    /// use tower_api_key::{Realm, Timestamp};
    ///
    /// let (now, end) = (Timestamp::from_unix(1_799_500_000), Timestamp::from_unix(1_800_000_000));
    /// let week = Duration::from_secs(7 * 24 * 60 * 60);
    /// let notice = ExpiryNotice::new("4f9A7YqZr01m".parse()?, Some("alice".into()), end, week);
    ///
    /// let entry = HistoryEntry::of_notice("7".parse()?, now, &Realm::new("acme")?, &notice);
    /// assert_eq!(entry.kind(), HistoryKind::ExpiryNoticed);
    /// assert_eq!(entry.after()["notice_step"], "604800");
    /// assert_eq!(entry.after()["expires_at"], "2027-01-15T08:00:00Z");
    /// assert_eq!(entry.expiry_notice(), Some(notice));
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn expiry_notice(&self) -> Option<ExpiryNotice> {
        let id = self
            .key_id
            .filter(|_| self.kind == HistoryKind::ExpiryNoticed)?;
        let expires_at = Timestamp::from_rfc3339(self.after.get(EXPIRES_AT)?).ok()?;
        let step = Duration::from_secs(self.after.get(NOTICE_STEP)?.parse().ok()?);
        Some(ExpiryNotice::new(
            id,
            self.subject.clone(),
            expires_at,
            step,
        ))
    }
}

/// The place of the value of a label, or of metadata.
const CHANGED: &str = "changed";

/// The field with the step of a notice, in seconds.
const NOTICE_STEP: &str = "notice_step";

const EXPIRES_AT: &str = "expires_at";

/// The fields that an entry has of a record, each that is set. A field that is not named here is not in a history, so
/// that none gets there by itself.
fn fields_of(record: &KeyRecord) -> BTreeMap<String, String> {
    let moment = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
    let revocation = record.revocation();
    let prefix = record.prefix().map(ToString::to_string);
    let fields = [
        ("scopes", Some(record.scopes().to_string())),
        ("caveats", Some(record.caveats().to_string())),
        ("issued_at", moment(Some(record.issued_at()))),
        ("not_before", moment(Some(record.not_before()))),
        (EXPIRES_AT, moment(record.expires_at())),
        ("grace_ends_at", moment(record.grace_ends_at())),
        ("lineage", Some(record.lineage().to_string())),
        ("generation", Some(record.generation().to_string())),
        ("version", Some(record.version().to_string())),
        ("revoked_at", moment(revocation.map(|it| it.at))),
        (
            "revocation_reason",
            revocation.map(|it| it.reason.as_str().to_owned()),
        ),
        ("prefix", prefix),
        (
            "pepper_version",
            record.pepper_version().map(|it| it.to_string()),
        ),
    ];
    let set = fields.into_iter();
    set.filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

#[cfg(feature = "serde")]
impl serde::Serialize for HistoryEntry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        const FIELDS: usize = 11;

        let mut entry = serializer.serialize_struct("HistoryEntry", FIELDS)?;
        entry.serialize_field("entry", self.place.as_str())?;
        entry.serialize_field("at", &self.at.to_rfc3339())?;
        entry.serialize_field("kind", self.kind.as_str())?;
        entry.serialize_field("realm", &self.realm)?;
        entry.serialize_field("key_id", &self.key_id)?;
        entry.serialize_field("subject", &self.subject)?;
        entry.serialize_field("actor", &self.actor)?;
        entry.serialize_field("role", &self.role)?;
        entry.serialize_field("by_hand", &self.is_by_hand)?;
        entry.serialize_field("before", &self.before)?;
        entry.serialize_field("after", &self.after)?;
        entry.end()
    }
}
