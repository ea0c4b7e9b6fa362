//! The statements of a list, for both SQL stores.
//!
//! A page is read in one of three ways. The keys of a lineage or a subject have an index in which they
//! are in order. A filter that few keys meet has an index that finds those: their ids are put in order,
//! and the first of them are read. Everything else is read in order, and passed over if a filter is not
//! met: a filter that many keys meet fills a page soon. Which of the last two it is, the store counts
//! first, up to a few: the planner of a database without statistics would guess.
//!
//! A column of numbers that stands with `+ 0` fits no index.

mod conditions;
mod reading;

use conditions::Builder;
pub(in crate::store) use reading::Reading;

use super::ListQuery;
use crate::access::realm::Realm;
use crate::record::KeyState;
use crate::time::clock::Timestamp;

const EPOCH: Timestamp = Timestamp::from_unix(0);

/// What differs between the databases.
pub(in crate::store) struct Dialect {
    pub(in crate::store) table: &'static str,
    pub(in crate::store) columns: &'static str,
    /// What finds the keys that were not used after `:since`, in the hour `:hour`, in parts of which no
    /// two find the same key.
    pub(in crate::store) unused: &'static [&'static str],
    /// What the index does not tell of that.
    pub(in crate::store) unused_rest: &'static str,
    /// Whether a key is not revoked, so that no index is taken for it.
    pub(in crate::store) plain_unrevoked: &'static str,
    /// What finds the keys of a scope: `:realm` and `:scope` stand for the values.
    pub(in crate::store) of_scope: &'static str,
    /// What tells whether a key has a scope, and uses no index.
    pub(in crate::store) has_scope: &'static str,
    /// The realm, so that no index is taken for it.
    pub(in crate::store) plain_realm: &'static str,
    /// The id, so that no index is taken for it.
    pub(in crate::store) plain_id: &'static str,
    /// How many keys are put in order for a page, if all that is asked of them is in the index. With a
    /// page of 100 of a million keys, a filter that as many meet costs about the same both ways.
    pub(in crate::store) few_in_index: i64,
    /// How many, if each is looked at in the table.
    pub(in crate::store) few_in_table: i64,
    /// What stands in the place of a value.
    pub(in crate::store) place: fn(usize, &Value) -> String,
    /// A list of the ids that a statement finds, and what comes before the statement with the list.
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

/// A list and how to ask for it.
pub(in crate::store) struct Asked<'a> {
    pub(in crate::store) dialect: &'a Dialect,
    pub(in crate::store) realm: &'a Realm,
    pub(in crate::store) query: &'a ListQuery,
}

fn number(at: Timestamp) -> i64 {
    i64::try_from(at.as_unix()).unwrap_or(i64::MAX)
}

impl Asked<'_> {
    /// Whether no record can be asked for.
    pub(in crate::store) fn is_nothing(&self) -> bool {
        let query = self.query;
        query.limit == Some(0) || (query.unused_for.is_some() && query.unused_since().is_none())
    }

    /// What may find the few keys that are asked for, and how many those are at most; none if another
    /// way is known to be as good.
    pub(in crate::store) fn filters(&self) -> Vec<(Filter, i64)> {
        let query = self.query;
        if query.lineage.is_some() || query.subject.is_some() {
            return Vec::new();
        }
        let filters = [
            (Filter::Expiring, query.expiring_within.is_some()),
            (Filter::Scope, query.scope.is_some()),
            (Filter::Unused, query.unused_for.is_some()),
            (Filter::State, query.in_grace || !query.states.is_empty()),
            (Filter::IdPrefix, query.id_prefix.is_some()),
        ];
        let asked = || filters.iter().filter(|(_, is_asked)| *is_asked);
        let conditions = asked().count() + usize::from(query.unrevoked);
        let few = |filter| {
            let is_in_index = match filter {
                // The index of ids has no realm, and that of beginnings no end.
                Filter::IdPrefix => false,
                Filter::State => conditions == 1 && !query.states.contains(&KeyState::NotYetValid),
                Filter::Realm => conditions == 0,
                _ => conditions == 1,
            };
            if is_in_index {
                self.dialect.few_in_index
            } else {
                self.dialect.few_in_table
            }
        };
        // Without it, ids are in order; with it, the newest of a realm are.
        let is_of_use = |filter: &Filter| *filter != Filter::IdPrefix || query.newest_first;
        let asked = asked().map(|(filter, _)| *filter).filter(is_of_use);
        let realm = (!query.newest_first).then_some(Filter::Realm);
        let all = asked.chain(realm);
        all.map(|filter| (filter, few(filter))).collect()
    }

    /// The way if no filter is met by a few keys only.
    pub(in crate::store) fn other_way(&self) -> Way {
        if self.query.lineage.is_some() || self.query.subject.is_some() {
            Way::Direct
        } else {
            Way::InOrder
        }
    }

    /// Counts the keys that a filter finds, up to one more than a few.
    pub(in crate::store) fn count(&self, filter: Filter, few: i64) -> Statement {
        let mut builder = Builder::new(self);
        let found = builder.found_by(filter, None);
        let limit = builder.value(Value::Number(few + 1));
        builder.end(format!(
            "SELECT count(*) AS found FROM (SELECT id FROM ({found}) AS found LIMIT {limit}) AS few"
        ))
    }

    /// Reads records after a place, as many as this and one more.
    pub(in crate::store) fn page(
        &self,
        way: Way,
        after: Option<&Position>,
        count: Option<usize>,
    ) -> Statement {
        let mut builder = Builder::new(self);
        let Dialect { table, columns, .. } = self.dialect;
        let (query, plain_id) = (self.query, self.dialect.plain_id);
        // What is found is put in order: a planner that would read all in order instead, because a page
        // is short, reads everything for a filter that few meet.
        let plain = ("issued_at + 0", plain_id);
        let (by_issue, by_id) = match way {
            Way::By(_) => plain,
            Way::Direct if query.newest_first => plain,
            _ => ("issued_at", "id"),
        };
        let order = if query.newest_first {
            format!("{by_issue} DESC, {by_id} DESC")
        } else {
            by_id.to_owned()
        };
        let after = Some((by_issue, by_id, after));
        let found = if let Way::By(filter) = way {
            builder.found_by(filter, after)
        } else {
            let realm = builder.text(self.realm.as_str());
            let realm = match way {
                Way::InOrder if query.newest_first => format!("realm = {realm}"),
                Way::Direct if query.lineage.is_none() => format!("realm = {realm}"),
                _ => format!("{} = {realm}", self.dialect.plain_realm),
            };
            let mut conditions = vec![realm];
            if way == Way::InOrder && query.newest_first && query.unused_for.is_some() {
                // No key was used before its issue.
                let since = builder.time(query.unused_since().unwrap_or(EPOCH));
                conditions.push(format!("issued_at <= {since}"));
            }
            builder.conditions(after, &mut conditions);
            conditions.join(" AND ")
        };
        let limit = count.map_or_else(String::new, |count| {
            let count = i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1);
            format!(" LIMIT {}", builder.value(Value::Number(count)))
        });
        if matches!(way, Way::By(_)) {
            let first = format!("SELECT id FROM ({found}) AS found ORDER BY {order}{limit}");
            let (before, condition) = (self.dialect.among)(&first);
            return builder.end(format!(
                "{before}SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order}"
            ));
        }
        builder.end(format!(
            "SELECT {columns} FROM {table} WHERE {found} ORDER BY {order}{limit}"
        ))
    }
}
