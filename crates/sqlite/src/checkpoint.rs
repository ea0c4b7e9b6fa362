//! The layers between a connection and the file: the write-ahead log, and the pages in memory.

use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::place::Place;

/// How long writers may wait for the readers that use the log.
const WAIT: Duration = Duration::from_millis(50);

/// How often the last attempt is made, and the pause in between: up to 2 s in all.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(10);
const SHORT_PAUSE: Duration = Duration::from_millis(2);

/// Drops the pages in memory, so that the next statement reads the file. SQLite keeps them until the log
/// changes, even if the file was written over.
pub(super) fn forget_pages(connection: &Connection) {
    // It frees memory and cannot fail.
    let _ = connection.execute_batch("PRAGMA shrink_memory");
}

/// Writes all of the log to the file and empties it. Returns whether it did. If a part is left, it is no
/// error: it is in the log, and the next attempt takes it.
///
/// It is emptied, and not only written, so that no later file of the same name is read with it.
pub(super) fn checkpoint(connection: &Connection, place: &Place) -> bool {
    let done = connection
        .busy_timeout(WAIT.min(place.busy_timeout))
        .and_then(|()| run(connection, "TRUNCATE"));
    let restored = connection.busy_timeout(place.busy_timeout);
    done.unwrap_or(false) && restored.is_ok()
}

/// The same, at the end of a connection. There is no later attempt, so it tries some more times if
/// another process is doing the same, or reads for long.
pub(super) fn last_checkpoint(connection: &Connection, place: &Place) {
    for _ in 0..ATTEMPTS {
        if checkpoint(connection, place) {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Writes all of the log to the file, as soon as the readers allow it. It returns also if no process can
/// take the log for that of another file any more.
pub(super) fn bring_into_file(connection: &Connection, place: &Place) {
    while place.state.is_log_in_doubt() {
        if is_in_file(connection) {
            return;
        }
        thread::sleep(SHORT_PAUSE);
    }
}

/// Writes as much as it can without waiting. Returns whether that was all.
fn is_in_file(connection: &Connection) -> bool {
    let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
    let done = connection.query_row(checkpoint, [], |row| {
        let (busy, log, written): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && log == written)
    });
    done.unwrap_or(false)
}

/// Writes as much of the log to the file as it can without waiting, and leaves the log as it is.
pub(super) fn rescue(connection: &Connection) {
    // Best effort: the files are in a state without guarantees.
    let _ = run(connection, "PASSIVE");
}

/// Keeps the end of this connection from touching the files at the path, which are not those that it
/// has open.
pub(super) fn leave_files_alone(connection: &Connection) {
    // It is known to SQLite, so it cannot fail.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

fn run(connection: &Connection, mode: &str) -> Result<bool, rusqlite::Error> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        row.get(0).map(|busy: i64| busy == 0)
    })
}
