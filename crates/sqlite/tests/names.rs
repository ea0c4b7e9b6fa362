//! A file with several names.

use std::fs;

use tower_api_key::store::StoreErrorKind;
use tower_api_key::{Grant, InvalidCause, VerifyErrorKind};
use tower_api_key_sqlite::SqliteStore;

use super::advice;
use super::server::{REVOKED, UNAVAILABLE, becomes, refused, revoke, server, verdict};
use super::sharing::ring;
use tower_api_key_test_support::folder::Folder;

#[tokio::test]
async fn r22_a_file_with_two_names_is_refused_on_both_sides() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let other = other.join("keys.db");
    fs::hard_link(&path, &other).unwrap();
    let due = "the file has 2 names (hard links), and each has a write-ahead log of its own; leave \
               one name";
    for path in [&path, &other] {
        let error = SqliteStore::open_existing(path).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(advice(&error, path), due);
    }
    becomes(&server, &issued, UNAVAILABLE).await;
    assert_eq!(advice(&refused(&store, &issued), &path), due);
    fs::remove_file(&other).unwrap();
    becomes(&server, &issued, Ok(())).await;
}

#[tokio::test]
async fn a_symbolic_link_is_the_file_that_it_names() {
    let folder = Folder::new();
    let path = folder.keys();
    let link = folder.path().join("link");
    fs::create_dir(&link).unwrap();
    let link = link.join("linked.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let (_, server) = server(&path);
    let issued = server.issue(Grant::new("alice")).await.unwrap();
    let (_, through) = super::server::server(&link);
    revoke(&through, &issued).await;
    assert_eq!(verdict(&server, &issued).await, REVOKED);

    // A link that names another file is another store.
    let other = folder.fresh();
    let elsewhere = ring(&other).issue(Grant::new("bob")).await.unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    becomes(&through, &elsewhere, Ok(())).await;
    let unknown = Err(VerifyErrorKind::Invalid(InvalidCause::Unknown));
    assert_eq!(verdict(&through, &issued).await, unknown);
}
