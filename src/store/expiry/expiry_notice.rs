//! A notice that a key expires soon.

use std::time::Duration;

use crate::key::KeyId;
use crate::time::Timestamp;

/// A notice that a key expires soon, claimed for one caller.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::{Timestamp, store::ExpiryNotice};
///
/// let expires_at = Timestamp::from_rfc3339("2027-01-15T08:00:00Z")?;
/// let week = Duration::from_secs(7 * 24 * 60 * 60);
/// let notice = ExpiryNotice::new("0123456789Ab".parse()?, Some("alice".into()), expires_at, week);
/// assert_eq!(notice.step, week);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ExpiryNotice {
    /// When the key expires.
    pub expires_at: Timestamp,
    /// The key.
    pub id: KeyId,
    /// Whose key it is; `None` if the value in the store is no text.
    pub subject: Option<String>,
    /// The step of the ladder: the expiry is no further away than this.
    pub step: Duration,
}

impl ExpiryNotice {
    /// A notice with the parts of the key that a store could read.
    pub fn new(id: KeyId, subject: Option<String>, expires_at: Timestamp, step: Duration) -> Self {
        Self {
            expires_at,
            id,
            subject,
            step,
        }
    }
}
