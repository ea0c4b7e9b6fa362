//! Moments as people write them.

use std::fmt;

const DAY: u64 = 24 * 60 * 60;
/// Days from 0000-03-01, where the years of this arithmetic begin, to the Unix epoch.
const DAYS_TO_EPOCH: u64 = 719_468;
/// The last second of the year 9999, beyond which RFC 3339 has no words.
const LAST: u64 = 253_402_300_799;

/// Writes the moment of these seconds since the Unix epoch.
pub(super) fn write(seconds: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if seconds > LAST {
        return write!(f, "{seconds}");
    }
    let (year, month, day) = date_of(seconds / DAY);
    let time = seconds % DAY;
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    write!(
        f,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    )
}

/// Seconds since the Unix epoch.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (separator, rest) = rest.split_first()?;
    let (time, mut zone) = rest.split_at_checked(8)?;
    let shaped = date[4] == b'-'
        && date[7] == b'-'
        && matches!(separator, b'T' | b't' | b' ')
        && time[2] == b':'
        && time[5] == b':';
    if !shaped {
        return None;
    }
    let (year, month, day) = (
        number(&date[..4])?,
        number(&date[5..7])?,
        number(&date[8..])?,
    );
    let (hour, minute, second) = (
        number(&time[..2])?,
        number(&time[3..5])?,
        number(&time[6..])?,
    );
    if let Some((b'.', fraction)) = zone.split_first() {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit());
        let count = digits.count();
        zone = &fraction[count..];
        if count == 0 {
            return None;
        }
    }
    let real = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !real {
        return None;
    }
    let local = i64::try_from(days_of(year, month, day) * DAY).ok()?
        - i64::try_from(DAYS_TO_EPOCH * DAY).ok()?
        + i64::try_from(hour * 3600 + minute * 60 + second).ok()?;
    u64::try_from(local - offset(zone)?).ok()
}

/// The seconds that a zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (&sign, digits) = zone.split_first()?;
    match (sign, digits.len()) {
        (b'Z' | b'z', 0) => Some(0),
        (b'+' | b'-', 5) if digits[2] == b':' => {
            let (hours, minutes) = (number(&digits[..2])?, number(&digits[3..])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i64::try_from(hours * 3600 + minutes * 60).ok()?;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = char::from(*digit).to_digit(10)?;
        Some(number * 10 + u64::from(value))
    })
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0000-03-01 to a date; a year that begins in March has its leap day at its end.
fn days_of(year: u64, month: u64, day: u64) -> u64 {
    // January and February belong to the year before; the years of 1970 and later never are the
    // first of them.
    let year = if month > 2 {
        year
    } else {
        year.saturating_sub(1)
    };
    let month = (month + 9) % 12;
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1
}

/// The date that lies so many days after the Unix epoch.
pub(super) fn date_of(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;

    let days = days + DAYS_TO_EPOCH;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let date = day - (month * 153 + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (year, month + 3),
        _ => (year + 1, month - 9),
    };
    (era * 400 + year, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::time::Timestamp;

    #[test]
    fn every_day_until_the_year_9999_is_written_and_read() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=LAST / DAY {
            let moment = Timestamp::from_unix(days * DAY + 86_399);
            let text = format!("{year:04}-{month:02}-{day:02}T23:59:59Z");
            assert_eq!(moment.to_rfc3339(), text);
            assert_eq!(Timestamp::from_rfc3339(&text).unwrap(), moment);
            day += 1;
            if day > days_in(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
        assert_eq!(Timestamp::from_unix(LAST + 1).to_rfc3339(), "253402300800");
    }

    #[test]
    fn zones_and_fractions_are_read() {
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15t08:00:00z",
            "2027-01-15 08:00:00.999Z",
            "2027-01-15T09:30:00+01:30",
            "2027-01-14T23:59:00.0-08:01",
        ] {
            let moment = Timestamp::from_rfc3339(text).unwrap();
            assert_eq!(moment.as_unix(), 1_800_000_000, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "1800000000",
            "2027-01-15",
            "2027-01-15T08:00:00",
            "2027-01-15T08:00Z",
            "2027-02-29T08:00:00Z",
            "2100-02-29T08:00:00Z",
            "2027-00-15T08:00:00Z",
            "2027-13-15T08:00:00Z",
            "2027-01-00T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2027-01-15T08:60:00Z",
            "2027-01-15T08:00:60Z",
            "2027-01-15T08:00:00.Z",
            "2027-01-15T08:00:00+24:00",
            "2027-01-15T08:00:00+01:60",
            "2027-01-15T08:00:00+0100",
            "2027-01-15T08:00:00Zz",
            "+027-01-15T08:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "２027-01-15T08:00:00Z",
        ] {
            let error = Timestamp::from_rfc3339(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidTimestamp, "{text}");
        }
    }
}
