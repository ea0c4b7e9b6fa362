//! Lists, a page at a time, in a transaction.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tower_api_key::Realm;
use tower_api_key::store::sql::{ListStatements, PageBuilder, Position, Row, Way};
use tower_api_key::store::{ListQuery, MOST_REALMS, Page, StoreError};
use tower_api_key_sqlite_schema::lists::{DIALECT, REALMS};

use super::place::Place;
use super::record::record;
use super::statement::{asked, column, composed, first};

pub(super) async fn list(
    connection: &mut SqliteConnection,
    place: &Place,
    realm: &Realm,
    query: &ListQuery,
) -> Result<Page, StoreError> {
    let asked = ListStatements::new(&DIALECT, realm, query);
    if asked.is_nothing() {
        return Ok(Page::default());
    }
    let way = way(connection, place, &asked).await?;
    let mut page = PageBuilder::new(query);
    loop {
        let missing = page.missing();
        let statement = asked.page(way, page.after(), missing);
        let rows = composed(statement).fetch_all(&mut *connection).await;
        let rows = rows.map_err(|error| place.sqlx(error))?;
        for row in &rows {
            let last_used = column(row, Row::COLUMNS.len()).map_err(|error| place.sqlx(error))?;
            if !page.take(position(row, way), record(row, 0, realm, place), last_used) {
                return Ok(page.page());
            }
        }
        if missing.is_none_or(|missing| rows.len() <= missing) {
            return Ok(page.page());
        }
    }
}

async fn way(
    connection: &mut SqliteConnection,
    place: &Place,
    asked: &ListStatements<'_>,
) -> Result<Way, StoreError> {
    let fail = |error| place.sqlx(error);
    for (filter, few) in asked.filters() {
        let count = composed(asked.count(filter, few));
        let row = first(connection, count).await.map_err(fail)?;
        let found: Option<i64> = row.map(|row| column(&row, 0)).transpose().map_err(fail)?;
        if found.is_some_and(|found| found <= few) {
            return Ok(Way::By(filter));
        }
    }
    Ok(asked.other_way())
}

fn position(row: &SqliteRow, way: Way) -> Position {
    // Whatever the column holds: a text is its bytes.
    let bytes = |place| column::<Option<&[u8]>>(row, place).ok().flatten();
    let bytes = |place| bytes(place).unwrap_or_default().to_vec();
    let issued_at = column::<i64>(row, 5).unwrap_or(-1);
    let position = Position::new(bytes(0), issued_at);
    match way {
        Way::Stored => position.stored_by(bytes(1)),
        _ => position,
    }
}

pub(super) async fn realms(
    connection: &mut SqliteConnection,
    place: &Place,
) -> Result<Vec<Realm>, StoreError> {
    let most = i64::try_from(MOST_REALMS).unwrap_or(i64::MAX);
    let rows = asked(REALMS).bind(most).fetch_all(connection).await;
    let rows = rows.map_err(|error| place.sqlx(error))?;
    // An unreadable name is of no use to an operator.
    let realm = |row| column::<&str>(row, 0).ok()?.parse().ok();
    Ok(rows.iter().filter_map(realm).collect())
}
