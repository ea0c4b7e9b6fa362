//! How one database differs from another.

use super::value::Value;

/// How one database differs from another, and how the table of keys is indexed there.
///
/// The statements name the columns of [`Row`](super::Row), `realm`, and `last_used_at`, the time of the last
/// use or NULL.
///
/// It is not `#[non_exhaustive]`: a difference that is found later has no value that is right for every database, so a
/// store shall not compile until it has one.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The table of keys, as a statement names it.
    pub table: &'static str,
    /// Conditions that find the keys that were not used after `:since`, in the hour `:hour`, in parts of
    /// which no two find the same key.
    pub unused: &'static [&'static str],
    /// The part of that condition that the index cannot check.
    pub unused_rest: &'static str,
    /// Whether a key is not revoked, so that no index is taken for it.
    pub plain_unrevoked: &'static str,
    /// The condition that finds the keys of a scope: `:realm` and `:scope` stand for the values.
    pub of_scope: &'static str,
    /// The condition for whether a key has a scope, which uses no index.
    pub has_scope: &'static str,
    /// The realm, so that no index is taken for it.
    pub plain_realm: &'static str,
    /// The id, so that no index is taken for it.
    pub plain_id: &'static str,
    /// The column of bytes in whose order the database keeps the rows of the table, if there is one, and its values never
    /// change. A list in any order then reads each page of the table once. It is `digest` or `None`: the columns of a row
    /// have no other of bytes.
    pub stored_by: Option<&'static str>,
    /// How many keys are put in order for a page, if the index has everything that the query needs. With
    /// a page of 100 of a million keys, a filter that this many meet costs about the same both ways.
    pub few_in_index: i64,
    /// How many, if each is looked at in the table.
    pub few_in_table: i64,
    /// The placeholder of a value.
    pub place: fn(usize, &Value) -> String,
    /// A list of the ids that a statement finds, and the text that comes before the statement with the
    /// list.
    pub among: fn(&str) -> (String, String),
}
