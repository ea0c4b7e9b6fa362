//! Writers to one database.

use sqlx::{Connection, PgConnection};

use super::ledger::Ledger;
use super::{DATABASE, kill_a_writer, ring, rounds};
use crate::pg_server::{database, patient};

#[tokio::test]
async fn invariant_2_writers_to_a_database_that_are_killed_leave_every_change_whole_or_none_of_it()
{
    let url = database().await;
    let store = patient().connect(&url).await.unwrap();
    let ring = ring().build(store).unwrap();
    let mut sessions = PgConnection::connect(&url).await.unwrap();
    let writers = format!("{url}?application_name=writer");
    let mut ledger = Ledger::default();
    for round in 0..rounds() {
        kill_a_writer(&mut ledger, (DATABASE, &writers), round);
        end_of_writers(&mut sessions).await;
        ledger.check(&ring).await;
    }
    ledger.check_aim(rounds());
}

/// Waits until the server has noticed that the writer is gone, because its sessions still finish
/// their statements.
async fn end_of_writers(sessions: &mut PgConnection) {
    let query = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'writer'";
    for _ in 0..50_000 {
        let left: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut *sessions)
            .await
            .unwrap();
        if left == 0 {
            return;
        }
    }
    panic!("sessions of a writer that is dead are still there");
}
