//! Errors before the first request: kinds, and one line that says what to do.

use std::error::Error as StdError;
use std::time::Duration;

use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key::{ErrorKind, KeyRing};
use tower_api_key_postgres::{PostgresOptions, PostgresStore};

use super::{MIGRATIONS, connect, ring_over};
use tower_api_key_test_support::pg_server::{database, empty_database, execute, patient};
use tower_api_key_test_support::support::issue;

const PASSWORD: &str = "hunter2-canary";
const MIGRATE: &str =
    "run `tower-api-key migrate`, or apply the migrations of tower-api-key-postgres";

/// The text of the last source of an error.
pub(super) fn source(error: &(dyn StdError + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.last().unwrap().to_string()
}

#[track_caller]
fn assert_refused(error: &StoreError, kind: StoreErrorKind, text: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    let said = source(error);
    assert_eq!(said, text);
    assert_eq!(said.lines().count(), 1, "{said}");
    let everything = format!("{error} {error:?} {said}");
    assert!(!everything.contains(PASSWORD), "{everything}");
}

#[tokio::test]
async fn r06_a_url_that_names_no_database_is_not_repeated() {
    let write = "write the URL as postgres://role:password@host:port/database";
    for (url, cause) in [
        ("", "it does not begin with postgres://"),
        ("hunter2-canary", "it does not begin with postgres://"),
        (
            "mysql://root:hunter2-canary@localhost/keys",
            "it does not begin with postgres://",
        ),
        (
            "postgres://root:hunter2-canary@[::/keys",
            "an IPv6 address has no closing ]",
        ),
        (
            "postgres://root:hunter2-canary@localhost:port/keys",
            "the port is not a number up to 65535",
        ),
    ] {
        let text = format!("{write}: {cause}");
        for error in [
            PostgresStore::connect(url).await.unwrap_err(),
            PostgresStore::migrate(url).await.unwrap_err(),
        ] {
            assert_refused(&error, StoreErrorKind::Unavailable, &text);
        }
    }
}

/// Neither in an error nor in the logs of this crate and its driver, for any URL.
#[tokio::test]
async fn r06_no_log_holds_a_password() {
    let (log, _guard) = tower_api_key_test_support::logs::subscribe();
    let reachable = empty_database().await;
    let (server, name) = reachable.rsplit_once('/').unwrap();
    let with_password = format!(
        "{}/{name}",
        server.replace("postgres@", "postgres:hunter2-canary@")
    );
    let end = "@127.0.0.1:1/keys";
    let urls = [
        with_password,
        format!("postgres://root:hunter2-canary{end}"),
        format!("postgres://root:hunter2-canary?SECRET{end}"),
        format!("postgres://root:hunter2-canary%zz{end}"),
        format!("postgres://root:%68unter2-canary{end}?ssl=true"),
        format!("postgres://root{end}?password=hunter2-canary"),
        format!("postgres://root{end}?pasword=hunter2-canary"),
        format!("postgres://root{end}?sslmode=hunter2-canary"),
        format!("postgres://root{end}?sslMode=hunter2-canary"),
        format!("postgres://root{end}?options[application_name]=hunter2-canary"),
        format!("postgres://root{end}?target_session_attrs=hunter2-canary"),
        format!("postgres://root{end}?hunter2-canary=1"),
        format!("postgres://root{end}#hunter2-canary"),
    ];
    for url in &urls {
        for outcome in [
            PostgresStore::migrate(url).await.map(drop),
            PostgresStore::connect(url).await.map(drop),
        ] {
            if let Err(error) = outcome {
                let said = format!("{error} {error:?} {}", source(&error));
                assert!(!said.contains("hunter2"), "{url}: {said}");
            }
        }
    }
    tracing::info!("the log is written");
    let log = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    assert!(
        log.contains("the log is written") && log.contains("sqlx"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let url = "postgres://root:hunter2-canary@127.0.0.1:1/keys";
    let text = "check that the server runs, and the host and the port of the URL: \
                Connection refused (os error 111)";
    for error in [
        PostgresStore::connect(url).await.unwrap_err(),
        PostgresStore::migrate(url).await.unwrap_err(),
    ] {
        assert_refused(&error, StoreErrorKind::Unavailable, text);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_no_longer_than_told() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://root:hunter2-canary@127.0.0.1:{port}/keys");
    let options = PostgresOptions::new().acquire_timeout(Duration::from_millis(50));
    let error = options.connect(&url).await.unwrap_err();
    let text = "check that the server runs, and the host and the port of the URL: \
                no answer within 50 ms";
    assert_refused(&error, StoreErrorKind::Unavailable, text);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_its_words() {
    let url = database().await;
    let (server, _) = url.rsplit_once('/').unwrap();
    let nowhere = format!("{server}/nowhere");
    let nobody = url.replace("postgres@", &format!("mallory:{PASSWORD}@"));
    let tls = format!("{url}?sslmode=verify-full");
    for (url, text) in [
        (
            &nowhere,
            "create the database that the URL names: database \"nowhere\" does not exist",
        ),
        (
            &nobody,
            "correct the role or the password of the URL: role \"mallory\" does not exist",
        ),
        (
            &tls,
            "check the URL's sslmode and sslrootcert against the server's TLS, and that the program has the \
             feature rustls or native-tls of tower-api-key-postgres: error occurred \
             while attempting to establish a TLS connection: server does not support TLS",
        ),
    ] {
        let error = patient().connect(url).await.unwrap_err();
        assert_refused(&error, StoreErrorKind::Unavailable, text);
    }
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused() {
    let url = empty_database().await;
    let missing = format!("{MIGRATE}: the tables are missing");
    let error = patient().connect(&url).await.unwrap_err();
    assert_refused(&error, StoreErrorKind::Schema, &missing);

    assert_eq!(patient().migrate(&url).await.unwrap(), MIGRATIONS);
    assert_eq!(patient().migrate(&url).await.unwrap(), 0);
    connect(&url).await;

    let next = MIGRATIONS + 1;
    let newer = format!("INSERT INTO tower_api_key_migrations (version) VALUES ({next})");
    execute(&url, &newer).await.unwrap();
    let text = format!(
        "update this program: the schema of the database is of version {next}, and it reads \
         {MIGRATIONS}"
    );
    for error in [
        patient().connect(&url).await.unwrap_err(),
        patient().migrate(&url).await.unwrap_err(),
    ] {
        assert_refused(&error, StoreErrorKind::Schema, &text);
    }

    let older = "DELETE FROM tower_api_key_migrations WHERE version > 1";
    execute(&url, older).await.unwrap();
    let error = patient().connect(&url).await.unwrap_err();
    let text = format!("{MIGRATE}: the schema is of version 1, and 7 is needed");
    assert_refused(&error, StoreErrorKind::Schema, &text);

    let older = "DELETE FROM tower_api_key_migrations";
    execute(&url, older).await.unwrap();
    let error = patient().connect(&url).await.unwrap_err();
    assert_refused(&error, StoreErrorKind::Schema, &missing);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let url = empty_database().await;
    let in_the_way = "CREATE FUNCTION tower_api_keys_guard() RETURNS trigger \
                      LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    execute(&url, in_the_way).await.unwrap();
    let error = patient().migrate(&url).await.unwrap_err();
    let text = "look into the server's log: function \"tower_api_keys_guard\" already exists with \
                same argument types";
    assert_refused(&error, StoreErrorKind::Unavailable, text);
    let drop = "DROP FUNCTION tower_api_keys_guard()";
    execute(&url, drop).await.unwrap();
    assert_eq!(patient().migrate(&url).await.unwrap(), MIGRATIONS);
}

#[tokio::test]
async fn processes_that_migrate_at_the_same_time_take_turns() {
    let url = empty_database().await;
    let migrations: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { patient().migrate(&url).await.unwrap() })
        })
        .collect();
    // Each of them by one of the processes. Another may come in between.
    let mut applied = 0;
    for migration in migrations {
        applied += migration.await.unwrap();
    }
    assert_eq!(applied, MIGRATIONS);
    assert_eq!(patient().migrate(&url).await.unwrap(), 0);
}

/// The files alone, as users apply them if they run their own migrations.
#[tokio::test]
async fn the_files_of_the_schema_can_be_applied_by_hand() {
    let url = empty_database().await;
    let files = [
        include_str!("../migrations/0001_keys.sql"),
        include_str!("../migrations/0002_revocable.sql"),
        include_str!("../migrations/0003_subjects.sql"),
        include_str!("../migrations/0004_listing.sql"),
        include_str!("../migrations/0005_prefix_and_lists.sql"),
        include_str!("../migrations/0006_caveats.sql"),
        include_str!("../migrations/0007_descriptions.sql"),
        include_str!("../migrations/0008_feed.sql"),
        include_str!("../migrations/0009_limits.sql"),
        include_str!("../migrations/0010_history.sql"),
        include_str!("../migrations/0011_expiry_notices.sql"),
        include_str!("../migrations/0012_usage.sql"),
        include_str!("../migrations/0013_subjects_with_many_keys.sql"),
        include_str!("../migrations/0014_removals.sql"),
        include_str!("../migrations/0015_noted_notices.sql"),
    ];
    for file in files {
        execute(&url, file).await.unwrap();
    }
    let ring = ring_over(connect(&url).await);
    issue(&ring, "read").await;
    assert_eq!(patient().migrate(&url).await.unwrap(), 0);

    for (file, expected) in files.into_iter().zip(["42P07", "42883", "42723"]) {
        let twice = execute(&url, file).await.unwrap_err();
        let code = twice.into_database_error().unwrap();
        assert_eq!(code.code().as_deref(), Some(expected));
    }
}

fn store_error(error: &tower_api_key::Error) -> &StoreError {
    assert_eq!(error.kind(), ErrorKind::Store);
    error.source().unwrap().downcast_ref().unwrap()
}

async fn refused_issue(ring: &KeyRing) -> tower_api_key::Error {
    let grant = tower_api_key::Grant::new("alice");
    ring.issue(grant).await.unwrap_err()
}

#[tokio::test]
async fn a_database_that_cannot_be_written_to_still_verifies() {
    let url = database().await;
    let issued = issue(&ring_over(connect(&url).await), "read").await;
    let standby = format!("{url}?options[default_transaction_read_only]=on");
    let role = "CREATE ROLE reader LOGIN; GRANT SELECT ON tower_api_keys, \
                tower_api_key_migrations TO reader";
    execute(&url, role).await.unwrap();
    let reader = url.replace("postgres@", "reader@");
    for (url, text) in [
        (
            standby,
            "use the URL of the primary, and a role that may write: cannot execute INSERT in a \
             read-only transaction",
        ),
        (
            reader,
            "grant the role what the docs of PostgresStore ask for, or CREATE on the schema to \
             migrate: permission denied for table tower_api_keys",
        ),
    ] {
        let ring = ring_over(connect(&url).await);
        ring.verify(issued.secret().expose().as_bytes())
            .await
            .unwrap();
        let error = refused_issue(&ring).await;
        assert_refused(store_error(&error), StoreErrorKind::ReadOnly, text);
    }
    execute(&url, "DROP OWNED BY reader; DROP ROLE reader")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_row_that_is_no_record_is_damage_and_never_a_key() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    let issued = issue(&ring, "read").await;
    let damage = "ALTER TABLE tower_api_keys DROP CONSTRAINT tower_api_keys_scopes_check; \
                  ALTER TABLE tower_api_keys DISABLE TRIGGER tower_api_keys_guard; \
                  UPDATE tower_api_keys SET scopes = 'a\"b'";
    execute(&url, damage).await.unwrap();
    let error = ring.get(issued.record().id()).await.unwrap_err();
    assert_eq!(store_error(&error).kind(), StoreErrorKind::Corrupt);
    let error = ring.verify(issued.secret().expose().as_bytes()).await;
    let kind = tower_api_key::VerifyErrorKind::StoreUnavailable;
    assert_eq!(error.unwrap_err().kind(), kind);
}

#[tokio::test]
async fn tables_that_go_away_under_a_store_are_an_error_and_no_unknown_key() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    let issued = issue(&ring, "read").await;
    execute(&url, "DROP TABLE tower_api_keys").await.unwrap();
    let error = ring.get(issued.record().id()).await.unwrap_err();
    let text = format!("{MIGRATE}: relation \"public.tower_api_keys\" does not exist");
    assert_refused(store_error(&error), StoreErrorKind::Schema, &text);
    let error = ring.verify(issued.secret().expose().as_bytes()).await;
    let kind = tower_api_key::VerifyErrorKind::StoreUnavailable;
    assert_eq!(error.unwrap_err().kind(), kind);
}
