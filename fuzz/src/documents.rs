//! No change of a keys file widens a key.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_api_key::store::{KeyStore, ListQuery};
use tower_api_key::{KeyRecord, ManualClock, Realm, Timestamp};
use tower_api_key_file::FileStore;

use crate::{at_once, contains, filled};

/// A folder that goes with the process, and a name in it that no other call has.
fn path(syntax: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!(
        "tower-api-key-fuzz-{}-{number}.{syntax}",
        std::process::id()
    );
    std::env::temp_dir().join(name)
}

/// A text in the shape of a key that no file may have in it.
const KEY: &str = "acme_0123456789Ab_0123456789ABCDEFGHIJabcdefghij12";

/// A keys file and the versions that follow it, with a line `===` between them; each a document of TOML, or of JSON if
/// the first starts with `{`. In it `$KEY` is a text in the shape of a key.
///
/// Whether a version is accepted or refused: no key gains scopes or time, loses a caveat, comes back, or becomes
/// another's. A file with a key in it is refused, and the error does not have the key.
///
/// # Panics
///
/// If that does not hold.
pub fn documents(input: &[u8]) {
    let input = filled(input, &[("$KEY", KEY)]);
    let Ok(text) = std::str::from_utf8(&input) else {
        return;
    };
    let mut versions = text.split("\n===\n");
    let first = versions.next().unwrap_or_default();
    let path = path(if first.starts_with('{') {
        "json"
    } else {
        "toml"
    });
    fs::write(&path, first).unwrap();
    let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
    let opened = FileStore::options().unwatched().clock(clock).open(&path);
    match opened {
        Ok(store) => {
            assert!(!first.contains(KEY));
            let mut before = records(&store);
            for version in versions {
                fs::write(&path, version).unwrap();
                let read = store.reload();
                assert!(read.is_err() || !version.contains(KEY));
                if let Err(error) = read {
                    assert!(!contains(format!("{error:?} {error}").as_bytes(), KEY));
                }
                let after = records(&store);
                for old in &before {
                    shrinks(old, &after);
                }
                before = after;
            }
        }
        Err(error) => assert!(!contains(format!("{error:?} {error}").as_bytes(), KEY)),
    }
    fs::remove_file(&path).unwrap();
}

/// The keys of both realms that the seeds name.
fn records(store: &FileStore) -> Vec<Arc<KeyRecord>> {
    let realms = ["orders", "stock"].map(|realm| Realm::new(realm).unwrap());
    let pages = realms.map(|realm| {
        let page = at_once(store.list(&realm, &ListQuery::new())).unwrap();
        page.complete().unwrap()
    });
    pages.concat()
}

fn shrinks(old: &KeyRecord, after: &[Arc<KeyRecord>]) {
    let new = after.iter().find(|it| it.digest() == old.digest());
    let new = new.expect("a key is not forgotten");
    assert_eq!((new.id(), new.realm()), (old.id(), old.realm()));
    assert_eq!(new.subject(), old.subject());
    assert!(new.scopes().is_subset(old.scopes()), "{old:?} {new:?}");
    assert!(new.caveats().is_superset(old.caveats()), "{old:?} {new:?}");
    assert!(new.not_before() >= old.not_before(), "{old:?} {new:?}");
    assert!(new.valid_until() <= old.valid_until(), "{old:?} {new:?}");
    assert!(
        new.revocation().is_some() || old.revocation().is_none(),
        "{old:?} {new:?}"
    );
}
