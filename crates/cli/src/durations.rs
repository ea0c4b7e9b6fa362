//! Durations and moments as people type them.

use std::time::Duration;

use tower_api_key::Timestamp;

use crate::failure::Failure;

/// A hundred years of 365.25 days, in seconds: the longest that the library takes.
const LONGEST: u64 = 100 * 8766 * 60 * 60;

/// A number and a unit, or several of them: `90d`, `24h`, `15m`, `30s`, `1d12h`. At most a hundred
/// years.
pub(crate) fn duration(text: &str) -> Result<Duration, Failure> {
    let Some(seconds) = parse(text) else {
        return Err(Failure::usage(format!(
            "invalid duration: {text}; write a number and a unit of s, m, h, d or w, such as 90d or 1h30m"
        )));
    };
    if seconds > LONGEST {
        return Err(Failure::usage(format!(
            "invalid duration: {text} is over 100 years; milliseconds taken for seconds?"
        )));
    }
    Ok(Duration::from_secs(seconds))
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let factor = match unit.as_bytes().first()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 60 * 60,
            b'd' => 24 * 60 * 60,
            b'w' => 7 * 24 * 60 * 60,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(factor)?;
        seconds = seconds.checked_add(part)?;
        rest = &unit[1..];
    }
    (!text.is_empty()).then_some(seconds)
}

/// A moment of RFC 3339, or Unix seconds up to the end of the year 9999.
pub(crate) fn moment(text: &str) -> Result<Timestamp, Failure> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && let Ok(seconds) = text.parse() {
        let moment = Timestamp::from_unix(seconds);
        if moment > Timestamp::LAST_YEAR {
            return Err(Failure::usage(format!(
                "invalid time: {text} is beyond the year 9999; milliseconds taken for seconds?"
            )));
        }
        return Ok(moment);
    }
    Ok(Timestamp::from_rfc3339(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_beyond_the_year_9999_is_refused() {
        assert!(moment("253402300799").is_ok());
        for text in ["253402300800", "1790000000000", "18446744073709551615"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_of_over_a_hundred_years_is_refused() {
        assert_eq!(
            duration("3155760000s").ok(),
            Some(Duration::from_secs(LONGEST))
        );
        for text in ["3155760001s", "7776000000s", "36525d1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, seconds) in [
            ("0s", 0),
            ("30s", 30),
            ("15m", 900),
            ("24h", 86_400),
            ("90d", 7_776_000),
            ("2w", 1_209_600),
            ("1d12h", 129_600),
            ("1h1h", 7200),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "90",
            "d",
            "90 d",
            " 90d",
            "-1d",
            "+1d",
            "1.5h",
            "90D",
            "1y",
            "1h30",
            "1µs",
            "18446744073709551616s",
            "18446744073709551615w",
            "18446744073709551615s1s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
