//! The thread that watches the file.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tower_api_key::{EventKind, InvalidCause, KeyRing, Observer, VerifyErrorKind, observer_fn};
use tower_api_key_file::FileStore;

use super::{Key, write};
use tower_api_key_test_support::folder::Folder;

/// Takes longer only if the thread hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The received event: the kind, and the failure.
type Told = (EventKind, Option<String>);

fn observed() -> (impl Observer, Receiver<Told>) {
    let (sender, receiver) = channel();
    let observer = observer_fn(move |event| {
        assert!(event.realm().is_none() && event.key_id().is_none());
        let failure = event.failure().map(|failure| {
            let source = failure.source().map(ToString::to_string);
            format!("{failure}: {}", source.unwrap_or_default())
        });
        // The test may be over.
        let _ = sender.send((event.kind(), failure));
    });
    (observer, receiver)
}

/// The recommended way: written next to the file, then renamed. The thread never sees half a text.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("toml.new");
    write(&beside, text);
    fs::rename(&beside, path).unwrap();
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_and_a_broken_one_is_told_once() {
    let folder = Folder::new();
    let path = folder.path().join("keys.toml");
    let key = Key::mint().await;
    let good = format!("realm = \"orders\"\n{}", key.alice());
    write(&path, &good);
    let (observer, told) = observed();
    let store = FileStore::options()
        .interval(Duration::ZERO)
        .observer(observer)
        .open(&path)
        .unwrap();
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .build(store.clone())
        .unwrap();
    assert!(ring.verify(key.plaintext.as_bytes()).await.is_ok());

    replace(&path, "keys = 7");
    let (kind, failure) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(kind, EventKind::StoreReloadFailed);
    let expected = format!("the store is damaged: {}, line 1: ", path.display());
    assert!(failure.unwrap().starts_with(&expected));
    assert!(ring.verify(key.plaintext.as_bytes()).await.is_ok());

    fs::remove_file(&path).unwrap();
    let (kind, failure) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(kind, EventKind::StoreReloadFailed);
    assert_eq!(
        failure.unwrap(),
        format!(
            "the store is unavailable: {}: the file cannot be read: No such file or directory (os \
             error 2)",
            path.display()
        )
    );
    assert!(ring.verify(key.plaintext.as_bytes()).await.is_ok());

    replace(&path, "keys = []");
    assert_eq!(
        told.recv_timeout(PATIENCE).unwrap(),
        (EventKind::StoreReloaded, None),
        "the missing file was told once"
    );
    let refused = ring.verify(key.plaintext.as_bytes()).await.unwrap_err();
    assert_eq!(
        refused.kind(),
        VerifyErrorKind::Invalid(InvalidCause::Revoked)
    );

    store.reload().unwrap();
    assert_eq!(
        told.recv_timeout(PATIENCE).unwrap(),
        (EventKind::StoreReloaded, None),
        "who asks for it is told too"
    );
}

#[tokio::test]
async fn the_thread_ends_with_the_last_clone() {
    let folder = Folder::new();
    let path = folder.path().join("keys.json");
    write(&path, "{\"keys\": []}");
    let (observer, told) = observed();
    let options = FileStore::options()
        .interval(Duration::from_hours(24))
        .observer(observer);
    let store = options.open(&path).unwrap();
    // The thread is the last to hold the observer, and so the other end of the channel.
    drop(options);
    let ring = KeyRing::builder("acme").build(store.clone()).unwrap();
    drop(store);
    assert!(told.try_recv().is_err());
    drop(ring);
    let disconnected = std::sync::mpsc::RecvTimeoutError::Disconnected;
    assert_eq!(told.recv_timeout(PATIENCE), Err(disconnected));
}

/// An update of a mounted `ConfigMap` by `kubectl`: the file is a link through a link that is swapped.
#[cfg(unix)]
#[tokio::test]
async fn a_link_that_is_swapped_is_a_change() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new();
    let key = Key::mint().await;
    let text = format!("realm = \"orders\"\n{}", key.alice());
    for (name, text) in [("one", text.as_str()), ("two", "keys = []")] {
        fs::create_dir(folder.path().join(name)).unwrap();
        write(&folder.path().join(name).join("keys.toml"), text);
    }
    symlink("one", folder.path().join("data")).unwrap();
    symlink("data/keys.toml", folder.path().join("keys.toml")).unwrap();
    let (observer, told) = observed();
    let store = FileStore::options()
        .interval(Duration::ZERO)
        .observer(observer)
        .open(folder.path().join("keys.toml"))
        .unwrap();
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .build(store)
        .unwrap();
    assert!(ring.verify(key.plaintext.as_bytes()).await.is_ok());

    symlink("two", folder.path().join("data.new")).unwrap();
    fs::rename(folder.path().join("data.new"), folder.path().join("data")).unwrap();
    assert_eq!(
        told.recv_timeout(PATIENCE).unwrap(),
        (EventKind::StoreReloaded, None)
    );
    let refused = ring.verify(key.plaintext.as_bytes()).await.unwrap_err();
    assert_eq!(
        refused.kind(),
        VerifyErrorKind::Invalid(InvalidCause::Revoked)
    );
}
