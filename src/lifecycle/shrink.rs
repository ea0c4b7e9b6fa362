//! Less authority, and none.

use std::sync::Arc;

use super::{Change, Reading, SubjectKeys, Write, split};
use crate::error::{Error, ErrorKind};
use crate::format::KeyId;
use crate::realm::Realm;
use crate::record::{KeyRecord, RevocationReason};
use crate::scope::ScopeSet;

/// Fewer scopes for a key, and the keys in grace beside it dead in the same commit; `None` where
/// there is nothing to take away.
pub(crate) fn narrow(
    id: KeyId,
    lineage: &[Arc<KeyRecord>],
    scopes: &ScopeSet,
    at: Reading,
) -> Result<Option<(KeyRecord, Change)>, Error> {
    let (key, others) = split(lineage, id)?;
    at.at_the_head(key)?;
    if scopes.is_empty() {
        return Err(ErrorKind::EmptyScopes.into());
    }
    if !scopes.is_subset(key.scopes()) {
        return Err(ErrorKind::WouldWiden.into());
    }
    if scopes == key.scopes() && others.clone().next().is_none() {
        return Ok(None);
    }
    let reason = RevocationReason::PrivilegeWithdrawn;
    // The key is written even where it keeps all of its scopes: it may have ended since.
    let narrowed = Write::next(key, |parts| parts.scopes = scopes.clone());
    let record = narrowed.record.clone();
    let writes = [narrowed]
        .into_iter()
        .chain(others.map(|other| Write::revoked(other, reason, at.now)))
        .collect();
    Ok(Some((record, Change::new(writes))))
}

/// Ends these keys for good; `None` where all of them are revoked already.
pub(crate) fn revoke<'a>(
    records: impl IntoIterator<Item = &'a Arc<KeyRecord>>,
    reason: RevocationReason,
    at: Reading,
) -> Option<Change> {
    let writes: Vec<Write> = records
        .into_iter()
        .filter(|record| record.revocation().is_none())
        .map(|record| Write::revoked(record, reason, at.now))
        .collect();
    (!writes.is_empty()).then(|| Change::new(writes))
}

/// Ends all the keys of a subject, and only where no other has come meanwhile; `None` where none
/// is left to end.
pub(crate) fn revoke_subject(
    realm: &Realm,
    subject: &str,
    records: &[Arc<KeyRecord>],
    reason: RevocationReason,
    at: Reading,
) -> Option<Change> {
    let change = revoke(records, reason, at)?;
    Some(change.only_while(SubjectKeys::new(realm, subject, records)))
}
