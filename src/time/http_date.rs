//! Moments as fields of HTTP write them.

use super::Timestamp;
use super::rfc3339::date_of;

const DAY: u64 = 24 * 60 * 60;
/// The Unix epoch was one.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The moment as an IMF-fixdate (RFC 9110 §5.6.7). `None` beyond the year 9999, which that cannot write.
pub(crate) fn http_date(moment: Timestamp) -> Option<String> {
    if moment > Timestamp::LAST_YEAR {
        return None;
    }
    let (days, time) = (moment.as_unix() / DAY, moment.as_unix() % DAY);
    let (year, month, day) = date_of(days);
    let name = DAYS.iter().cycle().nth(usize::try_from(days % 7).ok()?)?;
    let month = MONTHS.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    Some(format!(
        "{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_9110_has_them() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_800_000_000, "Fri, 15 Jan 2027 08:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let moment = Timestamp::from_unix(seconds);
            assert_eq!(http_date(moment).as_deref(), Some(text));
        }
        assert_eq!(http_date(Timestamp::from_unix(253_402_300_800)), None);
        assert_eq!(http_date(Timestamp::MAX), None);
    }
}
