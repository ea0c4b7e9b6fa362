//! Lengths of time as people write them.

use std::fmt;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A length of time in whole seconds, as people write it: `90d`, `24h`, `1h30m`. Errors and the command line
/// show lengths in this way. Under two days it has no days.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::Span;
///
/// assert_eq!(Span(Duration::from_secs(5_400)).to_string(), "1h30m");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return f.write_str("0s");
        }
        let has_days = rest >= 2 * DAY;
        for (length, unit) in [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm'), (1, 's')] {
            if rest >= length && (unit != 'd' || has_days) {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_the_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (90, "1m30s"),
            (86_400, "24h"),
            (90_000, "25h"),
            (172_799, "47h59m59s"),
            (172_800, "2d"),
            (7_776_000, "90d"),
            (7_776_001, "90d1s"),
            (365 * 86_400 + 5_400, "365d1h30m"),
        ] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
