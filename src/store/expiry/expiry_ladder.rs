//! The steps at which the expiry of a key is announced.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::lifecycle::LONGEST_LIFETIME;
use crate::time::Timestamp;

const DAY: u64 = 24 * 60 * 60;

/// How long before the expiry of a key its notices are due: up to ten steps, the widest first.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::store::ExpiryLadder;
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// let ladder = ExpiryLadder::new([DAY, 14 * DAY])?;
/// assert_eq!(ladder.steps(), [14 * DAY, DAY]);
/// assert_eq!(ExpiryLadder::default().steps(), [30 * DAY, 7 * DAY, DAY]);
/// assert!(ExpiryLadder::new([DAY, DAY]).is_err());
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryLadder(Arc<[Duration]>);

impl Default for ExpiryLadder {
    /// 30 days, 7 days and 1 day.
    fn default() -> Self {
        Self(
            [30, 7, 1]
                .map(|days| Duration::from_secs(days * DAY))
                .into(),
        )
    }
}

impl ExpiryLadder {
    /// The most steps that a ladder has.
    pub const MOST_STEPS: usize = 10;

    /// A ladder of these steps, in any order. It may be empty.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`](ErrorKind::InvalidPolicy) if a step is zero, is no whole number of seconds, is over 100 years or
    /// is there twice, or if there are more than [ten](Self::MOST_STEPS).
    pub fn new(steps: impl IntoIterator<Item = Duration>) -> Result<Self, Error> {
        // One more than the most is enough to refuse an iterator without an end.
        let mut steps: Vec<Duration> = steps.into_iter().take(Self::MOST_STEPS + 1).collect();
        steps.sort_by(|one, other| other.cmp(one));
        let problems = [
            (
                steps.len() > Self::MOST_STEPS,
                "expiry_notices has more than ten steps",
            ),
            (
                steps.iter().any(Duration::is_zero),
                "a step of expiry_notices is zero",
            ),
            (
                steps.iter().any(|step| step.subsec_nanos() != 0),
                "a step of expiry_notices is no whole number of seconds",
            ),
            (
                steps.first().is_some_and(|step| *step > LONGEST_LIFETIME),
                "a step of expiry_notices is over 100 years: milliseconds taken for seconds?",
            ),
            (
                steps.windows(2).any(|pair| pair[0] == pair[1]),
                "expiry_notices has a step twice",
            ),
        ];
        match problems.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, problem)) => Err(Error::with_limit(ErrorKind::InvalidPolicy, problem)),
            None => Ok(Self(steps.into())),
        }
    }

    /// The steps, the widest first.
    pub fn steps(&self) -> &[Duration] {
        &self.0
    }

    /// Whether there is no step, and so no notice.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The widest step that is narrower than this one. `None` if there is none.
    pub fn below(&self, step: Duration) -> Option<Duration> {
        self.0.iter().copied().find(|narrower| *narrower < step)
    }

    /// The nearest step of a key that is not over: the narrowest within which it expires. `None` if the expiry is
    /// further away than the widest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_api_key::{Timestamp, store::ExpiryLadder};
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    ///
    /// let now = Timestamp::from_unix(1_800_000_000);
    /// let in_five_days = Timestamp::from_unix(1_800_000_000 + 5 * 24 * 60 * 60);
    /// assert_eq!(ExpiryLadder::default().nearest(in_five_days, now), Some(7 * DAY));
    /// ```
    pub fn nearest(&self, expires_at: Timestamp, now: Timestamp) -> Option<Duration> {
        let left = expires_at.as_unix().saturating_sub(now.as_unix());
        let mut narrowest_first = self.0.iter().rev().copied();
        narrowest_first.find(|step| left <= step.as_secs())
    }

    /// Whether a step counts for a key: the key was issued before the step began. A key that was issued for less is not
    /// announced at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_api_key::{Timestamp, store::ExpiryLadder};
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    ///
    /// let issued_at = Timestamp::from_unix(1_800_000_000);
    /// let expires_at = Timestamp::from_unix(1_800_000_000 + 30 * 24 * 60 * 60);
    /// assert!(!ExpiryLadder::counts(30 * DAY, issued_at, expires_at));
    /// assert!(ExpiryLadder::counts(7 * DAY, issued_at, expires_at));
    /// ```
    pub fn counts(step: Duration, issued_at: Timestamp, expires_at: Timestamp) -> bool {
        let life = expires_at.as_unix().saturating_sub(issued_at.as_unix());
        step.as_secs() < life
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn refused(steps: impl IntoIterator<Item = Duration>, problem: &str) {
        let error = ExpiryLadder::new(steps).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPolicy);
        assert!(error.to_string().contains(problem), "{error}");
    }

    #[test]
    fn a_ladder_is_bounded_and_its_steps_are_distinct() {
        refused([Duration::ZERO], "is zero");
        refused([SECOND, 2 * SECOND, SECOND], "twice");
        refused([Duration::from_millis(1_500)], "whole number of seconds");
        refused([Duration::MAX], "whole number of seconds");
        refused([LONGEST_LIFETIME + SECOND], "over 100 years");
        refused((1_u64..).map(Duration::from_secs), "more than ten");
        let longest = ExpiryLadder::new((1..=10).map(|n| n * SECOND)).unwrap();
        assert_eq!(longest.steps().len(), ExpiryLadder::MOST_STEPS);
        ExpiryLadder::new([LONGEST_LIFETIME]).unwrap();
        assert!(ExpiryLadder::new([]).unwrap().is_empty());
    }

    #[test]
    fn steps_are_found_at_their_edges() {
        let ladder = ExpiryLadder::new([10 * SECOND, 3 * SECOND]).unwrap();
        let at = Timestamp::from_unix;
        let nearest = |left: u64| ladder.nearest(at(100 + left), at(100));
        assert_eq!(nearest(11), None);
        assert_eq!(nearest(10), Some(10 * SECOND));
        assert_eq!(nearest(4), Some(10 * SECOND));
        assert_eq!(nearest(3), Some(3 * SECOND));
        assert_eq!(nearest(0), Some(3 * SECOND));
        assert_eq!(ladder.below(Duration::MAX), Some(10 * SECOND));
        assert_eq!(ladder.below(10 * SECOND), Some(3 * SECOND));
        assert_eq!(ladder.below(5 * SECOND), Some(3 * SECOND));
        assert_eq!(ladder.below(3 * SECOND), None);
        assert_eq!(
            ladder.nearest(Timestamp::MAX, Timestamp::from_unix(0)),
            None
        );
    }
}
