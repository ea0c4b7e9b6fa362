//! The positions of the last quarter of an hour.

use std::collections::VecDeque;
use std::time::Duration;

use crate::replica::Position;

const MINUTE: Duration = Duration::from_secs(60);
/// How long a position was held before the database may forget what only earlier ones need. Others that hold an
/// earlier one have not asked for so long that they can begin anew.
const HELD_FOR: Duration = Duration::from_secs(15 * 60);

/// One position a minute, of one history.
#[derive(Debug, Default)]
pub(crate) struct Positions(VecDeque<(Duration, Position)>);

impl Positions {
    pub(crate) fn hold(&mut self, position: &Position, now: Duration) {
        let last = self.0.back().map(|(at, _)| *at);
        if last.is_none_or(|at| now >= at + MINUTE) {
            self.0.push_back((now, position.clone()));
        }
    }

    /// The position that may be forgotten now, once a minute.
    pub(crate) fn take_old(&mut self, now: Duration) -> Option<Position> {
        let is_old = |(at, _): &&(Duration, Position)| now >= *at + HELD_FOR;
        self.0.front().filter(is_old)?;
        self.0.pop_front().map(|(_, position)| position)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_forgotten_after_a_quarter_of_an_hour() {
        let mut positions = Positions::default();
        let mut forgotten = Vec::new();
        for second in 0..20 * 60 {
            let now = Duration::from_secs(second);
            positions.hold(&Position::new(second.to_string()), now);
            forgotten.extend(positions.take_old(now).map(|it| (second, it.to_string())));
        }
        let expected: Vec<_> = (0..5)
            .map(|minute| (15 * 60 + minute * 60, (minute * 60).to_string()))
            .collect();
        assert_eq!(forgotten, expected);
        positions.clear();
        assert!(positions.take_old(Duration::MAX).is_none());
    }
}
