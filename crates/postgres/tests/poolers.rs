//! A real PgBouncer between the store and the server.

use std::str::FromStr;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tower_api_key::store::StoreErrorKind;
use tower_api_key_contract::{contract, feed_contract};

use super::errors::source;
use super::{MIGRATIONS, connect, ring_over};
use tower_api_key_test_support::pg_server::{PgServer, execute, free_port, patient};
use tower_api_key_test_support::pooler::{PgBouncer, version};
use tower_api_key_test_support::support::{issue, not_run};

const MIXED: &str = "use session pooling with server_reset_query = DISCARD ALL, or PgBouncer 1.21 \
                     or later with max_prepared_statements: this pooler gives one client's \
                     prepared statements to another";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_behind_a_pooler_of_sessions_keeps_the_contract() {
    if version("a pooler of sessions").is_none() {
        return;
    }
    let server = PgServer::start("off");
    let pooler = PgBouncer::start(&server, "pool_mode = session").await;
    contract(async || {
        let url = pooler.url(&server.empty_database().await);
        assert_eq!(patient().migrate(&url).await.unwrap(), MIGRATIONS);
        connect(&url).await
    })
    .await
    .unwrap();
    feed_contract(async || {
        let url = pooler.url(&server.database().await);
        connect(&url).await
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_behind_a_pooler_that_knows_prepared_statements_keeps_the_contract() {
    let test = "a pooler of transactions that knows prepared statements";
    let Some(version) = version(test) else {
        return;
    };
    if version < (1, 21) {
        not_run(format_args!(
            "{test}: PgBouncer {}.{} knows none",
            version.0, version.1
        ));
        return;
    }
    let server = PgServer::start("off");
    let settings = "pool_mode = transaction\nmax_prepared_statements = 100";
    let pooler = PgBouncer::start(&server, settings).await;
    contract(async || {
        let url = pooler.url(&server.empty_database().await);
        assert_eq!(patient().migrate(&url).await.unwrap(), MIGRATIONS);
        connect(&url).await
    })
    .await
    .unwrap();
    feed_contract(async || {
        let url = pooler.url(&server.database().await);
        connect(&url).await
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_a_pooler_that_mixes_up_prepared_statements_is_refused() {
    if version("a pooler of transactions").is_none() {
        return;
    }
    let server = PgServer::start("off");
    for settings in [
        "pool_mode = transaction\nmax_prepared_statements = 0",
        "pool_mode = session\nserver_reset_query =",
    ] {
        // The installed version may not know the setting.
        let known = version("").is_some_and(|version| version >= (1, 21));
        let settings = if known {
            settings
        } else {
            settings.trim_end_matches("\nmax_prepared_statements = 0")
        };
        let pooler = PgBouncer::start(&server, settings).await;
        let url = pooler.url(&server.empty_database().await);
        // The lock of a migration belongs to its transaction.
        let migrations: Vec<_> = (0..4)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { patient().migrate(&url).await.unwrap() })
            })
            .collect();
        let mut applied = 0;
        for migration in migrations {
            applied += migration.await.unwrap();
        }
        assert_eq!(applied, MIGRATIONS);
        // A shared session may not have had a conflict yet.
        let mut last = None;
        for _ in 0..5 {
            if let Err(error) = patient().connect(&url).await {
                last = Some(error);
                break;
            }
        }
        let error = last.expect("a pooler that mixes statements up is found out");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(source(&error).starts_with(MIXED), "{}", source(&error));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_takes_no_settings_is_told_with_advice() {
    if version("a pooler without settings").is_none() {
        return;
    }
    let server = PgServer::start("off");
    let pooler = PgBouncer::start(&server, "pool_mode = session").await;
    let direct = server.empty_database().await;
    execute(&direct, "CREATE SCHEMA auth").await.unwrap();
    let url = pooler.url(&direct);
    let error = patient()
        .migrate(&format!("{url}?options[search_path]=auth"))
        .await;
    let said = source(&error.unwrap_err());
    assert!(
        said.contains("name the schema with PostgresOptions::schema"),
        "{said}"
    );
    let ignoring = "pool_mode = session\nignore_startup_parameters = options";
    let ignoring = PgBouncer::start(&server, ignoring).await;
    let url = format!("{}?options[search_path]=auth", ignoring.url(&direct));
    let said = source(&patient().migrate(&url).await.unwrap_err());
    assert!(
        said.contains("the pooler ignores the URL's options[search_path]"),
        "{said}"
    );
    let options = patient().schema("auth");
    let url = pooler.url(&direct);
    assert_eq!(options.migrate(&url).await.unwrap(), MIGRATIONS);
    issue(&ring_over(options.connect(&url).await.unwrap()), "read").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_temporary_table_of_a_shared_session_hides_nothing() {
    if version("temporary tables").is_none() {
        return;
    }
    let server = PgServer::start("off");
    // One session for all: the state that a client leaves in it stays, except its statements.
    let settings = "pool_mode = session\nserver_reset_query = DEALLOCATE ALL\n\
                    server_idle_timeout = 600\nignore_startup_parameters = extra_float_digits";
    let pooler = PgBouncer::start(&server, settings).await;
    let direct = server.database().await;
    let url = pooler.url(&direct);
    let leave = "CREATE TEMP TABLE tower_api_keys (LIKE public.tower_api_keys INCLUDING ALL);
        CREATE TEMP TABLE tower_api_key_migrations (version int)";
    execute(&url, leave).await.unwrap();
    let sessions =
        "SELECT 1 FROM pg_class WHERE relname = 'tower_api_keys' AND relpersistence = 't'";
    assert_eq!(execute(&url, sessions).await.unwrap(), 1);
    let ring = ring_over(connect(&url).await);
    let issued = issue(&ring, "read").await;
    ring.verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
    let direct = ring_over(connect(&direct).await);
    direct
        .verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
}

/// The content of PgBouncer's default ini, except its paths: no database and no user.
const DEFAULT: &str = "[databases]\n[users]\n[pgbouncer]\nauth_type = md5\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_with_its_default_ini_is_set_up_by_what_the_errors_say() {
    if version("the default ini of a pooler").is_none() {
        return;
    }
    let server = PgServer::start("off");
    let direct = server.database().await;
    let login = "ALTER ROLE postgres PASSWORD 'hunter2-canary'";
    execute(&direct, login).await.unwrap();
    let nowhere = free_port(0);
    let to = |port: u16| format!("[databases]\n* = host=127.0.0.1 port={port}\n");
    let user = "\"postgres\" \"hunter2-canary\"\n";
    let unknown =
        "correct the role or the password of the URL, or those in the pooler's auth_file: ";
    let no_database = "add the URL's database to [databases] of the pooler's ini, for example \
                       * = host=127.0.0.1 port=5432: no such database: test_0";
    let no_server = "check the host and the port in [databases] of the pooler's ini: it reaches no \
                     server: ";
    for (ini, users, said) in [
        (DEFAULT.to_owned(), "", unknown),
        (DEFAULT.to_owned(), user, no_database),
        (
            DEFAULT.replace("[databases]\n", &to(nowhere)),
            user,
            no_server,
        ),
        (
            DEFAULT.replace("[databases]\n", &to(server.port())),
            user,
            "",
        ),
    ] {
        let ini = format!("{ini}query_wait_timeout = 2\n");
        let pooler = PgBouncer::start_with(&ini, users).await;
        let url = pooler
            .url(&direct)
            .replace("postgres@", "postgres:hunter2-canary@");
        let connected = patient().connect(&url).await;
        let pool = PgPool::connect_lazy(&url).unwrap();
        let borrowed = patient().with_pool(pool).await;
        let needless = "build the pool's PgConnectOptions with extra_float_digits(None), or set \
                        ignore_startup_parameters = extra_float_digits in the pooler's ini: \
                        unsupported startup parameter: extra_float_digits";
        assert_eq!(source(&borrowed.unwrap_err()), needless);
        if said.is_empty() {
            let ring = ring_over(connected.unwrap());
            let issued = issue(&ring, "read").await;
            let options = PgConnectOptions::from_str(&url).unwrap();
            let pool = PgPool::connect_lazy_with(options.extra_float_digits(None));
            let ring = ring_over(patient().with_pool(pool).await.unwrap());
            let verdict = ring.verify(issued.secret().expose().as_bytes()).await;
            verdict.unwrap();
        } else {
            let error = connected.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            let error = source(&error);
            assert!(error.starts_with(said), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
