//! Replicas in processes of their own, which another process revokes keys under.

use std::env;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tower_api_key::replica::Replica;
use tower_api_key::{
    Clock, Grant, InvalidCause, Issued, KeyRing, RevocationReason, SystemClock, VerifyErrorKind,
};
use tower_api_key_sqlite::SqliteStore;

use crate::backups::settled;
use crate::server::{
    REVOKED, becomes, issued_in_time, mv, opens, revoke, server as store_and_ring, vacuum, verdict,
};
use crate::sharing::ring_over;
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::process::Running;

/// The file of a server, and the keys that it is asked for, one after the other until each is refused.
const FILE: &str = "REPLICA_FILE";
const KEYS: &str = "REPLICA_KEYS";

/// How many keys are revoked under each server.
const ROUNDS: usize = 20;

/// The time that goes on while a process or the machine is stopped, the same in all processes.
fn now() -> Duration {
    SystemClock.elapsed().expect("a clock that counts")
}

#[tokio::test]
async fn i09_two_servers_refuse_what_a_third_process_revokes_within_the_staleness() {
    let folder = Folder::new();
    let (ring, staleness) = shell(&folder.keys(), Duration::from_secs(1)).await;
    let keys = issue(&ring, ROUNDS).await;
    let servers = [(); 2].map(|()| server(&folder.keys(), &keys));
    for key in &keys {
        for server in &servers {
            assert_eq!(server.next_line().as_deref(), Some("accepted"));
        }
        ring.revoke(key.id(), RevocationReason::KeyCompromise)
            .await
            .unwrap();
        let acknowledged = now();
        for server in &servers {
            let accept = last_accept(server);
            assert!(
                accept < acknowledged + staleness,
                "{accept:?}, {acknowledged:?}"
            );
        }
    }
}

/// A stopped process has neither heard of the revocation nor of the time that went by.
#[tokio::test]
async fn r22_a_stopped_server_that_goes_on_refuses_before_it_hears() {
    let folder = Folder::new();
    let (ring, staleness) = shell(&folder.keys(), Duration::from_millis(100)).await;
    let keys = issue(&ring, ROUNDS / 4).await;
    let server = server(&folder.keys(), &keys);
    for key in &keys {
        assert_eq!(server.next_line().as_deref(), Some("accepted"));
        server.signal("STOP");
        let stopped = now();
        while now() <= stopped + staleness {
            tokio::time::sleep(staleness / 10).await;
        }
        ring.revoke(key.id(), RevocationReason::KeyCompromise)
            .await
            .unwrap();
        let acknowledged = now();
        server.signal("CONT");
        let accept = last_accept(&server);
        assert!(accept < acknowledged, "{accept:?}, {acknowledged:?}");
    }
}

/// The older file has the key as it was before it was revoked.
#[tokio::test]
async fn r22_a_key_that_was_refused_stays_refused_if_an_older_file_takes_the_place() {
    let folder = Folder::new();
    let path = folder.keys();
    let (store, shell) = store_and_ring(&path);
    let issued = shell.issue(Grant::new("alice")).await.unwrap();
    let old = folder.fresh();
    vacuum(&path, &old);
    let replica = followed(store);
    replica.ready().await.unwrap();
    let server = ring_over(replica);
    assert_eq!(verdict(&server, &issued).await, Ok(()));
    revoke(&shell, &issued).await;
    becomes(&server, &issued, REVOKED).await;
    settled(&path).await;
    mv(&old, &path);
    let other = opens(&path).await;
    assert_eq!(verdict(&other, &issued).await, Ok(()));
    // The replica has read the new file once it knows a key that only this has.
    let later = issued_in_time(&other).await;
    becomes(&server, &later, Ok(())).await;
    assert_eq!(verdict(&server, &issued).await, REVOKED);
}

/// A ring over a new file with this staleness.
async fn shell(path: &Path, staleness: Duration) -> (KeyRing, Duration) {
    let store = SqliteStore::open(path).unwrap();
    store.set_staleness(staleness).await.unwrap();
    (KeyRing::builder("acme").build(store).unwrap(), staleness)
}

async fn issue(ring: &KeyRing, count: usize) -> Vec<Issued> {
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(ring.issue(Grant::new("alice")).await.unwrap());
    }
    keys
}

fn server(path: &Path, keys: &[Issued]) -> Running {
    let keys: Vec<_> = keys.iter().map(|key| key.secret().expose()).collect();
    let environment = [(FILE, path.to_str().unwrap()), (KEYS, &keys.join(" "))];
    let server = Running::again("follower::replicas::serve", environment);
    while server.next_line().expect("a server that is ready") != "ready" {}
    server
}

/// When the last request began for which a server accepted a key that it now refuses.
fn last_accept(server: &Running) -> Duration {
    let line = server.next_line().expect("a server that goes on");
    Duration::from_nanos(line.parse().expect(&line))
}

#[test]
#[ignore = "a process of its own, which another test starts"]
fn serve() {
    let (Ok(path), Ok(keys)) = (env::var(FILE), env::var(KEYS)) else {
        return;
    };
    // It holds no lock for writing while it is stopped.
    let store = SqliteStore::open_read_only(path).unwrap();
    let replica = followed(store);
    runtime().block_on(async {
        replica.ready().await.unwrap();
        let ring = KeyRing::builder("acme").build(replica).unwrap();
        println!("\nready");
        for key in keys.split(' ') {
            until_refused(&ring, key).await;
        }
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A replica that a thread keeps up to date.
fn followed(store: SqliteStore) -> Replica {
    let (replica, follow) = Replica::options().follow(store).unwrap();
    let runtime = runtime();
    std::thread::spawn(move || runtime.block_on(follow));
    replica
}

#[allow(clippy::print_stdout, reason = "the other process reads it")]
async fn until_refused(ring: &KeyRing, key: &str) {
    let mut last_accept = None;
    loop {
        let began = now();
        match ring
            .verify(key.as_bytes())
            .await
            .map_err(|error| error.kind())
        {
            Ok(_) => {
                if last_accept.replace(began).is_none() {
                    println!("accepted");
                }
            }
            Err(VerifyErrorKind::Invalid(InvalidCause::Revoked)) => {
                let last = last_accept.expect("a key that was accepted");
                println!("{}", last.as_nanos());
                return;
            }
            Err(VerifyErrorKind::StoreUnavailable) => {}
            Err(kind) => panic!("{kind:?}"),
        }
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}
