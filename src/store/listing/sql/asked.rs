//! A list's query, and its database.

use crate::access::realm::Realm;
use crate::store::ListQuery;
use crate::time::Timestamp;

pub(super) const EPOCH: Timestamp = Timestamp::from_unix(0);

/// The differences between the databases.
pub(in crate::store) struct Dialect {
    pub(in crate::store) table: &'static str,
    pub(in crate::store) columns: &'static str,
    /// Conditions that find the keys that were not used after `:since`, in the hour `:hour`, in parts of
    /// which no two find the same key.
    pub(in crate::store) unused: &'static [&'static str],
    /// The part of that condition that the index cannot check.
    pub(in crate::store) unused_rest: &'static str,
    /// Whether a key is not revoked, so that no index is taken for it.
    pub(in crate::store) plain_unrevoked: &'static str,
    /// The condition that finds the keys of a scope: `:realm` and `:scope` stand for the values.
    pub(in crate::store) of_scope: &'static str,
    /// The condition for whether a key has a scope, which uses no index.
    pub(in crate::store) has_scope: &'static str,
    /// The realm, so that no index is taken for it.
    pub(in crate::store) plain_realm: &'static str,
    /// The id, so that no index is taken for it.
    pub(in crate::store) plain_id: &'static str,
    /// How many keys are put in order for a page, if the index has everything that the query needs. With
    /// a page of 100 of a million keys, a filter that this many meet costs about the same both ways.
    pub(in crate::store) few_in_index: i64,
    /// How many, if each is looked at in the table.
    pub(in crate::store) few_in_table: i64,
    /// The placeholder of a value.
    pub(in crate::store) place: fn(usize, &Value) -> String,
    /// A list of the ids that a statement finds, and the text that comes before the statement with the
    /// list.
    pub(in crate::store) among: fn(&str) -> (String, String),
}

#[derive(Debug, Clone)]
pub(in crate::store) enum Value {
    Number(i64),
    Text(String),
    /// A text that may be none.
    Raw(Vec<u8>),
}

/// A place in a list as the columns have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Position {
    pub(in crate::store) id: Vec<u8>,
    pub(in crate::store) issued_at: i64,
}

/// A filter that finds keys by an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Filter {
    Expiring,
    Unused,
    Scope,
    State,
    IdPrefix,
    Realm,
}

/// How a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Way {
    /// By the index of lineages or subjects.
    Direct,
    /// By the index of a filter that few keys meet.
    By(Filter),
    /// All in order.
    InOrder,
}

pub(in crate::store) struct Statement {
    pub(in crate::store) sql: String,
    pub(in crate::store) values: Vec<Value>,
}

/// A query, with its realm and its database.
pub(in crate::store) struct Asked<'a> {
    pub(in crate::store) dialect: &'a Dialect,
    pub(in crate::store) realm: &'a Realm,
    pub(in crate::store) query: &'a ListQuery,
}

pub(super) fn number(at: Timestamp) -> i64 {
    i64::try_from(at.as_unix()).unwrap_or(i64::MAX)
}
