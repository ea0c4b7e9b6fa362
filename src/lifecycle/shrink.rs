//! Less authority.

use std::sync::Arc;

use super::issue::enforceable;
use super::{Change, Narrowing, Policy, Reading, Write, split};
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::record::{KeyRecord, RevocationReason};

/// Fewer scopes for a key, and its lineage's keys in their grace period dead in the same commit; `None`
/// if there is nothing to take away.
pub(crate) fn narrow(
    id: KeyId,
    lineage: &[Arc<KeyRecord>],
    narrowing: &Narrowing,
    policy: &Policy,
    at: Reading,
) -> Result<Option<(Arc<KeyRecord>, Change)>, Error> {
    let (key, others) = split(lineage, id)?;
    at.at_the_head(key)?;
    let narrowing = narrowing.checked()?;
    enforceable(&narrowing.caveats, policy)?;
    let scopes = narrowing.scopes.as_ref().unwrap_or(key.scopes());
    let caveats = key.caveats().union(&narrowing.caveats)?;
    if scopes.is_empty() && narrowing.scopes.is_some() {
        return Err(ErrorKind::EmptyScopes.into());
    }
    if scopes == key.scopes() && caveats == *key.caveats() && others.clone().next().is_none() {
        return Ok(None);
    }
    let reason = RevocationReason::PrivilegeWithdrawn;
    // The key is written even if it keeps all of its scopes: it may have ended since.
    let narrowed = Write::next(key, |parts| {
        parts.scopes = scopes.clone();
        parts.caveats = caveats;
    });
    if !narrowed.record.is_within(key) {
        return Err(ErrorKind::WouldWiden.into());
    }
    let record = Arc::clone(&narrowed.record);
    let writes = [narrowed]
        .into_iter()
        .chain(others.map(|other| Write::revoked(other, reason, at.now)))
        .collect();
    Ok(Some((record, Change::new(writes))))
}
