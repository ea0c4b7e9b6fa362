//! The staleness that the file states for all replicas.

use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::replica::Feed;
use tower_api_key::store::StoreErrorKind;
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;

const fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// The staleness now, and the longest one of the last twenty minutes.
async fn stated(store: &SqliteStore) -> (Duration, Duration) {
    let head = store.head().await.unwrap();
    assert_eq!(store.staleness().await.unwrap(), head.staleness);
    (head.staleness, head.longest_staleness)
}

#[tokio::test]
async fn i09_a_shorter_staleness_counts_at_once_and_the_former_one_is_waited_for() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.keys()).unwrap();
    assert_eq!(
        stated(&store).await,
        (milliseconds(1_000), milliseconds(1_000))
    );
    for (set, longest) in [
        (60_000, 60_000),
        (100, 60_000),
        (500, 60_000),
        (600_000, 600_000),
    ] {
        store.set_staleness(milliseconds(set)).await.unwrap();
        assert_eq!(
            stated(&store).await,
            (milliseconds(set), milliseconds(longest))
        );
    }
    store.set_staleness(milliseconds(200)).await.unwrap();
    let other = Connection::open(folder.keys()).unwrap();
    let pass = |seconds: i64| {
        let pass = "UPDATE api_key_feed SET changed_at = changed_at - ?1";
        other.execute(pass, [seconds]).unwrap();
    };
    pass(1_190);
    assert_eq!(
        stated(&store).await,
        (milliseconds(200), milliseconds(600_000))
    );
    pass(20);
    assert_eq!(stated(&store).await, (milliseconds(200), milliseconds(200)));
    // By hand it is the same.
    other
        .execute("UPDATE api_key_feed SET staleness_ms = 100", [])
        .unwrap();
    assert_eq!(stated(&store).await, (milliseconds(100), milliseconds(200)));
    // A clock that was put back does not end the wait.
    pass(-3_600);
    assert_eq!(stated(&store).await, (milliseconds(100), milliseconds(200)));
}

#[tokio::test]
async fn a_staleness_out_of_bounds_is_refused() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.keys()).unwrap();
    for staleness in [
        Duration::ZERO,
        Duration::from_micros(99_999),
        milliseconds(600_001),
        Duration::MAX,
    ] {
        let error = store.set_staleness(staleness).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{staleness:?}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "a staleness is from 100 ms to ten minutes");
    }
    assert_eq!(
        stated(&store).await,
        (milliseconds(1_000), milliseconds(1_000))
    );
}

/// A replica that is cut off may go by the staleness of the file that was replaced.
#[tokio::test]
async fn i09_a_restored_backup_waits_for_the_staleness_of_the_file_that_it_replaces() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.keys()).unwrap();
    store.set_staleness(milliseconds(700)).await.unwrap();
    let backup = folder.fresh();
    store.backup(&backup).await.unwrap();
    store.set_staleness(milliseconds(30_000)).await.unwrap();
    store.set_staleness(milliseconds(200)).await.unwrap();
    drop(store);
    SqliteStore::restore(&backup).into(folder.keys()).unwrap();
    let restored = SqliteStore::open(folder.keys()).unwrap();
    assert_eq!(
        stated(&restored).await,
        (milliseconds(200), milliseconds(30_000))
    );
    // What was in force in a file that is lost is not known.
    let place = folder.fresh();
    SqliteStore::restore(&backup)
        .danger_present_is_lost()
        .into(&place)
        .unwrap();
    let restored = SqliteStore::open(&place).unwrap();
    assert_eq!(
        stated(&restored).await,
        (milliseconds(700), milliseconds(600_000))
    );
}
