//! The statements of a list, for both SQL stores.
//!
//! A page is read in one of three ways. The keys of a lineage or a subject have an index in which they
//! are in order. A filter that few keys meet has an index that finds those, and they are put in order.
//! Everything else is read in order, and passed over if a filter is not met: a filter that many keys
//! meet fills a page soon. Which of the last two it is, the store counts first, up to [`FEW`]: the
//! planner of a database without statistics would guess.

use std::sync::Arc;

use super::{Cursor, ListQuery, Page, Unreadable};
use crate::clock::Timestamp;
use crate::realm::Realm;
use crate::record::{KeyRecord, KeyState};
use crate::store::StoreError;
use crate::store::row::readable_id;

/// How many keys are put in order for a page. With a page of 100 of a million keys, a filter that
/// as many meet costs about the same both ways.
pub(in crate::store) const FEW: i64 = 10_000;

/// How a key ends: by its expiry or not at all (0), by its expiry before the end of its grace period
/// (1), by the end of its grace period (2), or it was revoked (3). Both schemas have it in an index.
macro_rules! fate {
    () => {
        "CASE WHEN revoked_at IS NOT NULL THEN 3 WHEN retire_at IS NULL THEN 0 \
         WHEN retire_at <= coalesce(expires_at, retire_at) THEN 2 ELSE 1 END"
    };
}
pub(in crate::store) use fate;

const EPOCH: Timestamp = Timestamp::from_unix(0);
const FATE: &str = concat!("(", fate!(), ")");

/// What differs between the databases.
pub(in crate::store) struct Dialect {
    pub(in crate::store) table: &'static str,
    pub(in crate::store) columns: &'static str,
    /// When a key ended or ends, and the last number of the column if it does not.
    pub(in crate::store) end: &'static str,
    /// The day of the last use, or of the issue.
    pub(in crate::store) used_on: &'static str,
    /// What finds the keys of a scope: `:realm` and `:scope` stand for the values.
    pub(in crate::store) of_scope: &'static str,
    /// What tells whether a key has a scope, and uses no index.
    pub(in crate::store) has_scope: &'static str,
    /// The realm, so that no index is taken for it.
    pub(in crate::store) plain_realm: &'static str,
    /// The id, so that no index is taken for it.
    pub(in crate::store) plain_id: &'static str,
    /// The id in the order of what a filter has found.
    pub(in crate::store) found_id: &'static str,
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

    /// What may find the few keys that are asked for; none if another way is known to be as good.
    pub(in crate::store) fn filters(&self) -> Vec<Filter> {
        let query = self.query;
        if query.lineage.is_some() || query.subject.is_some() {
            return Vec::new();
        }
        let filters = [
            (Filter::Expiring, query.expiring_within.is_some()),
            (Filter::Scope, query.scope.is_some()),
            (Filter::Unused, query.unused_for.is_some()),
            (Filter::State, query.in_grace || !query.states.is_empty()),
            (
                Filter::IdPrefix,
                query.id_prefix.is_some() && query.newest_first,
            ),
            // The newest of a realm have an index.
            (Filter::Realm, !query.newest_first),
        ];
        let asked = filters.into_iter().filter(|(_, is_asked)| *is_asked);
        asked.map(|(filter, _)| filter).collect()
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
    pub(in crate::store) fn count(&self, filter: Filter) -> Statement {
        let mut builder = Builder::new(self);
        let found = builder.found_by(filter);
        let limit = builder.value(Value::Number(FEW + 1));
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
        let query = self.query;
        let (mut before, mut conditions) = (String::new(), Vec::new());
        let realm = builder.text(self.realm.as_str());
        conditions.push(match way {
            Way::InOrder if query.newest_first => format!("realm = {realm}"),
            Way::Direct if query.lineage.is_none() => format!("realm = {realm}"),
            _ => format!("{} = {realm}", self.dialect.plain_realm),
        });
        let mut order = ("issued_at", "id");
        if matches!(way, Way::By(_)) || (way == Way::Direct && query.newest_first) {
            // What is found is put in order: a planner that would read all in order instead, because
            // a page is short, reads everything for a filter that few meet.
            order = ("issued_at + 0", self.dialect.plain_id);
        }
        if let Way::By(filter) = way {
            let found = builder.found_by(filter);
            let (list, condition) = (self.dialect.among)(&found);
            before = list;
            conditions.push(condition);
        }
        let (by_issue, by_id) = order;
        builder.conditions(by_id, &mut conditions);
        if let Some(Position { id, issued_at }) = after {
            let id = builder.value(Value::Raw(id.clone()));
            conditions.push(if query.newest_first {
                let issued_at = builder.value(Value::Number(*issued_at));
                format!("({by_issue}, {by_id}) < ({issued_at}, {id})")
            } else {
                format!("{by_id} > {id}")
            });
        }
        let order = match way {
            _ if query.newest_first => format!("{by_issue} DESC, {by_id} DESC"),
            Way::By(_) => self.dialect.found_id.to_owned(),
            _ => by_id.to_owned(),
        };
        let limit = count.map(|count| {
            let count = i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1);
            format!(" LIMIT {}", builder.value(Value::Number(count)))
        });
        let Dialect { table, columns, .. } = self.dialect;
        builder.end(format!(
            "{before}SELECT {columns} FROM {table} WHERE {} ORDER BY {order}{}",
            conditions.join(" AND "),
            limit.unwrap_or_default()
        ))
    }
}

struct Builder<'a> {
    asked: &'a Asked<'a>,
    values: Vec<Value>,
}

impl<'a> Builder<'a> {
    fn new(asked: &'a Asked<'a>) -> Self {
        Self {
            asked,
            values: Vec::new(),
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

    /// Selects the ids that a filter finds by its index.
    fn found_by(&mut self, filter: Filter) -> String {
        let (query, dialect) = (self.asked.query, self.asked.dialect);
        let mut parts = Vec::new();
        let end = dialect.end;
        match filter {
            Filter::Realm => parts.push(String::new()),
            Filter::Expiring => {
                let (at, by) = (self.time(query.at), self.last_end());
                parts.push(format!(
                    "{FATE} IN (0, 1, 2) AND {end} > {at} AND {end} <= {by}"
                ));
            }
            Filter::Unused => {
                let since = query.unused_since().unwrap_or(EPOCH);
                let day = self.value(Value::Number(number(since) / 86_400));
                parts.push(format!(
                    "revoked_at IS NULL AND {} <= {day}",
                    dialect.used_on
                ));
            }
            Filter::Scope => {
                let scope = query.scope.as_ref().map_or("", |scope| scope.as_str());
                let (realm, scope) = (self.text(self.asked.realm.as_str()), self.text(scope));
                let found = dialect.of_scope.replace(":realm", &realm);
                parts.push(found.replace(":scope", &scope));
            }
            Filter::IdPrefix => {
                let prefix = self.prefix("id");
                parts.push(prefix);
            }
            Filter::State => {
                for (state, fates, has_ended) in STATES {
                    if !self.asks_for(state) {
                        continue;
                    }
                    if state == Some(KeyState::Revoked) {
                        parts.push(format!("{FATE} IN ({fates})"));
                        continue;
                    }
                    let at = self.time(query.at);
                    if state == Some(KeyState::NotYetValid) {
                        parts.push(format!("not_before > issued_at AND not_before > {at}"));
                        parts.push(format!("issued_at > {at}"));
                    } else {
                        let sign = if has_ended { "<=" } else { ">" };
                        parts.push(format!("{FATE} IN ({fates}) AND {end} {sign} {at}"));
                    }
                }
            }
        }
        let parts: Vec<String> = parts
            .into_iter()
            .map(|part| {
                let realm = self.text(self.asked.realm.as_str());
                let and = if part.is_empty() { "" } else { " AND " };
                // Ids have an index of their own.
                let column = match filter {
                    Filter::IdPrefix => dialect.plain_realm,
                    _ => "realm",
                };
                format!(
                    "SELECT id FROM {} WHERE {column} = {realm}{and}{part}",
                    dialect.table
                )
            })
            .collect();
        parts.join(" UNION ALL ")
    }

    /// Whether keys of a state are asked for; `None` is a grace period.
    fn asks_for(&self, state: Option<KeyState>) -> bool {
        let query = self.asked.query;
        match state {
            Some(state) => query.states.contains(&state),
            None => query.in_grace,
        }
    }

    /// The last end that is soon. No end is no end.
    fn last_end(&mut self) -> String {
        let by = self.asked.query.expiring_by().unwrap_or(EPOCH);
        self.value(Value::Number(number(by).min(i64::MAX - 1)))
    }

    /// Ids that begin with a text: `{` comes after every character of an id.
    fn prefix(&mut self, id: &str) -> String {
        let prefix = self.asked.query.id_prefix.clone().unwrap_or_default();
        let end = self.text(&format!("{prefix}{{"));
        let prefix = self.text(&prefix);
        format!("{id} >= {prefix} AND {id} < {end}")
    }

    /// What every record meets, in words that fit no index but those of lineages, subjects and ids.
    fn conditions(&mut self, id: &str, conditions: &mut Vec<String>) {
        let (query, dialect) = (self.asked.query, self.asked.dialect);
        let end = dialect.end;
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
            conditions.push("revoked_at IS NULL".to_owned());
        }
        if query.id_prefix.is_some() {
            conditions.push(self.prefix(id));
        }
        if query.expiring_within.is_some() {
            let (at, by) = (self.time(query.at), self.last_end());
            conditions.push(format!(
                "revoked_at IS NULL AND {end} + 0 > {at} AND {end} + 0 <= {by}"
            ));
        }
        if query.unused_for.is_some() {
            let since = query.unused_since().unwrap_or(EPOCH);
            let (since, at) = (self.time(since), self.time(query.at));
            conditions.push(format!(
                "revoked_at IS NULL AND coalesce(last_used_at, issued_at) <= {since} \
                 AND {end} + 0 > {at}"
            ));
        }
        if let Some(scope) = &query.scope {
            let scope = self.text(scope.as_str());
            conditions.push(dialect.has_scope.replace(":scope", &scope));
        }
        if query.in_grace || !query.states.is_empty() {
            let mut states = Vec::new();
            for (state, fates, has_ended) in STATES {
                if self.asks_for(state) {
                    states.push(self.state(state, fates, has_ended));
                }
            }
            conditions.push(format!("({})", states.join(" OR ")));
        }
    }

    fn state(&mut self, state: Option<KeyState>, fates: &str, has_ended: bool) -> String {
        if state == Some(KeyState::Revoked) {
            return "revoked_at IS NOT NULL".to_owned();
        }
        let at = self.time(self.asked.query.at);
        let end = self.asked.dialect.end;
        let sign = if has_ended { "<=" } else { ">" };
        let fate = format!("{FATE} + 0 IN ({fates}) AND {end} + 0 {sign} {at}");
        match state {
            Some(KeyState::NotYetValid) => format!("({fate} AND not_before > {at})"),
            Some(KeyState::Live) | None => format!("({fate} AND not_before <= {at})"),
            Some(_) => format!("({fate})"),
        }
    }
}

/// Each state, its fates, and whether it comes with the end of the key. `None` is a grace period.
const STATES: [(Option<KeyState>, &str, bool); 6] = [
    (Some(KeyState::Live), "0, 1, 2", false),
    (None, "1, 2", false),
    (Some(KeyState::NotYetValid), "0, 1, 2", false),
    (Some(KeyState::Expired), "0, 1", true),
    (Some(KeyState::Retired), "2", true),
    (Some(KeyState::Revoked), "3", true),
];

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
