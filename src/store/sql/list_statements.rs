//! A list's query, and its database.

use super::dialect::Dialect;
use crate::access::realm::Realm;
use crate::store::ListQuery;
use crate::time::Timestamp;

pub(super) const EPOCH: Timestamp = Timestamp::from_unix(0);

/// The statements of a query: which way to read a page, and the page itself.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ListStatements<'a> {
    /// The database.
    pub dialect: &'a Dialect,
    /// The realm of the keys.
    pub realm: &'a Realm,
    /// The keys that are asked for.
    pub query: &'a ListQuery,
}

impl<'a> ListStatements<'a> {
    /// The statements of this query, of the keys of this realm.
    pub const fn new(dialect: &'a Dialect, realm: &'a Realm, query: &'a ListQuery) -> Self {
        Self {
            dialect,
            realm,
            query,
        }
    }
}

pub(super) fn number(at: Timestamp) -> i64 {
    i64::try_from(at.as_unix()).unwrap_or(i64::MAX)
}
