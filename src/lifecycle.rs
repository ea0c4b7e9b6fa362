//! The pure rules: records, a policy and one clock reading make a [`Change`]. No I/O, no waiting.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::digest::KeyDigest;
use crate::error::{Error, ErrorKind};
use crate::format::KeyId;
use crate::grant::{Grant, Lifetime};
use crate::realm::Realm;
use crate::record::{KeyRecord, KeyRecordParts, Revocation, RevocationReason};

/// How long a key lives where its grant does not say, and the ring allows it: 90 days.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const MAX_SUBJECT_LEN: usize = 256;

/// A set of writes that a store applies all together or not at all.
#[derive(Debug, Clone)]
pub struct Change {
    writes: Vec<Write>,
}

impl Change {
    /// The writes, in order; each names another record.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }
}

/// One record to put, and what must stand in its place before.
#[derive(Debug, Clone)]
pub struct Write {
    /// The record as it shall be.
    pub record: KeyRecord,
    /// What the store must find under its id for the change to apply.
    pub expected: Expected,
}

/// What a store must find under a record's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the record is new, and its digest is in no other record.
    Absent,
    /// The same record at exactly this version.
    Version(u64),
}

/// What a ring allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// The longest lifetime; `None` where keys may live for ever.
    pub(crate) longest_lifetime: Option<Duration>,
}

/// The identity of a key that is about to exist.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) id: KeyId,
    pub(crate) realm: Realm,
    pub(crate) digest: KeyDigest,
    pub(crate) pepper_version: Option<u32>,
}

/// A new key of a new lineage: its record and the change that brings it.
pub(crate) fn issue(
    minted: Minted,
    grant: Grant,
    policy: Policy,
    now: Timestamp,
) -> Result<(KeyRecord, Change), Error> {
    let valid_subject = (1..=MAX_SUBJECT_LEN).contains(&grant.subject.len())
        && !grant.subject.chars().any(char::is_control);
    if !valid_subject {
        return Err(ErrorKind::InvalidSubject.into());
    }
    let not_before = grant.not_before.unwrap_or(now);
    let expires_at = expiry(grant.lifetime, now, not_before, policy)?;
    let record = KeyRecord::from(KeyRecordParts {
        id: minted.id,
        realm: minted.realm,
        digest: minted.digest,
        pepper_version: minted.pepper_version,
        subject: grant.subject,
        scopes: grant.scopes,
        issued_at: now,
        not_before,
        expires_at,
        retire_at: None,
        lineage: minted.id,
        generation: 0,
        version: 1,
        revocation: None,
        label: grant.label,
        metadata: grant.metadata,
    });
    let change = Change {
        writes: vec![Write {
            record: record.clone(),
            expected: Expected::Absent,
        }],
    };
    Ok((record, change))
}

/// Ends a key for good; `None` where it is revoked already.
pub(crate) fn revoke(
    record: &KeyRecord,
    reason: RevocationReason,
    now: Timestamp,
) -> Option<Change> {
    if record.revocation().is_some() {
        return None;
    }
    let mut parts = record.to_parts();
    parts.version += 1;
    parts.revocation = Some(Revocation { at: now, reason });
    Some(Change {
        writes: vec![Write {
            record: parts.into(),
            expected: Expected::Version(record.version()),
        }],
    })
}

/// When a key that becomes valid at `not_before` expires. The limit counts from now, so that a
/// late start cannot stretch it.
fn expiry(
    lifetime: Lifetime,
    now: Timestamp,
    not_before: Timestamp,
    policy: Policy,
) -> Result<Option<Timestamp>, Error> {
    let limit = policy
        .longest_lifetime
        .map(|longest| (longest, now.checked_add(longest).unwrap_or(Timestamp::MAX)));
    let start = now.max(not_before);
    let end = match lifetime {
        Lifetime::Default => {
            let end = start
                .checked_add(DEFAULT_LIFETIME)
                .ok_or(ErrorKind::InvalidLifetime)?;
            limit.map_or(end, |(_, last)| end.min(last))
        }
        Lifetime::For(lifetime) => start
            .checked_add(lifetime)
            .ok_or(ErrorKind::InvalidLifetime)?,
        Lifetime::Until(end) => end,
        Lifetime::Never => match limit {
            Some((longest, _)) => return Err(ErrorKind::LifetimeTooLong { longest }.into()),
            None => return Ok(None),
        },
    };
    if end <= start {
        return Err(ErrorKind::InvalidLifetime.into());
    }
    match limit {
        Some((longest, last)) if end > last => Err(ErrorKind::LifetimeTooLong { longest }.into()),
        _ => Ok(Some(end)),
    }
}
