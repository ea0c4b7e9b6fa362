//! Notifications of what takes authority away.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tower_api_key::RevocationReason;
use tower_api_key::replica::Feed;

use super::super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{database, execute, soon};
use tower_api_key_test_support::support::issue;

#[tokio::test]
async fn a_hint_comes_after_a_revocation_by_another_process() {
    let url = database().await;
    let (reader, writer) = (connect(&url).await, connect(&url).await);
    let ring = ring_over(writer);
    let issued = issue(&ring, "read").await;
    // The first one says that it hears from now on.
    soon(reader.hint()).await;
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(issued.record().id(), reason).await.unwrap();
    soon(reader.hint()).await;

    // It goes on after its connection is lost.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    assert_eq!(execute(&url, end).await.unwrap(), 1);
    soon(reader.hint()).await;
    let issued = issue(&ring, "read").await;
    ring.revoke(issued.record().id(), reason).await.unwrap();
    soon(reader.hint()).await;
}

#[tokio::test]
async fn what_gives_authority_does_not_notify() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    let mut listener = PgListener::connect(&url).await.unwrap();
    listener.listen("tower_api_keys").await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    let first = issue(&ring, "read write").await;
    let second = issue(&ring, "read").await;
    let description = tower_api_key::Description::new().label("a name");
    ring.describe(first.record().id(), description)
        .await
        .unwrap();
    let mut due = 0;
    let rotated = ring
        .rotate(first.record().id(), Duration::from_mins(1))
        .await
        .unwrap();
    due += 1;
    ring.revoke(second.record().id(), reason).await.unwrap();
    due += 1;
    // It is revoked already.
    ring.revoke(second.record().id(), reason).await.unwrap();
    ring.revoke_lineage(rotated.record().id(), reason)
        .await
        .unwrap();
    due += 1;
    execute(&url, "NOTIFY tower_api_keys, 'last'")
        .await
        .unwrap();
    for _ in 0..due {
        assert_eq!(soon(listener.recv()).await.unwrap().payload(), "");
    }
    assert_eq!(soon(listener.recv()).await.unwrap().payload(), "last");
}
