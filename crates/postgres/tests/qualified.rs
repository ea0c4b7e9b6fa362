//! Tables with the same names in other schemas.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, PgPool};
use tower_api_key::store::ListQuery;
use tower_api_key::{Grant, Narrowing, RevocationReason};
use tower_api_key_contract::contract;
use tower_api_key_postgres::InTransaction;

use super::{MIGRATIONS, connect, ring_over};
use tower_api_key_test_support::pg_server::{database, execute, patient};
use tower_api_key_test_support::support::issue;

/// Unusable tables with those names, which every later session finds first.
const DECOY: &str = "CREATE SCHEMA decoy;
CREATE TABLE decoy.tower_api_keys (decoy int);
CREATE TABLE decoy.tower_api_key_migrations (decoy int)";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_every_statement_names_the_schema_that_was_found_first() {
    contract(async || {
        let url = database().await;
        let store = connect(&url).await;
        execute(&url, DECOY).await.unwrap();
        let name = url.rsplit_once('/').unwrap().1;
        let path = format!("ALTER DATABASE {name} SET search_path = decoy");
        execute(&url, &path).await.unwrap();
        store
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_schema_is_named_by_the_options_too() {
    let url = tower_api_key_test_support::pg_server::empty_database().await;
    execute(&url, "CREATE SCHEMA \"the 'keys\"; CREATE SCHEMA decoy")
        .await
        .unwrap();
    let options = patient().schema("the 'keys");
    assert_eq!(options.migrate(&url).await.unwrap(), MIGRATIONS);
    assert_eq!(options.migrate(&url).await.unwrap(), 0);
    let ring = ring_over(options.connect(&url).await.unwrap());
    issue(&ring, "read").await;
    let sql = "SELECT count(*) FROM \"the 'keys\".tower_api_keys";
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let count: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(count, 1);
}

/// A schema in front of `pg_catalog` with operators, types and functions of the names that statements use.
/// Each operator has the exact types of the true one, and fails if it is called.
const PLANTED: &str = r#"CREATE SCHEMA evil;
DO $plant$
DECLARE
    true_one record;
    number int := 0;
BEGIN
    FOR true_one IN
        SELECT oprname AS name, oprleft::regtype AS lefthand, oprright::regtype AS righthand,
            oprresult::regtype AS result
        FROM pg_operator
        WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b'
            AND oprname IN ('=', '<>', '<', '<=', '>', '>=', '+', '-', '*', '~~', '!~~', '||')
            AND ARRAY[oprleft, oprright]::regtype[] <@ ARRAY['text', 'name', 'bytea', 'int8', 'int4',
                'oid', '"char"', 'bool', 'numeric']::regtype[]
    LOOP
        number := number + 1;
        EXECUTE format(
            'CREATE FUNCTION evil.planted_%s(%s, %s) RETURNS %s LANGUAGE plpgsql
            AS $f$ BEGIN RAISE EXCEPTION ''the operator of a session''; END $f$',
            number, true_one.lefthand, true_one.righthand, true_one.result
        );
        EXECUTE format(
            'CREATE OPERATOR evil.%s (FUNCTION = evil.planted_%s, LEFTARG = %s, RIGHTARG = %s)',
            true_one.name, number, true_one.lefthand, true_one.righthand
        );
    END LOOP;
END
$plant$;
CREATE FUNCTION evil.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION evil.unnest(pg_catalog.text[]) RETURNS SETOF pg_catalog.text
    LANGUAGE sql AS 'SELECT NULL::pg_catalog.text';
CREATE FUNCTION evil.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS '';
CREATE DOMAIN evil.text AS pg_catalog.int4;
CREATE DOMAIN evil.bytea AS pg_catalog.int4;
CREATE DOMAIN evil.name AS pg_catalog.int4;
CREATE DOMAIN evil.int8 AS pg_catalog.bool;
CREATE DOMAIN evil.interval AS pg_catalog.bool;
CREATE DOMAIN evil.regclass AS pg_catalog.bool;"#;

/// The URL of a database whose sessions find the planted schema first.
async fn planted() -> String {
    let url = database().await;
    execute(&url, PLANTED).await.unwrap();
    let name = url.rsplit_once('/').unwrap().1;
    let path = format!("ALTER DATABASE {name} SET search_path = evil, pg_catalog, public");
    execute(&url, &path).await.unwrap();
    let sessions = "SELECT 1 WHERE 'a'::pg_catalog.text = 'a'::pg_catalog.text";
    let error = execute(&url, sessions).await.unwrap_err();
    assert!(error.to_string().contains("the operator of a session"));
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_no_session_puts_its_operators_in_the_place_of_the_stores() {
    contract(async || connect(&planted().await).await)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_no_session_puts_its_operators_into_a_transaction() {
    let url = planted().await;
    let pool = PgPool::connect(&url).await.unwrap();
    let store = patient().with_pool(pool.clone()).await.unwrap();
    let ring = super::builder()
        .max_keys_per_subject(9)
        .build(store)
        .unwrap();
    let grant = || Grant::new("alice").scopes(["read", "write"]);
    let reason = RevocationReason::KeyCompromise;
    let mut transaction = pool.begin().await.unwrap();
    let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
    let first = keys.issue(grant()).await.unwrap().record().id();
    let second = keys.rotate(first, Duration::from_mins(1)).await.unwrap();
    let third = keys.regrant(second.record().id(), grant()).await.unwrap();
    let id = third.record().id();
    let fewer = Narrowing::new().to_scopes("read");
    keys.narrow(id, fewer).await.unwrap();
    keys.revoke(first, reason).await.unwrap();
    let fourth = keys.issue(grant()).await.unwrap();
    let lineage = fourth.record().lineage();
    assert_eq!(keys.revoke_lineage(lineage, reason).await.unwrap(), 1);
    assert_eq!(keys.revoke_subject("alice", reason).await.unwrap(), 1);
    drop(keys.finish());
    transaction.commit().await.unwrap();
    let alice = ListQuery::new().subject("alice");
    let found = ring.list(&alice).await.unwrap();
    assert_eq!(found.len(), 4);
    for record in found {
        assert!(record.revocation().is_some(), "{record:?}");
    }
}
