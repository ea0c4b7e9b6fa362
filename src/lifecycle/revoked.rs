//! The result of a revocation.

use super::Ended;

/// The result of a revocation.
///
/// ```
/// use tower_api_key::store::{Ended, Revoked};
///
/// // The realm has the key, and it was revoked before.
/// assert!(Revoked::new(true, Vec::new()).ended.is_empty());
/// // Of two records that ended now, one cannot be read.
/// let id = "0123456789Ab".parse()?;
/// let ended = vec![Ended::new(Some(id), None), Ended::new(None, None)];
/// let revoked = Revoked::new(false, ended);
/// assert!(revoked.found);
/// assert_eq!(revoked.ended[0].id, None);
/// assert_eq!(revoked.ended[1].id, Some(id));
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revoked {
    /// Whether the realm has a record that was named, revoked before or now.
    pub found: bool,
    /// The records that this call ended, in the order of their ids.
    pub ended: Vec<Ended>,
}

impl Revoked {
    /// The answer of a store that ended these records, in any order, and that has a record which was
    /// named or has none.
    ///
    /// A record that ended was named: the result of a call that ended one is always `found`.
    pub fn new(found: bool, mut ended: Vec<Ended>) -> Self {
        ended.sort_unstable();
        Self {
            found: found || !ended.is_empty(),
            ended,
        }
    }
}
