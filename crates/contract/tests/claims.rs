//! The claims of notices in a broken store.

use std::time::Duration;

use tower_api_key::store::{ExpiryClaims, ExpiryLadder, ExpiryNotice};
use tower_api_key::{KeyRecord, Realm, Timestamp};

use super::fault::Fault;
use super::state::State;

impl State {
    /// What is due, before it is claimed: each key with its nearest step.
    pub(super) fn due(
        &self,
        realm: &Realm,
        ladder: &ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> Vec<ExpiryNotice> {
        let limit = match self.fault {
            Fault::ClaimsMoreThanItMay => usize::MAX,
            _ => limit,
        };
        let of_realm = self
            .keys
            .values()
            .filter(|record| self.fault == Fault::ClaimsInAnyRealm || record.realm() == realm);
        let mut due: Vec<_> = of_realm
            .filter_map(|record| {
                self.due_step(record, ladder, now)
                    .map(|step| (record, step))
            })
            .map(|(record, step)| {
                let expires_at = record.expires_at().unwrap_or(Timestamp::MAX);
                let subject = Some(record.subject().to_string());
                ExpiryNotice::new(record.id(), subject, expires_at, step)
            })
            .collect();
        due.sort();
        due.truncate(limit);
        due
    }

    fn due_step(
        &self,
        record: &KeyRecord,
        ladder: &ExpiryLadder,
        now: Timestamp,
    ) -> Option<Duration> {
        let is_revoked = record.revocation().is_some() && self.fault != Fault::ClaimsTheRevoked;
        let is_replaced =
            record.grace_ends_at().is_some() && self.fault != Fault::ClaimsTheReplaced;
        let expires_at = record.expires_at()?;
        let is_over = expires_at <= now && self.fault != Fault::ClaimsTheExpired;
        if is_revoked || is_replaced || is_over {
            return None;
        }
        let now = match self.fault {
            Fault::ClaimsASecondEarly => Timestamp::from_unix(now.as_unix().saturating_add(1)),
            _ => now,
        };
        let claimed = match self.fault {
            Fault::ClaimsEachTime => None,
            Fault::ForgetsClaimsWithAChange => {
                let claim = self.claims.get(&record.id());
                claim.filter(|claim| claim.1 == record.version())
            }
            _ => self.claims.get(&record.id()),
        };
        let claimed = claimed.map_or(Duration::MAX, |claim| claim.0);
        let step = match self.fault {
            // One step after the other, also if it is late.
            Fault::ClaimsWiderStepsToo => {
                let left = expires_at.as_unix().saturating_sub(now.as_unix());
                let below = ladder.below(claimed)?;
                (left <= below.as_secs()).then_some(below)
            }
            _ => ladder.nearest(expires_at, now),
        };
        let counts = |step| {
            self.fault == Fault::ClaimsStepsOfShorterLives
                || ExpiryLadder::counts(step, record.issued_at(), expires_at)
        };
        step.filter(|step| match self.fault {
            Fault::ClaimsAnyOtherStep => *step != claimed,
            _ => *step < claimed,
        })
        // With the fault they take the places of others, and are never claimed.
        .filter(|step| counts(*step) || self.fault == Fault::StopsAtShorterLives)
    }

    pub(super) fn claim(&mut self, due: Vec<ExpiryNotice>, limit: usize) -> ExpiryClaims {
        let more = due.len() >= limit && self.fault != Fault::NamesNoFurtherClaims;
        let mut notices = Vec::new();
        for notice in due {
            let Some(record) = self.keys.get(&notice.id).cloned() else {
                continue;
            };
            let counts = ExpiryLadder::counts(notice.step, record.issued_at(), notice.expires_at);
            if !counts && self.fault == Fault::StopsAtShorterLives {
                continue;
            }
            self.claims
                .insert(notice.id, (notice.step, record.version()));
            if self.fault == Fault::RaisesTheVersionWithAClaim {
                let mut parts = record.to_parts();
                parts.version += 1;
                self.keys
                    .insert(notice.id, std::sync::Arc::new(parts.into()));
            }
            notices.push(notice);
        }
        ExpiryClaims::new(notices, more)
    }
}
