//! Which operations are refused, and why. If an operation has several faults, any of them may be
//! the answer.

use std::collections::BTreeSet;
use std::time::Duration;

use tower_api_key::{
    Caveats, ErrorKind, InvalidCause, KeyRecordParts, KeyState, Metadata, RevocationReason,
    ScopeSet, Timestamp,
};

use super::caveats::Client;
use super::operations::{Lifetime, Wish};
use super::reference::{Birth, Reference, Succession, end};
use super::rings::RINGS;
use super::sets::Taken;

/// The faults of an operation.
pub(super) type Reasons = Vec<ErrorKind>;

const DEFAULT_LIFETIME: u64 = 90 * 24 * 60 * 60;

/// The answer of a ring to a key that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Refused(InvalidCause),
}

/// The last second of the year 9999.
const LAST_YEAR: u128 = 253_402_300_799;
/// 100 years of 365.25 days.
const LONGEST: Duration = Duration::from_hours(100 * 8766);

/// The end of a lifetime, computed without overflow. The reasons against it are added. A key that
/// has ended by the horizon would be dead when it is returned.
fn expiry(
    ring: usize,
    (now, horizon): (u64, u64),
    start: u64,
    lifetime: Lifetime,
    reasons: &mut Reasons,
) -> Option<u64> {
    let longest = RINGS[ring].max_lifetime;
    let last = longest.map_or(u128::MAX, |longest| {
        (u128::from(now) + u128::from(longest)).min(u128::from(u64::MAX))
    });
    if u128::from(start) > LAST_YEAR
        || matches!(lifetime, Lifetime::For(lifetime) if lifetime > LONGEST)
    {
        reasons.push(ErrorKind::InvalidLifetime);
    }
    let start = u128::from(start.max(now));
    let wanted = match lifetime {
        Lifetime::Default => {
            let end = start + u128::from(DEFAULT_LIFETIME);
            if end > u128::from(u64::MAX) {
                end
            } else {
                end.min(last)
            }
        }
        Lifetime::For(lifetime) => start + u128::from(lifetime.as_secs()),
        Lifetime::Until(offset) => u128::from(now.saturating_add_signed(offset)),
        Lifetime::UntilMax => u128::from(u64::MAX),
        Lifetime::Never => match longest {
            None if start == u128::from(u64::MAX) => {
                reasons.push(ErrorKind::InvalidLifetime);
                return None;
            }
            None => return None,
            Some(_) => u128::MAX,
        },
    };
    if wanted <= start.max(u128::from(horizon))
        || (wanted > LAST_YEAR && !matches!(lifetime, Lifetime::Never))
    {
        reasons.push(ErrorKind::InvalidLifetime);
    }
    if let Some(longest) = longest
        && wanted > last
    {
        let longest = Duration::from_secs(longest);
        reasons.push(ErrorKind::LifetimeTooLong { longest });
    }
    Some(u64::try_from(wanted).unwrap_or(u64::MAX))
}

fn grantable(ring: usize, scopes: &ScopeSet, reasons: &mut Reasons) {
    if let Some(grantable) = RINGS[ring].grantable()
        && scopes.iter().any(|scope| !grantable.contains(scope))
    {
        reasons.push(ErrorKind::ScopeNotGrantable);
    }
}

fn grantable_caveats(ring: usize, caveats: &Caveats, reasons: &mut Reasons) {
    if !caveats.iter().all(|it| RINGS[ring].grants_caveat(it)) {
        reasons.push(ErrorKind::CaveatNotGrantable);
    }
}

/// Whether another key has permanently replaced this one.
fn is_replaced(parts: &KeyRecordParts, by: u64) -> bool {
    let revocation = parts.revocation;
    let superseded = revocation.is_some_and(|it| it.reason == RevocationReason::Superseded);
    parts
        .grace_ends_at
        .map_or(superseded, |end| end.as_unix() <= by)
}

impl Reference {
    /// A key as wished. `dying` are the keys that its birth ends, `replaced` is the one in whose place it comes, and no
    /// end is compared with a time before the horizon.
    pub(super) fn birth(
        &self,
        ring: usize,
        horizon: u64,
        wish: &Wish,
        dying: &[usize],
        replaced: Option<usize>,
    ) -> Result<Birth, Reasons> {
        let mut reasons = Reasons::new();
        let subject = wish.subject;
        if subject.is_empty() || subject.len() > 256 || subject.contains(char::is_control) {
            reasons.push(ErrorKind::InvalidSubject);
        }
        let scopes = wish.scopes_for(ring);
        grantable(ring, &scopes, &mut reasons);
        let caveats = wish.caveats_for(ring);
        grantable_caveats(ring, &caveats, &mut reasons);
        let start = wish.start(self.now).unwrap_or(self.now);
        let expires_at = expiry(
            ring,
            (self.now, horizon),
            start,
            wish.lifetime,
            &mut reasons,
        );
        // A key in the place of another of its subject is not one more.
        let is_in_place = replaced
            .is_some_and(|key| self.knows(ring, key) && self.keys[key].parts.subject == subject);
        if let Some(limit) = RINGS[ring].max_keys_per_subject
            && !is_in_place
        {
            let held = (0..self.keys.len()).filter(|&key| {
                let parts = &self.keys[key].parts;
                self.knows(ring, key)
                    && !dying.contains(&key)
                    && parts.subject == subject
                    && parts.revocation.is_none()
                    && self.now < end(parts)
            });
            let lineages: BTreeSet<_> = held.map(|key| self.keys[key].parts.lineage).collect();
            if lineages.len() >= limit {
                reasons.push(ErrorKind::TooManyKeys { limit });
            }
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        Ok(Birth {
            ring,
            subject: subject.to_owned(),
            scopes,
            caveats,
            not_before: start,
            expires_at,
            label: Some(format!("for {}", subject.len())),
            metadata: Metadata::none(),
            descent: None,
        })
    }

    /// A key that is known, alive by the horizon and not replaced yet, or the reason why it is not.
    pub(super) fn head(
        &self,
        ring: usize,
        horizon: u64,
        key: Option<usize>,
    ) -> Result<usize, Reasons> {
        let key = key
            .filter(|&key| self.knows(ring, key))
            .ok_or(vec![ErrorKind::NotFound])?;
        let parts = &self.keys[key].parts;
        match self.state(horizon, parts) {
            KeyState::Expired => Err(vec![ErrorKind::KeyExpired]),
            KeyState::Replaced => Err(vec![ErrorKind::KeyReplaced]),
            KeyState::Revoked => Err(vec![ErrorKind::KeyRevoked]),
            _ if parts.grace_ends_at.is_some() => Err(vec![ErrorKind::InGrace]),
            _ => Ok(key),
        }
    }

    /// A rotation with this grace period, or with none.
    pub(super) fn rotation(
        &self,
        ring: usize,
        key: Option<usize>,
        grace: Option<Duration>,
    ) -> Result<Succession, Reasons> {
        let horizon = self.horizon(ring);
        let old = self.head(ring, horizon, key)?;
        let parts = &self.keys[old].parts;
        let mut reasons = Reasons::new();
        grantable(ring, &parts.scopes, &mut reasons);
        let spec = &RINGS[ring];
        let not_before = parts.not_before.as_unix();
        let start = not_before.max(self.now);
        let expires_at = match (parts.expires_at, spec.max_lifetime) {
            (None, None) => None,
            (None, Some(_)) => {
                let times = (self.now, horizon);
                expiry(ring, times, start, Lifetime::Default, &mut reasons)
            }
            (Some(end), longest) => {
                let length = end.as_unix() - parts.issued_at.as_unix().max(not_before);
                let last = longest.map_or(u128::MAX, |longest| {
                    u128::from(self.now) + u128::from(longest)
                });
                let end = u128::from(start) + u128::from(length);
                let end = end.min(LAST_YEAR).min(last);
                let end = u64::try_from(end).unwrap_or(u64::MAX);
                if end <= start.max(horizon) {
                    reasons.push(ErrorKind::InvalidLifetime);
                }
                Some(end)
            }
        };
        let mut grace_end = None;
        if let Some(grace) = grace {
            let longest = Duration::from_secs(spec.max_grace);
            if grace > longest {
                reasons.push(ErrorKind::GraceTooLong { longest });
            }
            let end = u128::from(self.now) + u128::from(grace.as_secs());
            if end <= u128::from(horizon) || end > LAST_YEAR {
                reasons.push(ErrorKind::InvalidGrace);
            }
            if self.has_predecessor_in_grace(ring, old) {
                reasons.push(ErrorKind::InGrace);
            }
            let expiry = parts.expires_at.map_or(u64::MAX, Timestamp::as_unix);
            grace_end = Some(u64::try_from(end).map_or(expiry, |end| end.min(expiry)));
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let birth = Birth {
            ring,
            subject: parts.subject.to_string(),
            scopes: parts.scopes.clone(),
            caveats: parts.caveats.clone(),
            not_before,
            expires_at,
            label: parts.label.as_ref().map(ToString::to_string),
            metadata: parts.metadata.clone(),
            descent: Some((parts.lineage, parts.generation + 1)),
        };
        Ok(Succession {
            old,
            birth,
            grace_end,
        })
    }

    pub(super) fn promotion(
        &self,
        from: usize,
        key: Option<usize>,
        into: usize,
        wish: &Wish,
    ) -> Result<Succession, Reasons> {
        let horizon = self.horizon(from).max(self.horizon(into));
        let old = self.head(from, horizon, key)?;
        let (lineage, generation) = {
            let parts = &self.keys[old].parts;
            (parts.lineage, parts.generation)
        };
        let mut birth = self.birth(into, horizon, wish, &self.lineage(from, lineage), Some(old))?;
        birth.descent = Some((lineage, generation + 1));
        Ok(Succession {
            old,
            birth,
            grace_end: None,
        })
    }

    /// That a key as wished would be one too many.
    pub(super) fn lack_of_room(&self, ring: usize, wish: &Wish) -> Option<ErrorKind> {
        let birth = self.birth(ring, self.horizon(ring), wish, &[], None);
        let mut reasons = birth.err().into_iter().flatten();
        reasons.find(|reason| matches!(reason, ErrorKind::TooManyKeys { .. }))
    }

    pub(super) fn narrowing(
        &self,
        ring: usize,
        key: Option<usize>,
        taken: &Taken,
    ) -> Result<usize, Reasons> {
        // A clock that fails does not affect operations that remove authority.
        let horizon = match self.now {
            u64::MAX => self.horizons[ring],
            _ => self.horizon(ring),
        };
        let key = self.head(ring, horizon, key)?;
        let held = &self.keys[key].parts.scopes;
        let mut reasons = Reasons::new();
        grantable_caveats(ring, &taken.caveats, &mut reasons);
        if let Some(scopes) = &taken.scopes {
            if scopes.is_empty() {
                reasons.push(ErrorKind::EmptyScopes);
            }
            if scopes.iter().any(|scope| !held.contains(scope)) {
                reasons.push(ErrorKind::WouldWiden);
            }
        }
        if reasons.is_empty() {
            Ok(key)
        } else {
            Err(reasons)
        }
    }

    /// Records that a ring has seen this key expired.
    pub(super) fn remember_end(&mut self, ring: usize, parts: &KeyRecordParts) {
        // A key without an end is over only at the end of time.
        if end(parts) != u64::MAX {
            self.ended.insert((ring, parts.id));
            self.horizons[ring] = self.horizons[ring].max(end(parts));
        }
    }

    /// Whether a reuse by this key is one by the current clock, and not only for a ring that has
    /// seen the clock ahead.
    pub(super) fn is_reused_by_now(&self, parts: &KeyRecordParts) -> bool {
        self.now != u64::MAX && is_replaced(parts, self.now)
    }

    /// The verdict of a ring on the record that it found, and the facts that the ring remembers of it.
    pub(super) fn judge(&mut self, ring: usize, parts: &KeyRecordParts, client: Client) -> Answer {
        let horizon = self.horizon(ring);
        let replaced = is_replaced(parts, horizon);
        let cause = match self.state(horizon, parts) {
            KeyState::Live if !parts.caveats.iter().all(|it| client.meets(it)) => {
                InvalidCause::CaveatNotMet
            }
            KeyState::Live => {
                let now = self.now;
                let used = self.unrecorded[ring].entry(parts.id).or_default();
                *used = now.max(*used);
                return Answer::Accepted;
            }
            KeyState::NotYetValid => InvalidCause::NotYetValid,
            KeyState::Revoked if !replaced => InvalidCause::Revoked,
            state => {
                if state != KeyState::Revoked {
                    self.remember_end(ring, parts);
                }
                if replaced {
                    InvalidCause::Replaced
                } else {
                    InvalidCause::Expired
                }
            }
        };
        Answer::Refused(cause)
    }
}
