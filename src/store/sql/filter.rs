//! Filters that find keys by an index.

/// A filter that finds keys by an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// [`ListQuery::expiring_within`](crate::store::ListQuery::expiring_within).
    Expiring,
    /// [`ListQuery::unused_for`](crate::store::ListQuery::unused_for).
    Unused,
    /// [`ListQuery::scope`](crate::store::ListQuery::scope).
    Scope,
    /// [`ListQuery::states`](crate::store::ListQuery::states) and [`ListQuery::in_grace`](crate::store::ListQuery::in_grace).
    State,
    /// [`ListQuery::id_prefix`](crate::store::ListQuery::id_prefix).
    IdPrefix,
    /// No filter but the realm.
    Realm,
}
