//! The conditions that records meet, in SQL: in words that fit an index, or in words that fit none.

use super::filter::Filter;
use super::list_statements::{EPOCH, ListStatements, number};
use super::position::Position;
use super::statement::Statement;
use super::value::Value;
use crate::record::KeyState;
use crate::time::Timestamp;

/// Columns by which a page is in order, and the place after which it begins.
pub(super) type After<'a> = (&'a str, &'a str, Option<&'a Position>);

pub(super) struct Builder<'a> {
    asked: &'a ListStatements<'a>,
    values: Vec<Value>,
    now: Option<String>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(asked: &'a ListStatements<'a>) -> Self {
        Self {
            asked,
            values: Vec::new(),
            now: None,
        }
    }

    pub(super) fn end(self, sql: String) -> Statement {
        Statement {
            sql,
            values: self.values,
        }
    }

    pub(super) fn value(&mut self, value: Value) -> String {
        let place = (self.asked.dialect.place)(self.values.len() + 1, &value);
        self.values.push(value);
        place
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        self.value(Value::Text(text.to_owned()))
    }

    pub(super) fn time(&mut self, at: Timestamp) -> String {
        self.value(Value::Number(number(at)))
    }

    /// The moment that the query is judged at. No database takes a value that no statement names.
    fn now(&mut self) -> String {
        if let Some(now) = &self.now {
            return now.clone();
        }
        let now = self.time(self.asked.query.at);
        self.now.insert(now).clone()
    }

    /// Selects the ids and issues that a filter finds by its index: all of them, or those that come
    /// after a place and meet the other conditions too. No two parts find the same key.
    pub(super) fn found_by(&mut self, filter: Filter, after: Option<After<'_>>) -> String {
        let dialect = self.asked.dialect;
        let mut parts = Vec::new();
        for part in self.parts(filter, after.is_some()) {
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

    /// The conditions that are met by the keys that a filter finds, and by no others. If they need not
    /// be exact, they are those that the index can check.
    fn parts(&mut self, filter: Filter, exactly: bool) -> Vec<Option<String>> {
        let (query, dialect) = (self.asked.query, self.asked.dialect);
        let parts = match filter {
            Filter::Realm => return vec![None],
            Filter::Unused => self.unused(exactly),
            Filter::Expiring => {
                let (now, by, in_grace) = (self.now(), self.expiring_by(), self.in_grace());
                vec![
                    format!("{UNREPLACED} AND expires_at > {now} AND expires_at <= {by}"),
                    format!("{in_grace} AND (retire_at <= {by} OR expires_at <= {by})"),
                ]
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

    fn unused(&mut self, exactly: bool) -> Vec<String> {
        let dialect = self.asked.dialect;
        let since = self.asked.query.unused_since().unwrap_or(EPOCH);
        let rest = if exactly { dialect.unused_rest } else { "" };
        let alive = self.alive();
        let parts = dialect.unused.iter().map(|part| {
            let mut part = format!("revoked_at IS NULL AND {part}{rest} AND {alive}");
            if part.contains(":since") {
                part = part.replace(":since", &self.time(since));
            }
            if part.contains(":hour") {
                let hour = self.value(Value::Number(number(since) / 3_600));
                part = part.replace(":hour", &hour);
            }
            part
        });
        parts.collect()
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
        if asks_for(KeyState::Replaced) {
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

    /// Neither expired nor replaced for longer than its grace period.
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

    /// The conditions that every record meets, in words that fit no index except those of lineages,
    /// subjects and ids.
    pub(super) fn conditions(&mut self, after: Option<After<'_>>, conditions: &mut Vec<String>) {
        self.other_conditions(None, after, conditions);
    }

    /// The same, without those that a filter has checked.
    fn other_conditions(
        &mut self,
        found: Option<Filter>,
        after: Option<After<'_>>,
        conditions: &mut Vec<String>,
    ) {
        let (query, dialect) = (self.asked.query, self.asked.dialect);
        let unrevoked = dialect.plain_unrevoked;
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
            conditions.push(unrevoked.to_owned());
        }
        let by_id = after.map_or("id", |(_, by_id, _)| by_id);
        if asks(Filter::IdPrefix, query.id_prefix.is_some()) {
            conditions.push(self.prefix(by_id));
        }
        if asks(Filter::Expiring, query.expiring_within.is_some()) {
            let (by, alive) = (self.expiring_by(), self.alive());
            conditions.push(format!(
                "{unrevoked} AND {alive} \
                 AND (expires_at + 0 <= {by} OR retire_at + 0 <= {by})"
            ));
        }
        if asks(Filter::Unused, query.unused_for.is_some()) {
            let since = self.time(query.unused_since().unwrap_or(EPOCH));
            let alive = self.alive();
            conditions.push(format!(
                "{unrevoked} AND coalesce(last_used_at, issued_at) <= {since} \
                 AND issued_at + 0 <= {since} AND {alive}"
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

    /// The conditions that the keys in one of the states meet.
    fn states(&mut self) -> Vec<String> {
        let query = self.asked.query;
        let unrevoked = self.asked.dialect.plain_unrevoked;
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
                        "({unrevoked} AND expires_at + 0 <= {now} \
                         AND (retire_at IS NULL OR retire_at + 0 > expires_at))"
                    )
                }
                KeyState::Replaced => {
                    let now = self.now();
                    format!(
                        "({unrevoked} AND retire_at + 0 <= {now} \
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
        let unrevoked = self.asked.dialect.plain_unrevoked;
        format!("({unrevoked} AND {alive} AND not_before + 0 {begins} {now})")
    }
}

/// Neither revoked nor replaced.
const UNREPLACED: &str = "revoked_at IS NULL AND retire_at IS NULL";

/// The first number of a column.
const FIRST: &str = "-9223372036854775807";
