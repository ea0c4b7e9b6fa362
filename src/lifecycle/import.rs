//! Keys from elsewhere, within the limits of the ring.

use std::sync::Arc;

use super::issue::{Descent, LONGEST_LIFETIME, granted};
use super::{Change, Minted, Policy, Reading, add};
use crate::error::{Error, ErrorKind};
use crate::lifecycle::grant::Lifetime;
use crate::lifecycle::request::Import;
use crate::record::KeyRecord;
use crate::time::Timestamp;

const SAY_SOONER: &str =
    "let the imported key end sooner, or import it by a ring with a longer or unlimited lifetime";

/// A key that was minted elsewhere: its record and the change that brings it.
pub(crate) fn import(
    minted: Minted,
    import: Import,
    policy: &Policy,
    at: Reading,
) -> Result<(Arc<KeyRecord>, Change), Error> {
    let record = Arc::new(imported(minted, import, policy, at)?);
    let change = add(&record, policy, at);
    Ok((record, change))
}

fn imported(
    minted: Minted,
    import: Import,
    policy: &Policy,
    at: Reading,
) -> Result<KeyRecord, Error> {
    match import.grant.lifetime {
        Lifetime::Default => return Err(ErrorKind::ExpiryNotSaid.into()),
        // A clock that fails reads MAX, and says nothing of an end.
        Lifetime::Until(end) if at.now < Timestamp::MAX && end <= at.now.max(at.latest) => {
            return Err(ErrorKind::KeyExpired.into());
        }
        _ => {}
    }
    let descent = Descent {
        lineage: minted.id,
        generation: 0,
    };
    let record = granted(minted, descent, import.grant, policy, at);
    let record = record.map_err(|error| match error.kind() {
        kind @ ErrorKind::LifetimeTooLong { .. } => Error::with_limit(kind, SAY_SOONER),
        _ => error,
    })?;
    let Some(issued_at) = import.issued_at else {
        return Ok(record);
    };
    // Before now, and so before the end, which lies ahead.
    if issued_at > at.now {
        return Err(ErrorKind::InvalidIssuedAt.into());
    }
    let mut parts = record.to_parts();
    parts.issued_at = issued_at;
    Ok(parts.into())
}

/// Whether an existing record is of another subject than the import: the parts in which they may not differ,
/// whatever was done with the key since it was imported.
pub(crate) fn other_owner(record: &KeyRecord, import: &Import, _: Reading) -> Vec<&'static str> {
    if import.grant.subject.as_ref() == Ok(record.subject()) {
        return Vec::new();
    }
    vec!["subject"]
}

/// The parts in which an existing record differs from the import; empty if the import has nothing to do.
/// A part that the import does not set is not compared. A lifetime counts from the import, so that the
/// same one said later is met by an earlier end.
pub(crate) fn differences(record: &KeyRecord, import: &Import, at: Reading) -> Vec<&'static str> {
    let grant = &import.grant;
    let ends_as_said = match (grant.lifetime, record.expires_at()) {
        (Lifetime::Never, end) => end.is_none(),
        (Lifetime::Until(said), end) => end == Some(said),
        (Lifetime::For(lifetime), Some(end)) => {
            let start = at.now.max(grant.not_before.unwrap_or(at.now));
            lifetime <= LONGEST_LIFETIME
                && start
                    .checked_add(lifetime)
                    .is_some_and(|latest| end <= latest)
        }
        (Lifetime::For(_) | Lifetime::Default, _) => false,
    };
    let said_otherwise = |said: Option<_>, is| said.is_some_and(|said| said != is);
    [
        ("subject", grant.subject.as_ref() != Ok(record.subject())),
        ("scopes", grant.scopes != *record.scopes()),
        ("caveats", grant.caveats != *record.caveats()),
        ("expiry", !ends_as_said),
        (
            "start",
            said_otherwise(grant.not_before, record.not_before()),
        ),
        (
            "time of issue",
            said_otherwise(import.issued_at, record.issued_at()),
        ),
        ("label", grant.label.as_ref() != record.label()),
        ("metadata", grant.metadata != *record.metadata()),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
