//! The answer to a claim.

use super::expiry_notice::ExpiryNotice;

/// The notices that a call of [`claim_expiry_notices`](crate::store::KeyStore::claim_expiry_notices) has claimed.
///
/// ```
/// use tower_api_key::store::ExpiryClaims;
///
/// let claims = ExpiryClaims::new(Vec::new(), false);
/// assert!(claims.notices.is_empty() && !claims.more);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpiryClaims {
    /// Those that the caller is to tell, in the order of the expiries.
    pub notices: Vec<ExpiryNotice>,
    /// Whether other keys may be due: the call has looked at as many as it may.
    pub more: bool,
}

impl ExpiryClaims {
    /// These notices, put in their order.
    pub fn new(mut notices: Vec<ExpiryNotice>, more: bool) -> Self {
        notices.sort();
        Self { notices, more }
    }
}
