//! The way in which a page is read, and its statement.

use super::Row;
use super::conditions::Builder;
use super::filter::Filter;
use super::list_statements::{EPOCH, ListStatements};
use super::position::Position;
use super::statement::Statement;
use super::value::Value;
use super::way::Way;
use crate::record::KeyState;

impl ListStatements<'_> {
    /// Whether no record can match.
    pub fn is_nothing(&self) -> bool {
        let query = self.query;
        query.limit == Some(0) || (query.unused_for.is_some() && query.unused_since().is_none())
    }

    /// The filters that may find the few matching keys, and how many those are at most. None if another
    /// way is known to be as good.
    pub fn filters(&self) -> Vec<(Filter, i64)> {
        let query = self.query;
        let is_settled = match self.other_way() {
            Way::Direct => true,
            // Pages of one list are in one order, and the place of the page before says which.
            Way::Stored => query.after.is_some(),
            Way::By(_) | Way::InOrder => false,
        };
        if is_settled {
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
                // The index of ids has no realm, and the index of beginnings has no end.
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
        // Without it, ids are in order. With it, the newest of a realm are.
        let is_of_use = |filter: &Filter| *filter != Filter::IdPrefix || query.newest_first;
        let asked = asked().map(|(filter, _)| *filter).filter(is_of_use);
        let realm = (!query.newest_first).then_some(Filter::Realm);
        let all = asked.chain(realm);
        all.map(|filter| (filter, few(filter))).collect()
    }

    /// The way if no filter is met by only a few keys.
    pub fn other_way(&self) -> Way {
        if self.query.lineage.is_some() || self.query.subject.is_some() {
            Way::Direct
        } else if self.may_be_as_stored() {
            Way::Stored
        } else {
            Way::InOrder
        }
    }

    /// Whether the order is free, and no page of the list was in that of the ids.
    fn may_be_as_stored(&self) -> bool {
        let query = self.query;
        let is_by_id = query.after.is_some_and(|after| after.stored().is_none());
        query.any_order && !query.newest_first && !is_by_id && self.dialect.stored_by.is_some()
    }

    /// Counts the keys that a filter finds, up to one more than a few.
    pub fn count(&self, filter: Filter, few: i64) -> Statement {
        let mut builder = Builder::new(self);
        let found = builder.found_by(filter, None);
        let limit = builder.value(Value::Number(few + 1));
        builder.end(format!(
            "SELECT count(*) AS found FROM (SELECT id FROM ({found}) AS found LIMIT {limit}) AS few"
        ))
    }

    /// Reads records after a place, as many as this and one more: the columns of [`Row`], and after them the last use.
    pub fn page(&self, way: Way, after: Option<&Position>, count: Option<usize>) -> Statement {
        if let (Way::Stored, Some(column)) = (way, self.dialect.stored_by) {
            return self.page_as_stored(column, after, count);
        }
        let mut builder = Builder::new(self);
        let table = self.dialect.table;
        let columns = format_args!("{}, last_used_at", Row::NAMES);
        let (query, plain_id) = (self.query, self.dialect.plain_id);
        // The keys found are put in order. A planner that would read all in order instead, because a
        // page is short, reads everything if few keys meet the filter.
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
                // The time counts from the issue at the earliest.
                let since = builder.time(query.unused_since().unwrap_or(EPOCH));
                conditions.push(format!("issued_at <= {since}"));
            }
            builder.conditions(after, &mut conditions);
            conditions.join(" AND ")
        };
        let limit = limit(&mut builder, count);
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

    /// The same, in the order of the table.
    fn page_as_stored(
        &self,
        column: &str,
        after: Option<&Position>,
        count: Option<usize>,
    ) -> Statement {
        let (mut builder, dialect) = (Builder::new(self), self.dialect);
        let realm = builder.text(self.realm.as_str());
        let mut conditions = vec![format!("{} = {realm}", dialect.plain_realm)];
        builder.conditions(
            Some(("issued_at + 0", dialect.plain_id, None)),
            &mut conditions,
        );
        if let Some(after) = after.and_then(|after| after.stored.clone()) {
            let after = builder.value(Value::Bytes(after));
            conditions.push(format!("{column} > {after}"));
        }
        let limit = limit(&mut builder, count);
        builder.end(format!(
            "SELECT {}, last_used_at FROM {} WHERE {} ORDER BY {column}{limit}",
            Row::NAMES,
            dialect.table,
            conditions.join(" AND ")
        ))
    }
}

/// One row more than are wanted says whether there are others.
fn limit(builder: &mut Builder<'_>, count: Option<usize>) -> String {
    count.map_or_else(String::new, |count| {
        let count = i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1);
        format!(" LIMIT {}", builder.value(Value::Number(count)))
    })
}
