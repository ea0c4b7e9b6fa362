//! When a replica asks, and how long it waits for an answer.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::support::mixing::mixed;

/// The part of the staleness that a lease lasts, in tenths. Two clocks may differ by a tenth in their rates: a
/// daemon that corrects a clock slews it by up to a twelfth.
const LEASE_TENTHS: u32 = 9;
/// The longest wait for changes.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The waits for answers that no lease depends on: for a position, a page of records, and checksums of all of them.
pub(crate) const HEAD_TIMEOUT: Duration = LONGEST_TIMEOUT;
pub(crate) const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const SUMS_TIMEOUT: Duration = Duration::from_secs(15);
/// How many buckets one answer has the checksums of: if all of them are waited for, and if a lease goes on.
pub(crate) const BUCKETS_AT_RESET: u8 = 32;
const BUCKETS_OF_AUDIT: u8 = 1;
/// How often the time for a pull is doubled.
const MOST_DOUBLINGS: u32 = 3;
/// At most one pull in this time is because of hints.
const HINT_INTERVAL: Duration = Duration::from_millis(10);
/// From one audit to the next, and 24 times as long as from one that had no answer.
const SECONDS_OF_DAY: u32 = 24 * 60 * 60;
const DAY: Duration = Duration::from_secs(SECONDS_OF_DAY as u64);

/// The times of one replica. Chance spreads those of a fleet.
#[derive(Debug)]
pub(crate) struct Pace {
    staleness: Duration,
    interval: Duration,
    /// From one audit to the next.
    audits: Duration,
    buckets_of_audit: u8,
    chance: u64,
    draws: u64,
    failures: u32,
}

impl Pace {
    pub(crate) fn new(staleness: Duration, interval: Duration) -> Self {
        Self::by_chance(staleness, interval, RandomState::new().hash_one(()))
    }

    pub(crate) fn by_chance(staleness: Duration, interval: Duration, chance: u64) -> Self {
        Self {
            staleness,
            interval,
            audits: DAY,
            buckets_of_audit: BUCKETS_OF_AUDIT,
            chance,
            draws: 0,
            failures: 0,
        }
    }

    /// As often as this, instead of once a day, and in parts of so many buckets.
    #[cfg(test)]
    pub(crate) fn audits_every(self, audits: Duration, buckets_of_audit: u8) -> Self {
        Self {
            audits,
            buckets_of_audit,
            ..self
        }
    }

    /// How long a lease lasts, under the staleness that the database states.
    pub(crate) fn lease(&self, stated: Duration) -> Duration {
        self.staleness.min(stated) / 10 * LEASE_TENTHS
    }

    /// How long a pull may take: twice as long after each failure. The failed one has cost its connection, and the
    /// first pull of another one is dearer. A server under load would else never answer in time.
    pub(crate) fn timeout(&self) -> Duration {
        let doubled = self.first_timeout() * (1 << self.failures.min(MOST_DOUBLINGS));
        doubled.min(self.longest_timeout())
    }

    fn first_timeout(&self) -> Duration {
        LONGEST_TIMEOUT.min(self.staleness / 5)
    }

    /// The lease of an answer that is as late has some time left.
    fn longest_timeout(&self) -> Duration {
        LONGEST_TIMEOUT.min(self.staleness / 2)
    }

    /// How long a pull with checksums may take: so long that the lease does not end meanwhile.
    pub(crate) fn audit_timeout(&self) -> Duration {
        self.first_timeout().max(self.staleness / 2)
    }

    /// How long a caller waits for a pull if another is open.
    pub(crate) fn patience(&self) -> Duration {
        self.audit_timeout() + self.longest_timeout()
    }

    /// When the pull after this one is due.
    pub(crate) fn next_pull(&mut self, asked: Duration) -> Duration {
        self.failures = 0;
        asked + self.about(self.interval)
    }

    /// The same after a hint.
    pub(crate) fn after_hint(asked: Duration) -> Duration {
        asked + HINT_INTERVAL
    }

    /// When to ask again after a failure: twice as late each time.
    pub(crate) fn after_failure(&mut self, now: Duration) -> Duration {
        let doubled = self.interval.saturating_mul(1 << self.failures.min(10));
        self.failures += 1;
        now + self.about(doubled.min(self.first_timeout()).max(HINT_INTERVAL))
    }

    /// When to begin anew if a history is lost. All replicas of the database lose it at once.
    pub(crate) fn after_loss(&mut self, now: Duration) -> Duration {
        now + self.some_of(self.first_timeout())
    }

    /// When the first audit is due. Replicas that were started together do not audit together.
    pub(crate) fn first_audit(&mut self, now: Duration) -> Duration {
        now + self.some_of(self.audits)
    }

    pub(crate) fn next_audit(&mut self, now: Duration) -> Duration {
        now + self.about(self.audits)
    }

    /// When the next part of an audit is due: after a second, so that few pulls wait for checksums.
    pub(crate) fn next_part_of_audit(&mut self, now: Duration) -> Duration {
        now + self.about(self.audits / SECONDS_OF_DAY)
    }

    pub(crate) fn buckets_of_audit(&self) -> u8 {
        self.buckets_of_audit
    }

    /// When to audit again if there was no answer.
    pub(crate) fn audit_again(&mut self, now: Duration) -> Duration {
        now + self.about(self.audits / 24)
    }

    /// This long, or up to an eighth less or more.
    fn about(&mut self, length: Duration) -> Duration {
        length / 8 * 7 + self.some_of(length / 4)
    }

    /// A part of this, by chance.
    fn some_of(&mut self, length: Duration) -> Duration {
        self.draws += 1;
        self.chance = mixed(self.chance, self.draws);
        let part = u32::try_from(self.chance % 1024).unwrap_or(0);
        length / 1024 * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_is_nine_tenths_of_the_shorter_staleness() {
        let pace = Pace::by_chance(5 * SECOND, SECOND / 20, 1);
        assert_eq!(pace.lease(60 * SECOND), SECOND * 9 / 2);
        assert_eq!(pace.lease(SECOND), SECOND * 9 / 10);
        assert_eq!(pace.lease(Duration::ZERO), Duration::ZERO);
        assert_eq!(pace.timeout(), SECOND);
        assert_eq!(pace.audit_timeout(), SECOND * 5 / 2);
        assert_eq!(Pace::by_chance(SECOND, SECOND, 1).timeout(), SECOND / 5);
    }

    #[test]
    fn a_pull_has_more_time_after_a_failure() {
        let timeouts = |staleness| {
            let mut pace = Pace::by_chance(staleness, staleness / 20, 1);
            let mut after_failure = || {
                pace.after_failure(ZERO);
                pace.timeout()
            };
            let after = [after_failure(), after_failure(), after_failure()];
            pace.next_pull(ZERO);
            (after, pace.timeout())
        };
        let ms = Duration::from_millis;
        let short = timeouts(SECOND / 2);
        assert_eq!(short, ([ms(200), ms(250), ms(250)], ms(100)));
        assert_eq!(timeouts(60 * SECOND), ([SECOND; 3], SECOND));
    }

    #[test]
    fn chance_spreads_the_times_within_their_bounds() {
        let mut pace = Pace::by_chance(5 * SECOND, SECOND / 20, 7);
        let pulls: Vec<_> = (0..1_000).map(|_| pace.next_pull(ZERO)).collect();
        let (least, most) = (pulls.iter().min().unwrap(), pulls.iter().max().unwrap());
        assert!(*least >= SECOND / 20 * 7 / 8 && *least < SECOND / 20 * 15 / 16);
        assert!(*most <= SECOND / 20 * 9 / 8 && *most > SECOND / 20 * 17 / 16);

        let pauses: Vec<_> = (0..20).map(|_| pace.after_failure(ZERO)).collect();
        assert!(pauses[0] < SECOND / 10 && pauses[19] > SECOND / 2);
        assert!(pauses.iter().all(|pause| *pause <= SECOND * 9 / 8));
    }
}
