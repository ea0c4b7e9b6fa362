//! Look-ups, records by their ids, and last uses.

use std::sync::{Arc, LazyLock};

use sqlx::sqlite::SqliteConnection;
use tower_api_key::store::sql::{Row, moment};
use tower_api_key::store::{Found, StoreError, StoreErrorKind};
use tower_api_key::{KeyDigest, KeyId, KeyRecord, Realm, Timestamp};
use tower_api_key_sqlite_schema::records::{GET, LAST_USE};

use super::connection::Connections;
use super::place::Place;
use super::record::record;
use super::settings::READS_UNCOMMITTED;
use super::statement::{asked, column, first};

/// A look-up in one message to the connection's thread, in a transaction of its own: if the application has left the
/// connection in one, `BEGIN` fails. It always has a row, which says of which version the schema is.
static FIND: LazyLock<String> = LazyLock::new(|| {
    let columns = Row::COLUMNS.map(|column| format!("keys.{}", column.name));
    format!(
        "BEGIN; SELECT seen.schema_version, uncommitted.read_uncommitted, {} \
         FROM pragma_schema_version AS seen CROSS JOIN pragma_read_uncommitted AS uncommitted \
         LEFT JOIN main.api_keys AS keys ON keys.digest = ?1 AND keys.realm = ?2; COMMIT",
        columns.join(", ")
    )
});

/// The columns of [`FIND`] before those of a record.
const SEEN: usize = 2;

/// How often a look-up is made again because the schema has changed.
const ATTEMPTS: usize = 3;

pub(super) async fn find(connections: &Connections, realm: &Realm, digest: &KeyDigest) -> Found {
    let place = &connections.place;
    let fail = |error| place.sqlx(error);
    for _ in 0..ATTEMPTS {
        let query = || {
            let find = asked(FIND.as_str()).bind(digest.as_bytes().to_vec());
            find.bind(realm.as_str().to_owned())
        };
        let rows = connections.rows(query).await?;
        place.require_current()?;
        let missing = "SQLite did not answer a look-up";
        let row = rows.first();
        let row = row.ok_or_else(|| place.error(StoreErrorKind::Unavailable, missing))?;
        if column::<i64>(row, 1).map_err(fail)? != 0 {
            return Err(place.error(StoreErrorKind::Unavailable, READS_UNCOMMITTED));
        }
        if connections.is_intact(column(row, 0).map_err(fail)?) {
            let id: Option<&str> = column(row, SEEN).map_err(fail)?;
            return id.map(|_| record(row, SEEN, realm, place)).transpose();
        }
        // What a table of another schema says is no answer.
        let mut taken = connections.taken().await?;
        let reading = connections.reading(&mut taken).await?;
        reading.rollback().await.map_err(fail)?;
    }
    let advice = "the schema changes again and again; let the migrations end, and try again";
    Err(place.error(StoreErrorKind::Unavailable, advice))
}

/// The record of an id, in a transaction.
pub(super) async fn get(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    id: KeyId,
) -> Result<Option<Arc<KeyRecord>>, StoreError> {
    let get = asked(GET.as_str()).bind(id.to_string());
    let row = first(connection, get.bind(realm.as_str().to_owned())).await;
    let row = row.map_err(|error| place.sqlx(error))?;
    row.map(|row| record(&row, 0, realm, place)).transpose()
}

/// The last uses of these ids, in a transaction.
pub(super) async fn last_uses(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    ids: &[KeyId],
) -> Result<Vec<Option<Timestamp>>, StoreError> {
    let fail = |error| place.sqlx(error);
    let mut uses = Vec::with_capacity(ids.len());
    for id in ids {
        let last = asked(LAST_USE).bind(id.to_string());
        let row = first(connection, last.bind(realm.as_str().to_owned())).await;
        let at: Option<i64> = match row.map_err(fail)? {
            Some(row) => column(&row, 0).map_err(fail)?,
            None => None,
        };
        uses.push(at.map(|at| moment("last_used_at", at)).transpose()?);
    }
    Ok(uses)
}
