//! Records as rows of an SQL table.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use super::{StoreError, StoreErrorKind};
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::{KeyRecord, KeyRecordParts, Revocation};
use crate::time::Timestamp;

/// The columns of a record, in the order in which statements name them, except its realm: that is a
/// condition of every query.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) id: &'a str,
    pub(super) digest: &'a [u8],
    pub(super) pepper_version: Option<i64>,
    pub(super) subject: &'a str,
    pub(super) scopes: &'a str,
    pub(super) issued_at: i64,
    pub(super) not_before: i64,
    pub(super) expires_at: Option<i64>,
    pub(super) retire_at: Option<i64>,
    pub(super) lineage: &'a str,
    pub(super) generation: i64,
    pub(super) version: i64,
    pub(super) revoked_at: Option<i64>,
    pub(super) revocation_reason: Option<&'a str>,
    pub(super) label: Option<&'a str>,
    /// A JSON object of texts.
    pub(super) metadata: &'a str,
    pub(super) prefix: Option<&'a str>,
}

/// Why a row cannot become a record, or a record a row.
#[derive(Debug)]
struct Unfit {
    column: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Identifies a row that is no record, so that it can be revoked.
#[derive(Debug)]
struct UnreadableRow {
    id: KeyId,
    error: StoreError,
}

const NO_METADATA: &str = "{}";

impl Row<'_> {
    /// Parses a row of this realm. If another program has changed a row so that it is no record, the
    /// result is an error that names its id, never a record.
    pub(super) fn into_record(self, realm: &Realm) -> Result<KeyRecord, StoreError> {
        let id = readable_id(self.id);
        self.parse(realm).map_err(|error| row_of(id, error))
    }

    fn parse(self, realm: &Realm) -> Result<KeyRecord, StoreError> {
        let revocation = match (self.revoked_at, self.revocation_reason) {
            (None, None) => None,
            (Some(at), Some(reason)) => Some(Revocation {
                at: time("revoked_at", at)?,
                reason: parse("revocation_reason", reason)?,
            }),
            _ => return Err(unfit("revocation_reason")),
        };
        Ok(KeyRecord::from(KeyRecordParts {
            id: parse("id", self.id)?,
            realm: realm.clone(),
            digest: KeyDigest::from_bytes(self.digest.try_into().map_err(|_| unfit("digest"))?),
            pepper_version: self
                .pepper_version
                .map(|version| u32::try_from(version).map_err(|_| unfit("pepper_version")))
                .transpose()?,
            subject: self.subject.to_owned(),
            scopes: parse("scopes", self.scopes)?,
            issued_at: time("issued_at", self.issued_at)?,
            not_before: time("not_before", self.not_before)?,
            expires_at: optional_time("expires_at", self.expires_at)?,
            retire_at: optional_time("retire_at", self.retire_at)?,
            lineage: parse("lineage", self.lineage)?,
            generation: u32::try_from(self.generation).map_err(|_| unfit("generation"))?,
            version: u64::try_from(self.version).map_err(|_| unfit("version"))?,
            revocation,
            label: self.label.map(str::to_owned),
            metadata: metadata(self.metadata)?,
            prefix: self
                .prefix
                .map(|prefix| parse("prefix", prefix))
                .transpose()?,
        }))
    }
}

/// A moment as a column holds it, up to the year 292 277 026 596.
///
/// # Errors
///
/// [`Unavailable`](super::StoreErrorKind::Unavailable) for a moment beyond that.
pub(super) fn column_time(at: Timestamp) -> Result<i64, StoreError> {
    i64::try_from(at.as_unix()).map_err(|_| beyond("time"))
}

/// The moment of a revocation as a column holds it. A later moment becomes the last of all, because
/// refusing it would keep the key alive.
pub(super) fn column_revoked_at(at: Timestamp) -> i64 {
    i64::try_from(at.as_unix()).unwrap_or(i64::MAX)
}

/// The id in a column, if it is one.
pub(super) fn readable_id(text: &str) -> Option<KeyId> {
    text.parse().ok()
}

pub(super) fn column_version(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(|_| beyond("version"))
}

pub(super) fn column_metadata(metadata: &BTreeMap<String, String>) -> Result<String, StoreError> {
    if metadata.is_empty() {
        return Ok(NO_METADATA.to_owned());
    }
    serde_json::to_string(metadata).map_err(|error| unfit_because("metadata", error))
}

pub(super) fn time(column: &'static str, seconds: i64) -> Result<Timestamp, StoreError> {
    u64::try_from(seconds)
        .map(Timestamp::from_unix)
        .map_err(|_| unfit(column))
}

fn optional_time(
    column: &'static str,
    seconds: Option<i64>,
) -> Result<Option<Timestamp>, StoreError> {
    seconds.map(|seconds| time(column, seconds)).transpose()
}

pub(super) fn parse<T>(column: &'static str, text: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr<Err = crate::error::Error>,
{
    text.parse().map_err(|error| unfit_because(column, error))
}

fn metadata(text: &str) -> Result<BTreeMap<String, String>, StoreError> {
    if text == NO_METADATA {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(text).map_err(|error| unfit_because("metadata", error))
}

fn unfit(column: &'static str) -> StoreError {
    refused(StoreErrorKind::Corrupt, column)
}

/// A value that a column cannot hold. Nothing in the store is damaged.
fn beyond(column: &'static str) -> StoreError {
    refused(StoreErrorKind::Unavailable, column)
}

fn refused(kind: StoreErrorKind, column: &'static str) -> StoreError {
    let source = Unfit {
        column,
        source: None,
    };
    StoreError::new(kind, source)
}

fn unfit_because(
    column: &'static str,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> StoreError {
    let source = Unfit {
        column,
        source: Some(source.into()),
    };
    StoreError::new(StoreErrorKind::Corrupt, source)
}

/// An error about a row, with the id of the row if that can be read.
pub(super) fn row_of(id: Option<KeyId>, error: StoreError) -> StoreError {
    match id {
        Some(id) => StoreError::new(error.kind(), UnreadableRow { id, error }),
        None => error,
    }
}

impl fmt::Display for UnreadableRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the record of the key {} cannot be read; revoke the key, or restore the record",
            self.id
        )
    }
}

impl StdError for UnreadableRow {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the column {} cannot hold or be this value", self.column)
    }
}

impl StdError for Unfit {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
