//! Writers to one file.

use rusqlite::Connection;
use tower_api_key_sqlite::SqliteStore;

use super::ledger::Ledger;
use super::{FILE, kill_a_writer, ring, rounds};
use crate::folder::Folder;

#[tokio::test]
async fn invariant_2_writers_to_a_file_that_are_killed_leave_every_change_whole_or_none_of_it() {
    let folder = Folder::new();
    let path = folder.path().join("keys.db");
    let mut ledger = Ledger::default();
    for round in 0..rounds() {
        kill_a_writer(&mut ledger, (FILE, path.to_str().unwrap()), round);
        // No process has the file open now: the store is what the next process would find.
        let store = SqliteStore::open(&path).unwrap();
        let ring = ring().build(store).unwrap();
        ledger.check(&ring).await;
        drop(ring);
        let connection = Connection::open(&path).unwrap();
        let verdict: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(verdict, "ok", "round {round}");
    }
    ledger.check_aim(rounds());
}
