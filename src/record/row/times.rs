//! Times in columns.

use crate::error::store::StoreError;
use crate::record::unfit::{beyond, unfit};
use crate::time::Timestamp;

/// A time as a column holds it, up to the year 292 277 026 596.
///
/// # Errors
///
/// [`Unavailable`](crate::store::StoreErrorKind::Unavailable) for a time beyond that.
pub fn column_time(at: Timestamp) -> Result<i64, StoreError> {
    i64::try_from(at.as_unix()).map_err(|_| beyond("time"))
}

/// The time of a revocation as a column holds it. A time beyond that becomes the last that a column holds,
/// because refusing it would keep the key alive.
pub fn revocation_time(at: Timestamp) -> i64 {
    i64::try_from(at.as_unix()).unwrap_or(i64::MAX)
}

/// The time in a column.
///
/// # Errors
///
/// [`Corrupt`](crate::store::StoreErrorKind::Corrupt) for a time before the Unix epoch. The error names the column.
pub fn moment(column: &'static str, seconds: i64) -> Result<Timestamp, StoreError> {
    u64::try_from(seconds)
        .map(Timestamp::from_unix)
        .map_err(|_| unfit(column))
}
