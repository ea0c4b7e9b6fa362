//! Records: how they are read and written.

use std::sync::LazyLock;

use tower_api_key::store::sql::{Column, Row};

/// The realm and the columns of a row.
const WIDTH: usize = 1 + Row::COLUMNS.len();
const FIND_BY: [&str; 4] = ["digest", "id", "subject", "lineage"];

/// The row of a digest `?1` in a realm `?2`.
pub static FIND: LazyLock<String> = LazyLock::new(|| select("digest = ?1 AND realm = ?2"));

/// The row of an id `?1` in a realm `?2`.
pub static GET: LazyLock<String> = LazyLock::new(|| select("id = ?1 AND realm = ?2"));

/// A new row: `?1` is the realm, then come the columns of [`Row`].
pub static INSERT: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=WIDTH).map(|place| format!("?{place}")).collect();
    let names = Row::NAMES;
    format!(
        "INSERT INTO main.api_keys (realm, {names}) VALUES ({})",
        places.join(", ")
    )
});

/// Another state of a row: the values of [`INSERT`], and the version that is expected. It changes one row, or none if
/// the version is another.
pub static UPDATE: LazyLock<String> = LazyLock::new(|| updating(&[]));

/// As [`UPDATE`], without the label and the metadata.
pub static UPDATE_UNDESCRIBED: LazyLock<String> =
    LazyLock::new(|| updating(&["label", "metadata"]));

/// Whose changes the transaction makes: whether they are those of a store, the actor, and the time before which it
/// may remove entries of the history. It is set before the first change and undone (`0, NULL, NULL`) before the commit,
/// so that no other program acts as this one. The row is on a page that every connection has in memory.
pub const ACT: &str =
    "UPDATE main.api_key_acting SET by_store = ?1, actor = ?2, forget_before = ?3";

/// Moves the last use of an id `?1` in a realm `?2` forward to `?3`.
pub const USE: &str = "UPDATE main.api_keys SET last_used_at = ?3 WHERE id = ?1 AND realm = ?2 \
     AND (last_used_at IS NULL OR last_used_at < ?3)";

/// The last use of an id `?1` in a realm `?2`.
pub const LAST_USE: &str = "SELECT last_used_at FROM main.api_keys WHERE id = ?1 AND realm = ?2";

fn select(condition: &str) -> String {
    format!("SELECT {} FROM main.api_keys WHERE {condition}", Row::NAMES)
}

/// It puts every column except these, even those that never change: the database then refuses a change that
/// would otherwise be lost. Those that find the row are compared.
fn updating(except: &[&str]) -> String {
    let columns = Row::COLUMNS.iter().zip(2..);
    let (found, set): (Vec<_>, Vec<_>) = columns
        .filter(|(column, _)| !except.contains(&column.name))
        .partition(|(column, _)| FIND_BY.contains(&column.name));
    let equal = |columns: Vec<(&Column, usize)>, between| {
        let equal = |(column, place): (&Column, usize)| format!("{} = ?{place}", column.name);
        columns
            .into_iter()
            .map(equal)
            .collect::<Vec<_>>()
            .join(between)
    };
    format!(
        "UPDATE main.api_keys SET {} WHERE realm = ?1 AND {} AND version = ?{}",
        equal(set, ", "),
        equal(found, " AND "),
        WIDTH + 1
    )
}
