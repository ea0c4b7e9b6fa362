//! What keys were used for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use tower_api_key::store::sql::UsageRow;
use tower_api_key::store::{KeyUsage, StoreError, StoreErrorKind};
use tower_api_key::{KeyId, Realm};

use super::connection::Connections;
use super::error::failed;
use super::record::column;
use super::tables::{SEEN, Tables, seen_once};

/// How many keys a transaction is about: a purge passes over their rows meanwhile.
const AT_ONCE: usize = 1_000;

/// Keeps the keys from being removed, and sees to a row for each of them. Both in the order of their ids, so that two
/// services do not deadlock.
const HOLD: &str = "WITH held AS MATERIALIZED (
    SELECT realm, id FROM @.tower_api_keys WHERE realm @= $1 AND id @= ANY ($2::pg_catalog.text[])
    ORDER BY id FOR KEY SHARE
)
INSERT INTO @.tower_api_key_usage (realm, key_id) SELECT realm, id FROM held ORDER BY id
ON CONFLICT (realm, key_id) DO NOTHING";

const LOCK: &str = "SELECT key_id, scopes, scopes_first, scopes_last, networks, networks_first, \
     networks_further FROM @.tower_api_key_usage \
     WHERE realm @= $1 AND key_id @= ANY ($2::pg_catalog.text[]) ORDER BY key_id FOR NO KEY UPDATE";

/// `unnest` of several arrays is syntax: it names `pg_catalog` by itself.
const PUT: &str = "UPDATE @.tower_api_key_usage AS used SET scopes = new.scopes, \
     scopes_first = new.scopes_first, scopes_last = new.scopes_last, networks = new.networks, \
     networks_first = new.networks_first, networks_further = new.networks_further \
     FROM unnest($2::pg_catalog.text[], $3::pg_catalog.text[], $4::bigint[], $5::bigint[], \
     $6::pg_catalog.text[], $7::bigint[], $8::bigint[]) \
     AS new (key_id, scopes, scopes_first, scopes_last, networks, networks_first, networks_further) \
     WHERE used.realm @= $1 AND used.key_id @= new.key_id";

/// Always a row: the server's state, and what is known of each key that meets the condition.
macro_rules! list {
    ($condition:literal) => {
        concat!(
            "SELECT seen.*, found.* FROM ",
            seen_once!("usages"),
            " LEFT JOIN (\
             SELECT key_id, scopes, scopes_first, scopes_last, networks, networks_first, \
             networks_further FROM @.tower_api_key_usage WHERE realm @= $1 AND ",
            $condition,
            ") AS found ON true"
        )
    };
}

const LIST: &str = list!("key_id @= ANY ($2::pg_catalog.text[])");
const LIST_BETWEEN: &str = list!("key_id @>= $2 AND key_id @<= $3");

/// From this many keys in their order on, the rows between the first and the last are read in one go.
const MANY: usize = 500;

/// Adds to what is known, some keys in each transaction.
pub(super) async fn record(
    connections: &Connections,
    realm: &Realm,
    usages: &[(KeyId, KeyUsage)],
) -> Result<(), StoreError> {
    let mut told: BTreeMap<&str, KeyUsage> = BTreeMap::new();
    for (id, usage) in usages {
        told.entry(id.as_str()).or_default().add(usage);
    }
    // Refused before anything is written.
    for usage in told.values() {
        UsageRow::of(usage)?;
    }
    let told: Vec<(&str, KeyUsage)> = told.into_iter().collect();
    for some in told.chunks(AT_ONCE) {
        let mut taken = connections.begun().await?;
        let tables = Arc::clone(&taken.tables);
        let added = add(&tables, &mut taken, realm, some).await;
        taken.end(added).await.map_err(before_it)?;
    }
    Ok(())
}

async fn add(
    tables: &Tables,
    connection: &mut PgConnection,
    realm: &Realm,
    told: &[(&str, KeyUsage)],
) -> Result<(), StoreError> {
    let realm = realm.as_str();
    let ids: Vec<&str> = told.iter().map(|(id, _)| *id).collect();
    let hold = tables.query(HOLD).bind(realm).bind(&ids);
    let done = hold.execute(&mut *connection).await;
    done.map_err(|error| failed(&error))?;
    let lock = tables.query(LOCK).bind(realm).bind(&ids);
    let rows = lock.fetch_all(&mut *connection).await;
    let rows = rows.map_err(|error| failed(&error))?;
    let mut written = Written::default();
    for row in &rows {
        let id: &str = column(row, 0)?;
        let place = told.binary_search_by(|(told, _)| (*told).cmp(id));
        let Some((id, usage)) = place.ok().map(|place| &told[place]) else {
            continue;
        };
        let before = usage_of(row, 1)?;
        let mut after = before.clone();
        after.add(usage);
        if after != before {
            written.push(id, UsageRow::of(&after)?);
        }
    }
    if written.ids.is_empty() {
        return Ok(());
    }
    let put = tables.query(PUT).bind(realm).bind(written.ids);
    let put = put.bind(written.scopes);
    let put = put.bind(written.scopes_first).bind(written.scopes_last);
    let put = put.bind(written.networks).bind(written.networks_first);
    let put = put.bind(written.networks_further);
    let put = put.execute(connection).await;
    put.map_err(|error| failed(&error)).map(drop)
}

/// Rows by columns.
#[derive(Default)]
struct Written {
    ids: Vec<String>,
    scopes: Vec<Option<String>>,
    scopes_first: Vec<Option<i64>>,
    scopes_last: Vec<Option<i64>>,
    networks: Vec<Option<String>>,
    networks_first: Vec<Option<i64>>,
    networks_further: Vec<Option<i64>>,
}

impl Written {
    fn push(&mut self, id: &str, row: UsageRow) {
        self.ids.push(id.to_owned());
        self.scopes.push(row.scopes);
        self.scopes_first.push(row.scopes_first);
        self.scopes_last.push(row.scopes_last);
        self.networks.push(row.networks);
        self.networks_first.push(row.networks_first);
        self.networks_further.push(row.networks_further);
    }
}

pub(super) async fn list(
    connections: &Connections,
    realm: &Realm,
    ids: &[KeyId],
) -> Result<Vec<KeyUsage>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<String> = ids.iter().map(KeyId::to_string).collect();
    let range = match &*texts {
        [first, .., last] if ids.len() >= MANY && ids.is_sorted() => Some((first, last)),
        _ => None,
    };
    let query = |tables: &Tables| {
        if let Some((first, last)) = range {
            let query = tables.query(LIST_BETWEEN).bind(realm.as_str().to_owned());
            return query.bind(first.clone()).bind(last.clone());
        }
        let query = tables.query(LIST).bind(realm.as_str().to_owned());
        query.bind(texts.clone())
    };
    let rows = connections.rows("usages", query).await.map_err(before_it)?;
    let mut found: HashMap<&str, KeyUsage> = HashMap::new();
    for row in &rows {
        if let Some(id) = column::<Option<&str>>(row, SEEN)? {
            found.insert(id, usage_of(row, SEEN + 1)?);
        }
    }
    let known = |id: &String| found.get(id.as_str()).cloned().unwrap_or_default();
    Ok(texts.iter().map(known).collect())
}

/// What a row knows, from this column on. One that another program has damaged says nothing, and is written anew at
/// the next use: no verdict depends on it.
fn usage_of(row: &PgRow, first: usize) -> Result<KeyUsage, StoreError> {
    let row = UsageRow {
        scopes: column(row, first)?,
        scopes_first: column(row, first + 1)?,
        scopes_last: column(row, first + 2)?,
        networks: column(row, first + 3)?,
        networks_first: column(row, first + 4)?,
        networks_further: column(row, first + 5)?,
    };
    Ok(row.usage().unwrap_or_default())
}

/// A schema from before the migration keeps no usage.
fn before_it(error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::Schema => StoreError::new(StoreErrorKind::Unsupported, error),
        _ => error,
    }
}
