//! A new key in the place of an old one: with the same authority, or with another.

use std::sync::Arc;
use std::time::Duration;

use super::issue::{Descent, expiry, grantable, granted, within_limit};
use super::{Change, Minted, Policy, Reading, Write, split};
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::lifecycle::grant::{Grant, Lifetime};
use crate::record::{KeyRecord, KeyRecordParts, RevocationReason};
use crate::time::Timestamp;

/// The end of a key that is rotated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// It keeps working for this long, and no longer than it would have.
    After(Duration),
    /// It is dead at once.
    Now,
}

/// A new secret with the authority of the record, and the old one on its way out.
///
/// The rights of the new key all come from the record. Its lifetime is as long as the old one's was,
/// within the ring's present limits.
pub(crate) fn rotate(
    id: KeyId,
    lineage: &[Arc<KeyRecord>],
    minted: &Minted,
    ending: Ending,
    policy: &Policy,
    at: Reading,
) -> Result<(Arc<KeyRecord>, Change), Error> {
    let (old, others) = split(lineage, id)?;
    at.at_the_head(old)?;
    grantable(old.scopes(), policy)?;
    let new = Arc::new(successor(old, minted, policy, at)?);
    let ended = match ending {
        Ending::After(grace) => {
            let grace_ends_at = end_of_grace(old, grace, policy, at)?;
            if others.clone().any(|other| at.living(other).is_ok()) {
                return Err(ErrorKind::InGrace.into());
            }
            Write::next(old, |parts| parts.grace_ends_at = Some(grace_ends_at))
        }
        Ending::Now => Write::revoked(old, RevocationReason::Superseded, at.now),
    };
    // Of a lineage at most two are ever live, whatever the clock will say: a key whose grace period is
    // over by this reading is over permanently.
    let writes = [Write::new(Arc::clone(&new)), ended]
        .into_iter()
        .chain(others.map(|other| Write::revoked(other, RevocationReason::Superseded, at.now)))
        .collect();
    Ok((new, Change::new(writes)))
}

/// A new secret with a new authority, and every key of the old lineage dead in the same commit.
///
/// The new key may be of another realm: then the lineage is that of a temporary key, and the new key is
/// the real one.
pub(crate) fn regrant(
    id: KeyId,
    lineage: &[Arc<KeyRecord>],
    minted: Minted,
    grant: Grant,
    policy: &Policy,
    at: Reading,
) -> Result<(Arc<KeyRecord>, Change), Error> {
    let (old, others) = split(lineage, id)?;
    at.at_the_head(old)?;
    let new = Arc::new(granted(minted, Descent::after(old), grant, policy, at)?);
    let writes = [
        Write::new(Arc::clone(&new)),
        Write::revoked(old, RevocationReason::Superseded, at.now),
    ]
    .into_iter()
    .chain(others.map(|other| Write::revoked(other, RevocationReason::Superseded, at.now)))
    .collect();
    let change = Change::new(writes);
    if (new.realm(), new.subject()) == (old.realm(), old.subject()) {
        // The subject holds this lineage already. A limit that was lowered would keep the old key and its rights alive.
        return Ok((new, change));
    }
    let change = within_limit(change, &new, policy, at);
    Ok((new, change))
}

fn successor(
    old: &KeyRecord,
    minted: &Minted,
    policy: &Policy,
    at: Reading,
) -> Result<KeyRecord, Error> {
    let descent = Descent::after(old);
    let old = old.to_parts();
    Ok(KeyRecord::from(KeyRecordParts {
        id: minted.id,
        digest: minted.digest,
        pepper_version: minted.pepper_version,
        issued_at: at.now,
        expires_at: renewed(&old, policy, at)?,
        generation: descent.generation,
        version: 1,
        grace_ends_at: None,
        revocation: None,
        prefix: minted.prefix,
        ..old
    }))
}

/// The end of a lifetime as long as the old one's, cut to the ring's limit.
fn renewed(old: &KeyRecordParts, policy: &Policy, at: Reading) -> Result<Option<Timestamp>, Error> {
    let lifetime = match (old.expires_at, policy.max_lifetime) {
        (None, None) => Lifetime::Never,
        (None, Some(_)) => Lifetime::Default,
        (Some(end), longest) => {
            let begun = old.issued_at.max(old.not_before);
            let length = Duration::from_secs(end.as_unix().saturating_sub(begun.as_unix()));
            let start = at.now.max(old.not_before);
            let end = start.checked_add(length).unwrap_or(Timestamp::MAX);
            let end = end.min(Timestamp::LAST_YEAR);
            let last = longest.and_then(|longest| at.now.checked_add(longest));
            Lifetime::Until(last.map_or(end, |last| end.min(last)))
        }
    };
    expiry(lifetime, old.not_before, policy, at)
}

/// `min(now + grace, expiry)`, if the ring allows the grace period, and it is not over by the latest
/// time that the ring has seen: the old key would be a replaced one from the first moment.
fn end_of_grace(
    old: &KeyRecord,
    grace: Duration,
    policy: &Policy,
    at: Reading,
) -> Result<Timestamp, Error> {
    let longest = policy.max_grace;
    if grace > longest {
        return Err(ErrorKind::GraceTooLong { longest }.into());
    }
    let end = at.now.checked_add(grace).ok_or(ErrorKind::InvalidGrace)?;
    if end <= at.latest || end > Timestamp::LAST_YEAR {
        return Err(ErrorKind::InvalidGrace.into());
    }
    Ok(old.expires_at().map_or(end, |expiry| end.min(expiry)))
}
