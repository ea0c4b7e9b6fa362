//! A server that has a file open, and changes to the file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::store::{KeyStore, Lookup, StoreError};
use tower_api_key::{
    Error, Grant, InvalidCause, Issued, KeyRing, RevocationReason, VerifyErrorKind,
};
use tower_api_key_sqlite::SqliteStore;

use super::PATIENCE;
use super::sharing::ring_over;

pub(super) const REVOKED: Result<(), VerifyErrorKind> =
    Err(VerifyErrorKind::Invalid(InvalidCause::Revoked));
pub(super) const UNAVAILABLE: Result<(), VerifyErrorKind> = Err(VerifyErrorKind::StoreUnavailable);

/// A server that checks often.
pub(super) fn server(path: &Path) -> (SqliteStore, KeyRing) {
    every(path, Duration::from_millis(5))
}

/// A server that checks at this interval.
pub(super) fn every(path: &Path, interval: Duration) -> (SqliteStore, KeyRing) {
    let options = SqliteStore::options().check_interval(interval);
    let store = options.open(path).unwrap();
    (store.clone(), ring_over(store))
}

pub(super) async fn verdict(ring: &KeyRing, issued: &Issued) -> Result<(), VerifyErrorKind> {
    let verified = ring.verify(issued.secret().expose().as_bytes()).await;
    verified.map(drop).map_err(|error| error.kind())
}

/// A key that was revoked. Both are errors for a moment if the server takes the log of the replaced
/// file away after the shell has opened it.
pub(super) async fn issued_and_revoked(shell: &KeyRing) -> Issued {
    let reason = RevocationReason::KeyCompromise;
    let mut last = None;
    for _ in 0..6_000 {
        let revoked = async {
            let issued = shell.issue(Grant::new("bob")).await?;
            shell.revoke(issued.record().id(), reason).await?;
            Ok::<_, Error>(issued)
        };
        match revoked.await {
            Ok(issued) => return issued,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the shell never opens the file anew: {last:?}");
}

/// Waits until the server answers this for a key.
#[track_caller]
pub(super) fn becomes<'a>(
    ring: &'a KeyRing,
    issued: &'a Issued,
    expected: Result<(), VerifyErrorKind>,
) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let mut last = None;
        for _ in 0..PATIENCE.as_millis() / 5 {
            let now = verdict(ring, issued).await;
            if now == expected {
                return;
            }
            last = Some(now);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{caller}: it is {last:?} for ever, not {expected:?}");
    }
}

#[track_caller]
pub(super) fn refused(store: &SqliteStore, issued: &Issued) -> StoreError {
    let record = issued.record();
    match store.find(record.realm(), record.digest()) {
        Lookup::Ready(Err(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn revoke(ring: &KeyRing, issued: &Issued) {
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(issued.record().id(), reason).await.unwrap();
}

pub(super) fn vacuum(path: &Path, to: &Path) {
    let connection = Connection::open(path).unwrap();
    let to = to.to_str().unwrap();
    connection.execute("VACUUM INTO ?1", [to]).unwrap();
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

/// Waits until the log is in the file, because SQLite would use it for a file that takes its place.
pub(super) async fn written(path: &Path) {
    let log = beside(path, "-wal");
    for _ in 0..PATIENCE.as_millis() / 5 {
        if std::fs::metadata(&log).map_or(0, |log| log.len()) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the log is never brought into the file");
}

/// In another process, so that no lock of this one ends.
pub(super) fn mv(from: &Path, to: &Path) {
    let status = Command::new("mv").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// A key, as soon as the store can issue one: it opens its file again if the server has taken the log of the replaced
/// one away.
pub(super) async fn issued_in_time(ring: &KeyRing) -> Issued {
    let mut last = None;
    for _ in 0..6_000 {
        match ring.issue(Grant::new("bob")).await {
            Ok(issued) => return issued,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no key can be issued: {last:?}");
}

/// Opens the file as soon as no store of this process holds a deleted log.
pub(super) async fn opens(path: &Path) -> KeyRing {
    let mut last = None;
    for _ in 0..6_000 {
        match SqliteStore::open_existing(path) {
            Ok(store) => return ring_over(store),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the file cannot be opened: {last:?}");
}
