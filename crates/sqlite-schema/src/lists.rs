//! Lists of keys and of realms.

use tower_api_key::store::sql::{Dialect, Value};

/// How [`ListStatements`](tower_api_key::store::sql::ListStatements) writes for these tables.
pub const DIALECT: Dialect = Dialect {
    table: "main.api_keys",
    unused: &[
        "last_used_at <= :since AND issued_at + 0 <= :since",
        "last_used_at IS NULL AND issued_at <= :since",
    ],
    unused_rest: "",
    plain_unrevoked: "revoked_at + 0 IS NULL",
    of_scope: "scopes IN (SELECT scopes FROM main.api_key_scope_sets WHERE realm = :realm \
               AND scope = :scope)",
    has_scope: "instr(' ' || scopes || ' ', ' ' || :scope || ' ') > 0",
    plain_realm: "+realm",
    plain_id: "+id",
    stored_by: Some("digest"),
    few_in_index: 50_000,
    few_in_table: 5_000,
    place: |number, value| match value {
        Value::Raw(_) => format!("CAST(?{number} AS TEXT)"),
        Value::Number(_) | Value::Text(_) | Value::Bytes(_) => format!("?{number}"),
    },
    among: |found| (String::new(), format!("id IN ({found})")),
};

/// The first `?1` realms. Each step is one descent in an index.
pub const REALMS: &str = "WITH RECURSIVE realms (realm, number) AS (
    SELECT min(realm), 1 FROM main.api_keys
    UNION ALL
    SELECT (SELECT min(keys.realm) FROM main.api_keys AS keys WHERE keys.realm > realms.realm), number + 1
    FROM realms WHERE realm IS NOT NULL AND number < ?1
) SELECT realm FROM realms WHERE realm IS NOT NULL";
