//! The statements of a list, for both SQL stores.
//!
//! A page is read in one of three ways. The keys of a lineage or a subject have an index in which they
//! are in order. A filter that few keys meet has an index that finds those: their ids are put in order,
//! and the first of them are read. Everything else is read in order, and passed over if a filter is not
//! met: a filter that many keys meet fills a page soon. Which of the last two it is, the store counts
//! first, up to a few: the planner of a database without statistics would guess.
//!
//! A column of numbers that stands with `+ 0` fits no index.

use std::sync::Arc;

use super::{Cursor, ListQuery, Page, Unreadable};
use crate::clock::Timestamp;
use crate::realm::Realm;
use crate::record::{KeyRecord, KeyState};
use crate::store::StoreError;
use crate::store::row::readable_id;

const EPOCH: Timestamp = Timestamp::from_unix(0);

/// What differs between the databases.
pub(in crate::store) struct Dialect {
    pub(in crate::store) table: &'static str,
    pub(in crate::store) columns: &'static str,
    /// What finds the keys that were not used after `:since`, on the day `:day`, in parts of which no
    /// two find the same key.
    pub(in crate::store) unused: &'static [&'static str],
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

/// Columns by which a page is in order, and the place after which it begins.
type After<'a> = (&'a str, &'a str, Option<&'a Position>);

struct Builder<'a> {
    asked: &'a Asked<'a>,
    values: Vec<Value>,
    now: Option<String>,
}

impl<'a> Builder<'a> {
    fn new(asked: &'a Asked<'a>) -> Self {
        Self {
            asked,
            values: Vec::new(),
            now: None,
        }
    }

    fn end(self, sql: String) -> Statement {
        Statement {
            sql,
            values: self.values,
        }
    }

    fn value(&mut self, value: Value) -> String {
        let place = (self.asked.dialect.place)(self.values.len() + 1, &value);
        self.values.push(value);
        place
    }

    fn text(&mut self, text: &str) -> String {
        self.value(Value::Text(text.to_owned()))
    }

    fn time(&mut self, at: Timestamp) -> String {
        self.value(Value::Number(number(at)))
    }

    /// The moment that the query is asked at. No database takes a value that no statement names.
    fn now(&mut self) -> String {
        if let Some(now) = &self.now {
            return now.clone();
        }
        let now = self.time(self.asked.query.at);
        self.now.insert(now).clone()
    }

    /// Selects the ids and issues that a filter finds by its index: all of them, or those that come
    /// after a place and meet the other conditions too. No two parts find the same key.
    fn found_by(&mut self, filter: Filter, after: Option<After<'_>>) -> String {
        let dialect = self.asked.dialect;
        let mut parts = Vec::new();
        for part in self.parts(filter) {
            let realm = self.text(self.asked.realm.as_str());
            // Ids have an index of their own.
            let column = match filter {
                Filter::IdPrefix => dialect.plain_realm,
                _ => "realm",
            };
            let mut conditions = vec![format!("{column} = {realm}")];
            conditions.extend(part);
            if after.is_some() {
                self.other_conditions(Some(filter), after, &mut conditions);
            }
            parts.push(format!(
                "SELECT id, issued_at FROM {} WHERE {}",
                dialect.table,
                conditions.join(" AND ")
            ));
        }
        parts.join(" UNION ALL ")
    }

    /// What keys that a filter finds meet, and no others.
    fn parts(&mut self, filter: Filter) -> Vec<Option<String>> {
        let (query, dialect) = (self.asked.query, self.asked.dialect);
        let parts = match filter {
            Filter::Realm => return vec![None],
            Filter::Expiring => {
                let (now, by, in_grace) = (self.now(), self.expiring_by(), self.in_grace());
                vec![
                    format!("{UNREPLACED} AND expires_at > {now} AND expires_at <= {by}"),
                    format!("{in_grace} AND (retire_at <= {by} OR expires_at <= {by})"),
                ]
            }
            Filter::Unused => {
                let since = query.unused_since().unwrap_or(EPOCH);
                let day = self.value(Value::Number(number(since) / 86_400));
                let (since, alive) = (self.time(since), self.alive());
                let parts = dialect.unused.iter().map(|part| {
                    let part = part.replace(":since", &since).replace(":day", &day);
                    format!("revoked_at IS NULL AND {part} AND {alive}")
                });
                parts.collect()
            }
            Filter::Scope => {
                let scope = query.scope.as_ref().map_or("", |scope| scope.as_str());
                let (realm, scope) = (self.text(self.asked.realm.as_str()), self.text(scope));
                let found = dialect.of_scope.replace(":realm", &realm);
                vec![found.replace(":scope", &scope)]
            }
            Filter::IdPrefix => vec![self.prefix("id")],
            Filter::State => self.parts_of_states(),
        };
        parts.into_iter().map(Some).collect()
    }

    fn parts_of_states(&mut self) -> Vec<String> {
        let (query, mut parts) = (self.asked.query, Vec::new());
        let asks_for = |state| query.states.contains(&state);
        let begins = |sign: &str, now: &str| format!("not_before + 0 {sign} {now}");
        if asks_for(KeyState::Live) {
            let now = self.now();
            let begun = begins("<=", &now);
            if !self.is_end_of_time() {
                parts.push(format!("{UNREPLACED} AND expires_at IS NULL AND {begun}"));
            }
            parts.push(format!("{UNREPLACED} AND expires_at > {now} AND {begun}"));
        }
        if asks_for(KeyState::Live) || query.in_grace {
            let (in_grace, begun) = (self.in_grace(), begins("<=", &self.now()));
            parts.push(format!("{in_grace} AND {begun}"));
        }
        if asks_for(KeyState::NotYetValid) {
            let (now, alive) = (self.now(), self.alive());
            let alive = format!("revoked_at + 0 IS NULL AND {alive}");
            parts.push(format!(
                "not_before > issued_at AND not_before > {now} AND {alive}"
            ));
            let ahead = begins(">", &now);
            parts.push(format!(
                "issued_at > {now} AND not_before + 0 <= issued_at AND {ahead} AND {alive}"
            ));
        }
        if asks_for(KeyState::Expired) {
            let now = self.now();
            if self.is_end_of_time() {
                parts.push(format!("{UNREPLACED} AND expires_at IS NULL"));
            }
            parts.push(format!("{UNREPLACED} AND expires_at <= {now}"));
            parts.push(format!(
                "revoked_at IS NULL AND retire_at >= {FIRST} AND retire_at + 0 > expires_at \
                 AND expires_at + 0 <= {now}"
            ));
        }
        if asks_for(KeyState::Retired) {
            let now = self.now();
            parts.push(format!(
                "revoked_at IS NULL AND retire_at <= {now} \
                 AND (expires_at IS NULL OR retire_at + 0 <= expires_at)"
            ));
        }
        if asks_for(KeyState::Revoked) {
            parts.push(format!("revoked_at >= {FIRST}"));
        }
        parts
    }

    /// Keys that a rotation has replaced, and that are not over: by an index, in which they are few.
    fn in_grace(&mut self) -> String {
        let now = self.now();
        format!(
            "revoked_at IS NULL AND retire_at > {now} \
             AND (expires_at IS NULL OR expires_at + 0 > {now})"
        )
    }

    /// Whether a key without an end has ended: a clock that fails reads the end of time.
    fn is_end_of_time(&self) -> bool {
        self.asked.query.at == Timestamp::MAX
    }

    /// Neither expired nor retired.
    fn alive(&mut self) -> String {
        if self.is_end_of_time() {
            return "1 = 0".to_owned();
        }
        let now = self.now();
        format!(
            "(expires_at IS NULL OR expires_at + 0 > {now}) \
             AND (retire_at IS NULL OR retire_at + 0 > {now})"
        )
    }

    fn expiring_by(&mut self) -> String {
        self.time(self.asked.query.expiring_by().unwrap_or(EPOCH))
    }

    /// Ids that begin with a text: `{` comes after every character of an id.
    fn prefix(&mut self, id: &str) -> String {
        let prefix = self.asked.query.id_prefix.clone().unwrap_or_default();
        let end = self.text(&format!("{prefix}{{"));
        let prefix = self.text(&prefix);
        format!("{id} >= {prefix} AND {id} < {end}")
    }

    /// What every record meets, in words that fit no index but those of lineages, subjects and ids.
    fn conditions(&mut self, after: Option<After<'_>>, conditions: &mut Vec<String>) {
        self.other_conditions(None, after, conditions);
    }

    /// The same, but for what a filter has found.
    fn other_conditions(
        &mut self,
        found: Option<Filter>,
        after: Option<After<'_>>,
        conditions: &mut Vec<String>,
    ) {
        let (query, dialect) = (self.asked.query, self.asked.dialect);
        let asks = |filter, is_asked: bool| is_asked && found != Some(filter);
        if let Some(subject) = &query.subject {
            // A lineage is the smaller of the two.
            let column = if query.lineage.is_some() {
                "subject || ''"
            } else {
                "subject"
            };
            conditions.push(format!("{column} = {}", self.text(subject)));
        }
        if let Some(lineage) = query.lineage {
            conditions.push(format!("lineage = {}", self.text(lineage.as_str())));
        }
        if query.unrevoked {
            conditions.push("revoked_at + 0 IS NULL".to_owned());
        }
        let by_id = after.map_or("id", |(_, by_id, _)| by_id);
        if asks(Filter::IdPrefix, query.id_prefix.is_some()) {
            conditions.push(self.prefix(by_id));
        }
        if asks(Filter::Expiring, query.expiring_within.is_some()) {
            let (by, alive) = (self.expiring_by(), self.alive());
            conditions.push(format!(
                "revoked_at + 0 IS NULL AND {alive} \
                 AND (expires_at + 0 <= {by} OR retire_at + 0 <= {by})"
            ));
        }
        if asks(Filter::Unused, query.unused_for.is_some()) {
            let since = self.time(query.unused_since().unwrap_or(EPOCH));
            let alive = self.alive();
            conditions.push(format!(
                "revoked_at + 0 IS NULL AND coalesce(last_used_at, issued_at) <= {since} AND {alive}"
            ));
        }
        if let Some(scope) = &query.scope
            && found != Some(Filter::Scope)
        {
            let scope = self.text(scope.as_str());
            conditions.push(dialect.has_scope.replace(":scope", &scope));
        }
        if asks(Filter::State, query.in_grace || !query.states.is_empty()) {
            let states = self.states();
            conditions.push(format!("({})", states.join(" OR ")));
        }
        if let Some((by_issue, by_id, Some(after))) = after {
            let id = self.value(Value::Raw(after.id.clone()));
            conditions.push(if query.newest_first {
                let issued_at = self.value(Value::Number(after.issued_at));
                format!("({by_issue}, {by_id}) < ({issued_at}, {id})")
            } else {
                format!("{by_id} > {id}")
            });
        }
    }

    /// What the keys meet that are in one of the states.
    fn states(&mut self) -> Vec<String> {
        let query = self.asked.query;
        let mut states = Vec::new();
        if query.in_grace {
            let live = self.living("<=");
            states.push(format!("({live} AND retire_at IS NOT NULL)"));
        }
        for state in &query.states {
            let state = match state {
                KeyState::Live => self.living("<="),
                KeyState::NotYetValid => self.living(">"),
                KeyState::Expired => {
                    let now = self.now();
                    if self.is_end_of_time() {
                        states.push(format!("({UNREPLACED} AND expires_at IS NULL)"));
                    }
                    format!(
                        "(revoked_at + 0 IS NULL AND expires_at + 0 <= {now} \
                         AND (retire_at IS NULL OR retire_at + 0 > expires_at))"
                    )
                }
                KeyState::Retired => {
                    let now = self.now();
                    format!(
                        "(revoked_at + 0 IS NULL AND retire_at + 0 <= {now} \
                         AND (expires_at IS NULL OR retire_at + 0 <= expires_at))"
                    )
                }
                KeyState::Revoked => "(revoked_at IS NOT NULL)".to_owned(),
            };
            states.push(state);
        }
        states
    }

    /// Not over, and begun or not.
    fn living(&mut self, begins: &str) -> String {
        let (now, alive) = (self.now(), self.alive());
        format!("(revoked_at + 0 IS NULL AND {alive} AND not_before + 0 {begins} {now})")
    }
}

/// Neither revoked nor replaced.
const UNREPLACED: &str = "revoked_at IS NULL AND retire_at IS NULL";

/// The first number of a column.
const FIRST: &str = "-9223372036854775807";

/// A page that comes into being row by row.
pub(in crate::store) struct Reading<'a> {
    query: &'a ListQuery,
    records: Vec<Arc<KeyRecord>>,
    unreadable: Vec<Unreadable>,
    last: Option<Position>,
    next: Option<Cursor>,
}

impl<'a> Reading<'a> {
    pub(in crate::store) fn new(query: &'a ListQuery) -> Self {
        let after = query.after.map(|after| Position {
            id: after.id().as_str().into(),
            issued_at: number(after.issued_at()),
        });
        Self {
            query,
            records: Vec::new(),
            unreadable: Vec::new(),
            last: after,
            next: None,
        }
    }

    /// After which row to read on.
    pub(in crate::store) fn after(&self) -> Option<&Position> {
        self.last.as_ref()
    }

    /// How many rows are missing.
    pub(in crate::store) fn missing(&self) -> Option<usize> {
        let limit = self.query.limit?;
        let read = self.records.len() + self.unreadable.len();
        Some(limit.saturating_sub(read))
    }

    /// Takes the next row, and tells whether the page may have another. A page ends after a row whose
    /// place can be named, also beyond the limit: the next page begins after it.
    pub(in crate::store) fn take(
        &mut self,
        position: Position,
        record: Result<KeyRecord, StoreError>,
    ) -> bool {
        if self.missing() == Some(0)
            && let Some(next) = self.last.as_ref().and_then(Position::cursor)
        {
            self.next = Some(next);
            return false;
        }
        match record {
            Ok(record) => self.records.push(Arc::new(record)),
            Err(error) => {
                let id = std::str::from_utf8(&position.id).ok();
                let id = id.and_then(readable_id);
                self.unreadable.push(Unreadable::new(id, error));
            }
        }
        self.last = Some(position);
        true
    }

    pub(in crate::store) fn page(self) -> Page {
        Page::new(self.records)
            .with_unreadable(self.unreadable)
            .with_next(self.next)
    }
}

impl Position {
    /// The place, if it can be named.
    fn cursor(&self) -> Option<Cursor> {
        let id = readable_id(std::str::from_utf8(&self.id).ok()?)?;
        let issued_at = u64::try_from(self.issued_at).ok()?;
        Some(Cursor::new(id, Timestamp::from_unix(issued_at)))
    }
}
