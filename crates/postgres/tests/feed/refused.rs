//! Databases and roles that a replica cannot follow: each error says why, and what to do.

use tower_api_key::replica::{Feed, Realms};
use tower_api_key::store::StoreErrorKind;
use tower_api_key_postgres::PostgresStore;

use super::super::errors::source;
use super::super::{connect, ring_over};
use super::rollout::FORMER;
use tower_api_key_test_support::pg_server::{
    PgServer, database, empty_database, execute, patient, soon,
};
use tower_api_key_test_support::support::issue;

async fn refusal(store: &PostgresStore) -> (StoreErrorKind, String) {
    let error = store.head().await.unwrap_err();
    let said = source(&error);
    assert_eq!(said.lines().count(), 1, "{said}");
    (error.kind(), said)
}

fn by(role: &str, url: &str) -> String {
    url.replace("postgres@", &format!("{role}@"))
}

const RIGHTS: &str = "grant the role SELECT on tower_api_keys, tower_api_key_changes, tower_api_key_feed and \
                      tower_api_key_incarnation, and EXECUTE on tower_api_key_incarnate and tower_api_key_forget";

#[tokio::test]
async fn a_role_without_the_rights_is_refused() {
    let url = database().await;
    let grant = "CREATE ROLE feed_reader LOGIN;
        GRANT SELECT ON tower_api_keys, tower_api_key_migrations TO feed_reader";
    execute(&url, grant).await.unwrap();
    let store = connect(&by("feed_reader", &url)).await;
    for right in [
        "SELECT ON tower_api_key_changes",
        "SELECT ON tower_api_key_feed",
        "SELECT ON tower_api_key_incarnation",
    ] {
        assert_eq!(
            refusal(&store).await,
            (StoreErrorKind::ReadOnly, RIGHTS.to_owned())
        );
        execute(&url, &format!("GRANT {right} TO feed_reader"))
            .await
            .unwrap();
    }
    let head = store.head().await.unwrap();
    let error = store.forget(&head.position).await.unwrap_err();
    assert_eq!(
        (error.kind(), source(&error)),
        (StoreErrorKind::ReadOnly, RIGHTS.to_owned())
    );
    let error = store
        .set_staleness(std::time::Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    let forget = "GRANT EXECUTE ON FUNCTION tower_api_key_forget(xid8) TO feed_reader";
    execute(&url, forget).await.unwrap();
    store.forget(&head.position).await.unwrap();
}

/// So that a rollout needs no grants.
#[tokio::test]
async fn a_role_that_reads_the_keys_may_follow_them_after_the_migration() {
    let url = empty_database().await;
    for file in FORMER {
        execute(&url, file).await.unwrap();
    }
    let grant = "CREATE ROLE \"feed service\" LOGIN; GRANT SELECT ON tower_api_key_migrations TO \"feed service\";
        GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO \"feed service\"";
    execute(&url, grant).await.unwrap();
    patient().migrate(&url).await.unwrap();
    let store = connect(&by("feed%20service", &url)).await;
    issue(&ring_over(store.clone()), "read").await;
    let head = store.head().await.unwrap();
    assert_eq!(store.page(&Realms::all(), None).await.unwrap().len(), 1);
    store
        .changes(&Realms::all(), &head.position, None, Some(0..=u8::MAX))
        .await
        .unwrap();
    store.forget(&head.position).await.unwrap();
    // After a crash it is the first to find that there is no token.
    execute(&url, "DELETE FROM tower_api_key_incarnation")
        .await
        .unwrap();
    let anew = store.head().await.unwrap();
    assert_ne!(anew.position, head.position);
}

#[tokio::test]
async fn r22_triggers_that_are_not_in_order_are_refused() {
    let url = database().await;
    let store = connect(&url).await;
    let advice = "enable the triggers of tower_api_keys (ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER …): \
                  tower_api_keys_inserted, _updated, _deleted or _truncated is missing or disabled, so a replica \
                  could miss a revocation";
    for trigger in ["inserted", "updated", "deleted", "truncated"] {
        for way in ["DISABLE", "ENABLE", "ENABLE REPLICA"] {
            let way = format!("ALTER TABLE tower_api_keys {way} TRIGGER tower_api_keys_{trigger}");
            execute(&url, &way).await.unwrap();
            assert_eq!(
                refusal(&store).await,
                (StoreErrorKind::Schema, advice.to_owned()),
                "{way}"
            );
        }
        let again =
            format!("ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_{trigger}");
        execute(&url, &again).await.unwrap();
        store.head().await.unwrap();
    }
}

#[tokio::test]
async fn r22_a_database_that_only_speaks_the_protocol_is_refused() {
    let url = database().await;
    let store = connect(&url).await;
    let advice = "use a Postgres server, or look-ups without a replica: this database has no unlogged tables or no \
                  snapshots, so a replica could miss a revocation";
    // As databases do that take the word for granted.
    execute(&url, "ALTER TABLE tower_api_key_incarnation SET LOGGED")
        .await
        .unwrap();
    assert_eq!(
        refusal(&store).await,
        (StoreErrorKind::Schema, advice.to_owned())
    );
    execute(&url, "ALTER TABLE tower_api_key_incarnation SET UNLOGGED")
        .await
        .unwrap();
    store.head().await.unwrap();
    execute(&url, "DROP FUNCTION tower_api_key_home CASCADE")
        .await
        .unwrap();
    assert_eq!(
        refusal(&store).await,
        (StoreErrorKind::Schema, advice.to_owned())
    );
}

#[tokio::test]
async fn r22_rows_that_a_policy_hides_are_no_answer() {
    let url = database().await;
    let role =
        "CREATE ROLE feed_hidden LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO feed_hidden";
    execute(&url, role).await.unwrap();
    let store = connect(&by("feed_hidden", &url)).await;
    let head = store.head().await.unwrap();
    execute(&url, "ALTER TABLE tower_api_keys ENABLE ROW LEVEL SECURITY")
        .await
        .unwrap();
    let advice = "give the role BYPASSRLS, or disable row-level security on tower_api_keys: a policy may hide rows \
                  from it";
    let realms = Realms::all();
    for sums_of in [None, Some(7..=9)] {
        let asked = store.changes(&realms, &head.position, None, sums_of);
        assert_eq!(source(&asked.await.unwrap_err()), advice);
    }
    assert_eq!(
        source(&store.page(&Realms::all(), None).await.unwrap_err()),
        advice
    );
    assert_eq!(
        refusal(&store).await,
        (StoreErrorKind::Unavailable, advice.to_owned())
    );
}

/// A policy on the log alone hides what changed, and every look-up goes on.
#[tokio::test]
async fn r22_changes_that_a_policy_hides_are_no_answer() {
    let url = database().await;
    let role =
        "CREATE ROLE log_hidden LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO log_hidden";
    execute(&url, role).await.unwrap();
    let store = connect(&by("log_hidden", &url)).await;
    let issued = issue(&ring_over(connect(&url).await), "read").await;
    let head = store.head().await.unwrap();
    let hide = "ALTER TABLE tower_api_key_changes ENABLE ROW LEVEL SECURITY";
    execute(&url, hide).await.unwrap();
    let advice = "give the role BYPASSRLS, or disable row-level security on tower_api_key_changes: a policy may hide \
                  changes from it";
    let realms = Realms::all();
    for sums_of in [None, Some(7..=9)] {
        let asked = store.changes(&realms, &head.position, None, sums_of);
        assert_eq!(source(&asked.await.unwrap_err()), advice);
    }
    assert_eq!(
        refusal(&store).await,
        (StoreErrorKind::Unavailable, advice.to_owned())
    );
    let found = ring_over(store).get(issued.id()).await.unwrap();
    assert_eq!(found.as_ref(), Some(issued.record()));
}

/// The triggers' functions have the rights of the owner.
#[tokio::test]
async fn r22_a_role_cannot_fire_the_triggers_from_a_table_of_its_own() {
    let url = database().await;
    execute(&url, "CREATE ROLE stranger LOGIN").await.unwrap();
    let there = by("stranger", &url);
    for (function, event) in [
        ("changed", "AFTER INSERT ON own FOR EACH ROW"),
        (
            "removed",
            "AFTER DELETE ON own REFERENCING OLD TABLE AS removed FOR EACH STATEMENT",
        ),
        ("truncated", "AFTER TRUNCATE ON own FOR EACH STATEMENT"),
    ] {
        let name = format!("tower_api_keys_{function}");
        let fire = format!(
            "CREATE TEMP TABLE own (digest bytea); CREATE TRIGGER own {event} EXECUTE FUNCTION public.{name}()"
        );
        let error = execute(&there, &fire).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains(&format!("permission denied for function public.{name}")),
            "{said}"
        );
    }
    let call = "SELECT public.tower_api_key_incarnate()";
    let said = execute(&there, call).await.unwrap_err().to_string();
    assert!(
        said.contains("permission denied for function tower_api_key_incarnate "),
        "{said}"
    );
}

/// Its look-ups could miss a key that the replica holds.
#[tokio::test]
async fn r22_a_store_that_may_read_a_standby_is_not_followed() {
    let options = patient().danger_read_from_standby();
    let store = options.connect(&database().await).await.unwrap();
    assert_eq!(
        refusal(&store).await,
        (StoreErrorKind::ReadOnly, ANY_SERVER.to_owned())
    );
}

const ANY_SERVER: &str = "follow a store without danger_read_from_standby: if a replica is not fresh, it asks the \
                          store, and a standby may not know yet what the replica does";

#[tokio::test]
async fn r22_a_standby_is_refused() {
    let primary = PgServer::start_primary();
    let url = primary.database().await;
    let standby = primary.standby();
    let there = standby.url(url.rsplit_once('/').unwrap().1);
    let options = patient().danger_read_from_standby();
    // It may not have the database yet.
    let connecting = async {
        loop {
            if let Ok(store) = options.connect(&there).await {
                return store;
            }
            tokio::task::yield_now().await;
        }
    };
    let store = soon(connecting).await;
    assert_eq!(
        refusal(&store).await,
        (StoreErrorKind::ReadOnly, ANY_SERVER.to_owned())
    );
}
