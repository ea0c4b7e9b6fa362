//! The pure rules: records, a policy and one clock reading make a [`Change`]. No I/O, no waiting.
//!
//! Nothing here widens a key: [`replace`] makes new keys next to dying ones, [`shrink`] takes away, [`describe`]
//! changes texts that are no authority.

mod change;
mod crowded;
mod describe;
mod description;
mod ended;
mod expected;
pub(crate) mod grant;
mod import;
mod issue;
mod key_limit;
mod narrowing;
mod replace;
pub(crate) mod request;
mod revoked;
mod shrink;
mod target;
mod write;

use std::sync::Arc;
use std::time::Duration;

pub use change::Change;
pub(crate) use crowded::issue_replacing_oldest;
pub(crate) use describe::describe;
pub use description::Description;
pub use ended::Ended;
pub use expected::Expected;
pub(crate) use import::{differences, import, other_owner};
pub(crate) use issue::{LONGEST_LIFETIME, Minted, add, issue, room};
pub use key_limit::KeyLimit;
pub use narrowing::Narrowing;
pub(crate) use replace::{Ending, regrant, rotate};
pub use revoked::Revoked;
pub(crate) use shrink::narrow;
pub use target::Target;
pub use write::Write;

use crate::access::caveat::CaveatKind;
use crate::access::scope_set::ScopeSet;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::record::{KeyRecord, KeyState};
use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The lifetime of a key if its grant sets none, and the ring allows it: 90 days.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(90 * DAY.as_secs());
/// The longest grace period if the ring sets none: 24 hours.
pub(crate) const DEFAULT_GRACE: Duration = DAY;

/// The limits of a ring.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// The longest lifetime, `None` if keys may live for ever.
    pub(crate) max_lifetime: Option<Duration>,
    /// The longest grace period of a rotated key.
    pub(crate) max_grace: Duration,
    /// The scopes that may be granted; `None` for all.
    pub(crate) grantable: Option<ScopeSet>,
    /// The caveats that may be granted, because every layer over the ring checks them.
    pub(crate) caveats: Vec<CaveatKind>,
    /// How many lineages with keys that are not over a subject may hold; `None` for any number.
    pub(crate) max_keys_per_subject: Option<usize>,
}

impl Policy {
    /// The same, without the scopes that are not in the ceiling of an owner.
    pub(crate) fn within(&self, ceiling: &ScopeSet) -> Self {
        let grantable = match &self.grantable {
            Some(grantable) => grantable.intersection(ceiling),
            None => ceiling.clone(),
        };
        Self {
            grantable: Some(grantable),
            ..self.clone()
        }
    }
}

/// One reading of the clock, and the latest end of a key that was denied for its age: no end is
/// judged by an earlier time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) latest: Timestamp,
}

impl Reading {
    /// The same moment, at which a key that ended by `end` is over too.
    #[inline]
    pub(crate) fn or_later(self, end: Timestamp) -> Self {
        Self {
            latest: self.latest.max(end),
            ..self
        }
    }

    /// Refuses a key that is dead, with the kind that says how it died.
    fn living(self, record: &KeyRecord) -> Result<(), Error> {
        match record.state_at(self.latest) {
            KeyState::Live | KeyState::NotYetValid => Ok(()),
            KeyState::Expired => Err(ErrorKind::KeyExpired.into()),
            KeyState::Replaced => Err(ErrorKind::KeyReplaced.into()),
            KeyState::Revoked => Err(ErrorKind::KeyRevoked.into()),
        }
    }

    /// Refuses a key that is dead, or that another has replaced already.
    fn at_the_head(self, record: &KeyRecord) -> Result<(), Error> {
        self.living(record)?;
        if record.grace_ends_at().is_some() {
            return Err(ErrorKind::InGrace.into());
        }
        Ok(())
    }
}

/// Splits a lineage into the key in question and the others that are not revoked.
fn split(
    lineage: &[Arc<KeyRecord>],
    id: KeyId,
) -> Result<(&KeyRecord, impl Iterator<Item = &KeyRecord> + Clone), Error> {
    let key = lineage
        .iter()
        .find(|record| record.id() == id)
        .ok_or(ErrorKind::NotFound)?;
    let others = lineage
        .iter()
        .map(|record| &**record)
        .filter(move |record| record.id() != id && record.revocation().is_none());
    Ok((key, others))
}
