//! The schema: its migrations, and whether a file has the tables and guards that they make.

/// `TKEY`: `file` and other tools recognise the database by it.
pub const APPLICATION_ID: i64 = 0x544b_4559;

/// The migrations from each version of the schema to the next, from none to 1 first.
pub const MIGRATIONS: [&str; 12] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
    include_str!("schema_12.sql"),
];

/// The version of the schema that the stores read and write.
pub const VERSION: i64 = 12;

/// The parts that the migrations make and the stores rely on: name, type and statement. Indexes are not included, nor
/// triggers and indexes that others add: without its own index, a store is slow but correct.
pub const PARTS: &str = "SELECT name, type, sql FROM main.sqlite_schema \
     WHERE type IN ('table', 'view', 'trigger') \
     AND tbl_name IN ('api_keys', 'api_key_scope_sets', 'api_key_changes', 'api_key_feed', \
     'api_key_subjects', 'api_key_history', 'api_key_acting', 'api_key_usage') \
     ORDER BY name";

/// A row of [`PARTS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// `table`, `view` or `trigger`.
    pub kind: String,
    /// The statement that makes it.
    pub sql: String,
}

/// Whether everything is there that the migrations make, as a database in memory has it. An empty table in the place
/// of the keys would otherwise be a store in which every key is unknown, and without its guards a statement by hand
/// could widen a key.
///
/// # Errors
///
/// The remedy, for the first part that is missing or another. Tables come first: if one is missing, its triggers are
/// missing too.
pub fn require_parts(expected: &[Part], found: &[Part]) -> Result<(), String> {
    let (tables, others): (Vec<_>, Vec<_>) = expected.iter().partition(|part| part.kind == "table");
    let mut expected = tables.into_iter().chain(others);
    let Some(missing) = expected.find(|part| !found.contains(part)) else {
        return Ok(());
    };
    let name = missing.name.as_str();
    if missing.kind == "trigger" {
        return Err(format!(
            "its trigger {name} is missing, or differs from the one that this version of the \
             crate creates; put it back, or restore the file from a backup"
        ));
    }
    let table = match name {
        "api_keys" => "table of keys",
        "api_key_changes" => "log of changes",
        "api_key_feed" => "table of the staleness",
        "api_key_subjects" => "table of subjects",
        "api_key_history" => "history",
        "api_key_usage" => "table of usage",
        "api_key_acting" => "table of those who act",
        _ => "table of scopes",
    };
    Err(format!(
        "its {table} is missing, or differs from the one that this version of the \
         crate creates; restore the file from a backup"
    ))
}

/// Whether this is the [`VERSION`] of the stores.
///
/// # Errors
///
/// The remedy.
pub fn require_newest(version: i64) -> Result<(), String> {
    match version {
        VERSION => Ok(()),
        newer if newer > VERSION => Err(too_new(newer)),
        0 => Err("the file holds no keys yet; create the store first".to_owned()),
        older => Err(format!(
            "its schema has version {older}, and this crate reads {VERSION}; migrate the store \
             first"
        )),
    }
}

/// The remedy for a schema that a newer version has migrated.
pub fn too_new(version: i64) -> String {
    format!(
        "its schema has version {version}, and this crate reads versions up to {VERSION}; upgrade \
         tower-api-key"
    )
}

/// The statements that mark a file whose schema has this version, in the transaction of its migrations.
pub fn mark(version: usize) -> String {
    format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_counts_the_migrations() {
        assert_eq!(usize::try_from(VERSION), Ok(MIGRATIONS.len()));
    }

    #[test]
    fn a_missing_table_is_named_before_its_triggers() {
        let part = |name: &str, kind: &str| Part {
            name: name.to_owned(),
            kind: kind.to_owned(),
            sql: String::new(),
        };
        let expected = [
            part("a_guard", "trigger"),
            part("api_key_history", "table"),
            part("api_keys", "table"),
        ];
        assert_eq!(require_parts(&expected, &expected), Ok(()));
        let missing = require_parts(&expected, &expected[2..]).unwrap_err();
        assert!(missing.starts_with("its history is missing"), "{missing}");
        let missing = require_parts(&expected, &expected[1..]).unwrap_err();
        assert!(
            missing.starts_with("its trigger a_guard is missing"),
            "{missing}"
        );
    }
}
