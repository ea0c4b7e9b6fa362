//! New keys, within the limits of the ring.

use std::sync::Arc;
use std::time::Duration;

use super::{Change, DEFAULT_LIFETIME, KeyLimit, Policy, Reading, Write};
use crate::access::caveat::{Caveat, Caveats};
use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;
use crate::error::{Error, ErrorKind};
use crate::key::digest::KeyDigest;
use crate::key::{KeyId, KeyPrefix};
use crate::lifecycle::grant::{Grant, Lifetime};
use crate::record::{KeyRecord, KeyRecordParts};
use crate::time::Timestamp;

/// The longest lifetime that a grant or a policy may ask for: 100 years of 365.25 days. A longer one is
/// most likely a number of milliseconds.
pub(crate) const LONGEST_LIFETIME: Duration = Duration::from_secs(100 * 8766 * 60 * 60);

/// The identity of a key that is about to exist.
#[derive(Debug, Clone)]
pub(crate) struct Minted {
    pub(crate) id: KeyId,
    pub(crate) realm: Realm,
    pub(crate) digest: KeyDigest,
    pub(crate) pepper_version: Option<u32>,
    pub(crate) prefix: Option<KeyPrefix>,
}

/// Where a key stands in its chain of rotations and regrants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descent {
    pub(super) lineage: KeyId,
    pub(super) generation: u32,
}

impl Descent {
    /// The place after this key.
    pub(super) fn after(record: &KeyRecord) -> Self {
        Self {
            lineage: record.lineage(),
            generation: record.generation().saturating_add(1),
        }
    }
}

/// A new key of a new lineage: its record and the change that brings it.
pub(crate) fn issue(
    minted: Minted,
    grant: Grant,
    policy: &Policy,
    at: Reading,
) -> Result<(Arc<KeyRecord>, Change), Error> {
    let descent = Descent {
        lineage: minted.id,
        generation: 0,
    };
    let record = Arc::new(granted(minted, descent, grant, policy, at)?);
    let change = add(&record, policy, at);
    Ok((record, change))
}

/// The change that brings a new record, if its subject may have one more key.
pub(crate) fn add(record: &Arc<KeyRecord>, policy: &Policy, at: Reading) -> Change {
    let change = Change::new(vec![Write::new(Arc::clone(record))]);
    within_limit(change, record, policy, at)
}

/// A change that writes nothing, and applies only if the subject of a record may have one more key.
/// `None` if the ring has no limit.
pub(crate) fn room(record: &KeyRecord, policy: &Policy, at: Reading) -> Option<Change> {
    let others = policy.max_keys_per_subject?.saturating_sub(1);
    let limit = KeyLimit::new(record.realm(), record.subject(), others, at.now);
    Some(Change::new(Vec::new()).only_within(limit))
}

/// The record of a new key as the grant asks, if the ring allows it.
pub(super) fn granted(
    minted: Minted,
    descent: Descent,
    grant: Grant,
    policy: &Policy,
    at: Reading,
) -> Result<KeyRecord, Error> {
    let subject = grant.checked()?.clone();
    grantable(&grant.scopes, policy)?;
    enforceable(&grant.caveats, policy)?;
    let not_before = grant.not_before.unwrap_or(at.now);
    Ok(KeyRecord::from(KeyRecordParts {
        id: minted.id,
        realm: minted.realm,
        digest: minted.digest,
        pepper_version: minted.pepper_version,
        subject,
        scopes: grant.scopes,
        caveats: grant.caveats,
        issued_at: at.now,
        not_before,
        expires_at: expiry(grant.lifetime, not_before, policy, at)?,
        grace_ends_at: None,
        lineage: descent.lineage,
        generation: descent.generation,
        version: 1,
        revocation: None,
        label: grant.label,
        metadata: grant.metadata,
        prefix: minted.prefix,
    }))
}

/// Refuses scopes beyond those of the ring.
pub(super) fn grantable(scopes: &ScopeSet, policy: &Policy) -> Result<(), Error> {
    match &policy.grantable {
        Some(grantable) if !scopes.is_subset(grantable) => Err(Error::with_limit(
            ErrorKind::ScopeNotGrantable,
            grantable.as_str(),
        )),
        _ => Ok(()),
    }
}

/// Refuses caveats that no layer over the ring would check: the key would be refused everywhere.
pub(super) fn enforceable(caveats: &Caveats, policy: &Policy) -> Result<(), Error> {
    if caveats.unknown().next().is_some() {
        return Err(ErrorKind::InvalidCaveat.into());
    }
    let mut kinds = caveats.known().iter().map(Caveat::kind);
    match kinds.find(|kind| !policy.caveats.contains(kind)) {
        Some(kind) => Err(Error::with_limit(
            ErrorKind::CaveatNotGrantable,
            kind.as_str(),
        )),
        None => Ok(()),
    }
}

/// Makes the change apply only if its new record is not one key too many for the subject.
pub(super) fn within_limit(
    change: Change,
    new: &KeyRecord,
    policy: &Policy,
    at: Reading,
) -> Change {
    match policy.max_keys_per_subject {
        Some(most) => {
            let limit = KeyLimit::new(new.realm(), new.subject(), most, at.now);
            change.only_within(limit)
        }
        None => change,
    }
}

/// When a key that becomes valid at `not_before` expires. The limit counts from now, so that a
/// late start cannot stretch it. A key that would be over at once is refused.
pub(super) fn expiry(
    lifetime: Lifetime,
    not_before: Timestamp,
    policy: &Policy,
    at: Reading,
) -> Result<Option<Timestamp>, Error> {
    let too_long = matches!(lifetime, Lifetime::For(lifetime) if lifetime > LONGEST_LIFETIME);
    if too_long || not_before > Timestamp::LAST_YEAR {
        return Err(ErrorKind::InvalidLifetime.into());
    }
    let limit = policy.max_lifetime.map(|longest| {
        let last = at.now.checked_add(longest).unwrap_or(Timestamp::MAX);
        (longest, last)
    });
    let start = at.now.max(not_before);
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
            // It would never begin.
            None if start == Timestamp::MAX => return Err(ErrorKind::InvalidLifetime.into()),
            None => return Ok(None),
        },
    };
    if end <= start.max(at.latest) || end > Timestamp::LAST_YEAR {
        return Err(ErrorKind::InvalidLifetime.into());
    }
    match limit {
        Some((longest, last)) if end > last => Err(ErrorKind::LifetimeTooLong { longest }.into()),
        _ => Ok(Some(end)),
    }
}
