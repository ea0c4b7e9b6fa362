//! Keys for a trial of a stack that no operation makes.

use std::time::Duration;

use super::{Issued, KeyRing};
use crate::error::Error;
use crate::key::secret::SecretKey;
use crate::lifecycle::grant::Grant;
use crate::lifecycle::{Change, Write};

impl KeyRing {
    /// A text in the form of this ring's keys that no store knows.
    pub(crate) fn unknown_key(&self) -> Result<SecretKey, Error> {
        self.mint().map(|(_, secret)| secret)
    }

    /// The longest lifetime of a key that the ring issues, if it has a limit.
    pub(crate) fn longest_lifetime(&self) -> Option<Duration> {
        self.0.policy.max_lifetime
    }

    /// A key that is over from the beginning, so that a trial does not have to move the ring's clock.
    pub(crate) async fn issue_expired(&self, grant: Grant) -> Result<Issued, Error> {
        let issued = self.issue(grant).await?;
        let over = issued.record().issued_at();
        let ended = Write::next(issued.record(), |parts| parts.expires_at = Some(over));
        self.0.store.commit(&Change::new(vec![ended])).await?;
        Ok(issued)
    }
}
