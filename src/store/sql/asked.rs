//! A list's query, and its database.

use crate::access::realm::Realm;
use crate::store::ListQuery;
use crate::time::Timestamp;

pub(super) const EPOCH: Timestamp = Timestamp::from_unix(0);

/// How one database differs from another, and how the table of keys is indexed there.
///
/// The statements name the columns of [`Row`](super::Row), `realm`, and `last_used_at`, the time of the last
/// use or NULL.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The table of keys, as a statement names it.
    pub table: &'static str,
    /// The columns that a page reads: [`Row::NAMES`](super::Row::NAMES), and others after them.
    pub columns: &'static str,
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

/// A value of a [`Statement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// A text that may be none.
    Raw(Vec<u8>),
}

/// A place in a list as the columns have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The id, whatever the column holds.
    pub id: Vec<u8>,
    /// The time of issue, in seconds since the Unix epoch.
    pub issued_at: i64,
}

/// A filter that finds keys by an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// [`ListQuery::expiring_within`].
    Expiring,
    /// [`ListQuery::unused_for`].
    Unused,
    /// [`ListQuery::scope`].
    Scope,
    /// [`ListQuery::states`] and [`ListQuery::in_grace`].
    State,
    /// [`ListQuery::id_prefix`].
    IdPrefix,
    /// No filter but the realm.
    Realm,
}

/// How a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the index of lineages or subjects.
    Direct,
    /// By the index of a filter that few keys meet.
    By(Filter),
    /// All in order.
    InOrder,
}

/// A statement, and the values of its placeholders in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub sql: String,
    /// The values: the first belongs to the placeholder of number 1.
    pub values: Vec<Value>,
}

/// The statements of a query: which way to read a page, and the page itself.
#[derive(Debug, Clone, Copy)]
pub struct ListStatements<'a> {
    /// The database.
    pub dialect: &'a Dialect,
    /// The realm of the keys.
    pub realm: &'a Realm,
    /// The keys that are asked for.
    pub query: &'a ListQuery,
}

pub(super) fn number(at: Timestamp) -> i64 {
    i64::try_from(at.as_unix()).unwrap_or(i64::MAX)
}
