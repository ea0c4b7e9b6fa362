//! Moments.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::rfc3339;
use crate::error::{Error, ErrorKind};

/// A point in time, in whole seconds since the Unix epoch.
///
/// It is written and read as RFC 3339, and converts from and to [`SystemTime`].
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_api_key::Timestamp;
///
/// let noon: Timestamp = "2027-01-15T12:00:00Z".parse()?;
/// let later = noon.checked_add(Duration::from_secs(5)).ok_or("too late")?;
/// assert_eq!(later.to_string(), "2027-01-15T12:00:05Z");
/// assert_eq!(Timestamp::try_from(SystemTime::try_from(later)?)?, later);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last representable moment. No key is valid at it.
    pub const MAX: Self = Self(u64::MAX);

    /// The last second of the year 9999. No new key begins or ends after it: a later value is most
    /// likely a number of milliseconds.
    pub const LAST_YEAR: Self = Self(253_402_300_799);

    /// The moment `seconds` after the Unix epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Reads a moment of RFC 3339 from 1970 on, such as `2027-01-15T08:00:00Z`. Fractions of a second
    /// are cut off.
    ///
    /// ```
    /// use tower_api_key::Timestamp;
    ///
    /// let moment = Timestamp::from_rfc3339("2027-01-15T09:00:00+01:00")?;
    /// assert_eq!(moment, Timestamp::from_unix(1_800_000_000));
    /// assert_eq!(moment.to_rfc3339(), "2027-01-15T08:00:00Z");
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidTimestamp`] for any other text; so is a leap second, which a timestamp
    /// does not count.
    pub fn from_rfc3339(text: &str) -> Result<Self, Error> {
        rfc3339::parse(text.as_bytes())
            .map(Self::from_unix)
            .ok_or_else(|| ErrorKind::InvalidTimestamp.into())
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// The moment in the form of RFC 3339, in UTC. Beyond the year 9999, which that cannot write, the
    /// seconds since the Unix epoch. So does `Display`.
    pub fn to_rfc3339(self) -> String {
        self.to_string()
    }

    /// This moment and `duration` after it, fractions of a second dropped; `None` beyond
    /// [`Timestamp::MAX`].
    pub const fn checked_add(self, duration: Duration) -> Option<Self> {
        match self.0.checked_add(duration.as_secs()) {
            Some(seconds) => Some(Self(seconds)),
            None => None,
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc3339::write(self.0, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// As [`Timestamp::from_rfc3339`].
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_rfc3339(text)
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = Error;

    /// Fractions of a second are dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidTimestamp`] for a time before 1970.
    fn try_from(time: SystemTime) -> Result<Self, Error> {
        match time.duration_since(UNIX_EPOCH) {
            Ok(elapsed) => Ok(Self(elapsed.as_secs())),
            Err(_) => Err(ErrorKind::InvalidTimestamp.into()),
        }
    }
}

impl TryFrom<Timestamp> for SystemTime {
    type Error = Error;

    /// # Errors
    ///
    /// [`ErrorKind::InvalidTimestamp`] for a time that this system cannot hold.
    fn try_from(moment: Timestamp) -> Result<Self, Error> {
        UNIX_EPOCH
            .checked_add(Duration::from_secs(moment.0))
            .ok_or_else(|| ErrorKind::InvalidTimestamp.into())
    }
}

crate::parsed_text!(Timestamp);
