//! A process that stands still in the middle of a commit, with its connection open.

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key::store::{KeyStore, ListQuery};
use tower_api_key::{ErrorKind, Grant, RevocationReason, Timestamp};

use super::{connect, ring_over, someone_waits};
use tower_api_key_test_support::pg_server::{database, execute, until};
use tower_api_key_test_support::support::issue;

/// An insertion stops at a lock of another session. The server's timeout for the next statement is
/// then a fifteenth of the one that the store requested, so that the test need not wait for all of
/// it.
const GATE: &str = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bound interval := current_setting('idle_in_transaction_session_timeout');
BEGIN
    IF NOT pg_try_advisory_xact_lock(42) THEN
        PERFORM set_config('idle_in_transaction_session_timeout',
            (extract(epoch FROM bound) * 1000 / 15)::int::text, true);
        PERFORM pg_advisory_xact_lock(42);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON tower_api_keys FOR EACH STATEMENT EXECUTE FUNCTION gate()";

#[tokio::test]
async fn r32_who_stands_still_in_mid_commit_does_not_keep_a_subject_from_being_revoked() {
    let url = database().await;
    execute(&url, GATE).await.unwrap();
    let (still, other) = (
        ring_over(connect(&url).await),
        ring_over(connect(&url).await),
    );
    issue(&other, "read").await;

    let mut keeper = PgConnection::connect(&url).await.unwrap();
    let shut = sqlx::raw_sql("SELECT pg_advisory_lock(42)");
    shut.execute(&mut keeper).await.unwrap();
    // A separate runtime, which then stands still as its process would.
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let ring = still.clone();
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let commit = runtime.spawn(async move { ring.issue(Grant::new("alice")).await });
        runtime.block_on(stopped).unwrap();
        (runtime, commit)
    });
    until(async || someone_waits(&mut keeper).await).await;
    stop.send(()).unwrap();
    let (runtime, commit) = running.join().unwrap();
    // It has the lock of the subject, and from here on it is not polled.
    let open = sqlx::raw_sql("SELECT pg_advisory_unlock(42)");
    open.execute(&mut keeper).await.unwrap();
    let reason = RevocationReason::AffiliationChanged;
    assert_eq!(other.revoke_subject("alice", reason).await.unwrap(), 1);

    let going_on = std::thread::spawn(move || runtime.block_on(commit).unwrap());
    let error = going_on.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(
        super::errors::source(&error),
        "try again: this process was suspended in the middle of a transaction, and the server \
         ended it: terminating connection due to idle-in-transaction timeout"
    );
    assert_eq!(other.list(&ListQuery::new()).await.unwrap().len(), 1);
    // The connection is not used again.
    issue(&still, "read").await;
}

const SEEN: &str = "CREATE TABLE seen (number serial, what text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (what) VALUES (concat_ws(' ', TG_OP, current_setting('lock_timeout'),
        current_setting('idle_in_transaction_session_timeout')));
    RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON tower_api_keys
FOR EACH STATEMENT EXECUTE FUNCTION see()";

#[tokio::test]
async fn whatever_is_written_waits_and_stands_still_no_longer_than_it_should() {
    let url = database().await;
    execute(&url, SEEN).await.unwrap();
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let issued = issue(&ring, "read").await;
    let (id, realm) = (issued.record().id(), issued.record().realm());
    let reason = RevocationReason::Unspecified;
    ring.revoke(id, reason).await.unwrap();
    let time = Timestamp::from_unix(1);
    store.record_uses(realm, &[(id, time)]).await.unwrap();
    store.purge(realm, time, None).await.unwrap();

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let seen: Vec<String> = sqlx::query_scalar("SELECT what FROM seen ORDER BY number")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        seen,
        [
            "INSERT 5s 3s",
            "UPDATE 5s 3s",
            "UPDATE 5s 3s",
            // One for each way to end.
            "DELETE 5s 3s",
            "DELETE 5s 3s",
            "DELETE 5s 3s",
            "DELETE 5s 3s"
        ]
    );
}
