//! Keys that move at first use, and logins that mint, over every store that takes keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::{KeyStore, ListQuery, MemoryStore};
use tower_api_key::{
    ErrorKind, EventKind, Grant, InvalidCause, KeyId, KeyRing, KeyRingBuilder, KeyState,
    ManualClock, OldKey, RevocationReason,
};
use tower_api_key_postgres::PostgresStore;
use tower_api_key_sqlite::SqliteStore;

use super::{OLD, grant, invalid, verdict};
use crate::folder::Folder;
use crate::pg_server::{database, patient};
use crate::support::{START, poll_once};

/// An empty store of each kind.
async fn stores(folder: &Folder) -> [(&'static str, Arc<dyn KeyStore>); 3] {
    let postgres: PostgresStore = patient().connect(&database().await).await.unwrap();
    [
        ("memory", Arc::new(MemoryStore::new())),
        (
            "SQLite",
            Arc::new(SqliteStore::open(folder.fresh()).unwrap()),
        ),
        ("Postgres", Arc::new(postgres)),
    ]
}

fn ring(
    store: &Arc<dyn KeyStore>,
    options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
) -> (KeyRing, ManualClock) {
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme").clock(clock.clone());
    let ring = options(builder.accept_imports()).build(Arc::clone(store));
    (ring.unwrap(), clock)
}

fn old() -> OldKey {
    OldKey::plaintext(OLD)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_many_present_at_once_is_imported_once() {
    let folder = Folder::new();
    for (name, store) in stores(&folder).await {
        let racing: Vec<_> = (0..16)
            .map(|_| {
                // As the nodes of a fleet.
                let (ring, _) = ring(&store, |builder| builder.max_keys_per_subject(1));
                tokio::spawn(async move { ring.import_or_get(grant(), &old()).await })
            })
            .collect();
        let (mut ids, mut new) = (BTreeSet::new(), 0);
        for imported in racing {
            let imported = imported.await.unwrap().unwrap();
            ids.insert(imported.record().id());
            new += usize::from(!imported.was_present());
        }
        assert_eq!((ids.len(), new), (1, 1), "{name}");
        let (ring, _) = ring(&store, |builder| builder);
        assert_eq!(verdict(&ring, OLD).await.unwrap(), "alice", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r02_an_old_row_revives_and_widens_nothing() {
    let folder = Folder::new();
    for (name, store) in stores(&folder).await {
        let (ring, clock) = ring(&store, |builder| builder);
        let wide = || grant().scopes("read write");
        let id = ring.import_or_get(wide(), &old()).await.unwrap();
        let id = id.record().id();
        ring.narrow(id, &"read".parse().unwrap()).await.unwrap();
        let again = ring.import_or_get(wide(), &old()).await.unwrap();
        assert!(again.was_present(), "{name}");
        assert_eq!(again.record().scopes().as_str(), "read", "{name}");

        let bobs = Grant::new("bob").expires_in(Duration::from_hours(1));
        let other = ring.import_or_get(bobs, &old()).await.unwrap_err();
        assert_eq!(other.kind(), ErrorKind::ImportDiffers, "{name}");

        ring.revoke(id, RevocationReason::KeyCompromise)
            .await
            .unwrap();
        for _ in 0..2 {
            let again = ring.import_or_get(wide(), &old()).await.unwrap();
            assert_eq!(again.record().id(), id, "{name}");
            assert_eq!(again.record().state_at(START), KeyState::Revoked, "{name}");
            let revoked = invalid::<String>(InvalidCause::Revoked);
            assert_eq!(verdict(&ring, OLD).await, revoked, "{name}");
        }
        // What the guide warns of: once the record is gone, a row that stayed is imported anew.
        clock.advance(Duration::from_hours(24 * 31));
        assert_eq!(ring.purge().await.unwrap(), 1, "{name}");
        let revived = ring.import_or_get(wide(), &old()).await.unwrap();
        assert!(!revived.was_present(), "{name}");
    }
}

/// The keys of `alice` that are not over.
async fn live(ring: &KeyRing) -> BTreeSet<KeyId> {
    let query = ListQuery::new().subject("alice").unrevoked();
    let listed = ring.list(&query).await.unwrap().complete().unwrap();
    listed.iter().map(|record| record.id()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_takes_the_place_of_the_oldest_key_within_the_limit() {
    let folder = Folder::new();
    for (name, store) in stores(&folder).await {
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let events = Arc::clone(&heard);
        let (ring, clock) = ring(&store, |builder| {
            let observer = tower_api_key::observer_fn(move |event: &tower_api_key::Event<'_>| {
                events.lock().unwrap().push((event.kind(), event.key_id()));
            });
            builder.max_keys_per_subject(3).observer(observer)
        });
        let alice = || Grant::new("alice").scopes("sync");
        let bobs = ring
            .issue_replacing_oldest(Grant::new("bob"))
            .await
            .unwrap();
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(ring.issue_replacing_oldest(alice()).await.unwrap());
            clock.advance(Duration::from_mins(1));
        }
        // The first is in use: it was rotated, and so is the newest. Its grace period ends with it.
        let ids: Vec<KeyId> = keys.iter().map(tower_api_key::Issued::id).collect();
        let rotated = ring.rotate(ids[0], Duration::from_hours(1)).await.unwrap();
        clock.advance(Duration::from_mins(1));
        let fourth = ring.issue_replacing_oldest(alice()).await.unwrap();
        let left = [ids[0], rotated.id(), ids[2], fourth.id()];
        assert_eq!(live(&ring).await, BTreeSet::from(left), "{name}");
        let mut heard = std::mem::take(&mut *heard.lock().unwrap());
        let reason = RevocationReason::CessationOfOperation;
        assert_eq!(
            heard.pop(),
            Some((EventKind::Revoked { reason }, Some(ids[1])))
        );
        assert_eq!(heard.pop(), Some((EventKind::Issued, Some(fourth.id()))));
        // Its return is not that of a replaced key.
        let ended = keys[1].secret().expose();
        assert_eq!(verdict(&ring, ended).await, invalid(InvalidCause::Revoked));

        clock.advance(Duration::from_mins(1));
        ring.issue_replacing_oldest(alice()).await.unwrap();
        clock.advance(Duration::from_mins(1));
        ring.issue_replacing_oldest(alice()).await.unwrap();
        let left = live(&ring).await;
        assert!(
            !left.contains(&ids[0]) && !left.contains(&rotated.id()),
            "{name}"
        );
        assert_eq!(left.len(), 3, "{name}");
        assert!(ring.verify(bobs.secret().expose().as_bytes()).await.is_ok());
        let refused = ring.issue(alice()).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::TooManyKeys { limit: 3 },
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_at_the_same_time_all_succeed_within_the_limit() {
    let folder = Folder::new();
    for (name, store) in stores(&folder).await {
        let racing: Vec<_> = (0..8)
            .map(|_| {
                let (ring, _) = ring(&store, |builder| builder.max_keys_per_subject(2));
                let alice = Grant::new("alice");
                tokio::spawn(async move { ring.issue_replacing_oldest(alice).await })
            })
            .collect();
        let mut issued = BTreeSet::new();
        for login in racing {
            issued.insert(login.await.unwrap().unwrap().id());
        }
        let (ring, _) = ring(&store, |builder| builder);
        let left = live(&ring).await;
        assert_eq!((issued.len(), left.len()), (8, 2), "{name}");
        assert!(left.is_subset(&issued), "{name}");
    }
}

#[tokio::test]
async fn without_a_limit_a_login_ends_no_key_and_reads_none() {
    let store: Arc<dyn KeyStore> = Arc::new(MemoryStore::new());
    let (ring, _) = ring(&store, |builder| builder);
    for _ in 0..5 {
        let mut login = Box::pin(ring.issue_replacing_oldest(Grant::new("alice")));
        assert!(poll_once(&mut login).is_ready());
    }
    assert_eq!(live(&ring).await.len(), 5);
}
