//! A server that fails under load, hangs, and comes back (rule 20).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use tower::Layer;
use tower_api_key::store::ListQuery;
use tower_api_key::{
    ApiKeyLayer, ErrorKind, KeyId, KeyRing, KeyState, RejectionKind, RevocationReason,
};
use tower_api_key_postgres::PostgresStore;

use super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{PgServer, execute, patient};
use tower_api_key_test_support::support::{Inner, Whole, issue, send, with_key};

const TASKS: usize = 16;
/// The ring's two seconds, plus the delay of a loaded machine.
const BOUND: Duration = Duration::from_secs(5);

type Service = tower_api_key::auth::ApiKeyAuth<Inner>;

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "the bound is one of real time")]
    Instant::now()
}

/// One request, which must end within the bound.
async fn ask(service: &Service, key: &str) -> Whole {
    let begun = now();
    let response = send(service, with_key(key)).await;
    let took = begun.elapsed();
    assert!(took < BOUND, "a request took {took:?}");
    response
}

/// Asks from many tasks at once until it is stopped, and counts each kind of answer.
struct Load {
    stop: Arc<AtomicBool>,
    passed: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(service: &Service, key: &str) -> Self {
        let (stop, passed, failed) =
            <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let tasks = (0..TASKS)
            .map(|_| {
                let (service, key) = (service.clone(), key.to_owned());
                let (stop, passed, failed) = (stop.clone(), passed.clone(), failed.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let response = ask(&service, &key).await;
                        match response.status {
                            StatusCode::OK => passed.fetch_add(1, Ordering::SeqCst),
                            StatusCode::SERVICE_UNAVAILABLE => {
                                assert_eq!(response.kind(), Some(RejectionKind::StoreUnavailable));
                                failed.fetch_add(1, Ordering::SeqCst)
                            }
                            status => panic!("{status}"),
                        };
                    }
                })
            })
            .collect();
        Self {
            stop,
            passed,
            failed,
            tasks,
        }
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }

    /// Waits until this many more have passed, or failed.
    async fn until(&self, count: impl Fn(&Self) -> usize, more: usize) {
        let goal = count(self) + more;
        for _ in 0..3_000 {
            if count(self) >= goal {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} passed, {} failed", self.passed(), self.failed());
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// A service with a key that passes, over its own server, with a service's default bounds.
async fn service(server: &PgServer) -> (Service, KeyRing, Inner, String) {
    let url = server.database().await;
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .build(PostgresStore::connect(&url).await.unwrap())
        .unwrap();
    let key = issue(&ring, "read").await.secret().expose().to_owned();
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring.clone()).layer(inner.clone());
    (service, ring, inner, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_a_server_that_stops_in_mid_load_is_an_outage_and_then_over() {
    let server = PgServer::start("off");
    let (service, ring, inner, key) = service(&server).await;
    let load = Load::start(&service, &key);
    load.until(Load::passed, 200).await;

    tokio::task::block_in_place(|| server.stop());
    // Requests that already have an answer may still pass, but new ones do not.
    load.until(Load::failed, TASKS).await;
    let calls = inner.calls();
    load.until(Load::failed, TASKS).await;
    assert_eq!(inner.calls(), calls, "a request passed without a store");
    let error = ring.list(&ListQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    // In the pool, or on the way to the newest connection.
    let said = super::errors::source(&error);
    assert!(said.starts_with("check that the server runs, "), "{said}");

    tokio::task::block_in_place(|| server.start_again());
    load.until(Load::passed, 200).await;
    let failed = load.failed();
    load.until(Load::passed, 200).await;
    assert_eq!(load.failed(), failed, "the store has recovered");
    load.end().await;
}

/// All connections die while there are no requests: the first request after it already passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_a_restart_between_requests_costs_none_of_them() {
    let server = PgServer::start("off");
    let (service, ring, _, key) = service(&server).await;
    let load = Load::start(&service, &key);
    load.until(Load::passed, 200).await;
    load.end().await;

    tokio::task::block_in_place(|| {
        server.stop();
        server.start_again();
    });
    for _ in 0..20 {
        assert_eq!(ask(&service, &key).await.status, StatusCode::OK);
    }

    tokio::task::block_in_place(|| {
        server.stop();
        server.start_again();
    });
    issue(&ring, "read").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r20_a_server_that_hangs_in_mid_load_is_an_outage_and_then_over() {
    let server = PgServer::start("off");
    let (service, _, inner, key) = service(&server).await;
    let load = Load::start(&service, &key);
    load.until(Load::passed, 200).await;

    tokio::task::block_in_place(|| server.freeze());
    load.until(Load::failed, TASKS).await;
    let calls = inner.calls();
    load.until(Load::failed, TASKS).await;
    assert_eq!(inner.calls(), calls, "a request passed without a store");

    tokio::task::block_in_place(|| server.thaw());
    load.until(Load::passed, 200).await;
    load.end().await;
    for _ in 0..20 {
        assert_eq!(ask(&service, &key).await.status, StatusCode::OK);
    }
}

/// The sessions are ended one by one, by an administrator.
#[tokio::test]
async fn r20_a_session_that_is_ended_costs_no_request() {
    let server = PgServer::start("off");
    let (service, _, _, key) = service(&server).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    for _ in 0..20 {
        assert_eq!(ask(&service, &key).await.status, StatusCode::OK);
        execute(&server.url("postgres"), end).await.unwrap();
    }
}

/// If a request is dropped, its connection is not lost.
#[tokio::test]
async fn look_ups_that_are_dropped_leave_the_pool_whole() {
    let server = PgServer::start("off");
    let url = server.database().await;
    // A lost slot does not come back, however long the last look-up waits.
    let options = patient().max_connections(2);
    let ring = ring_over(options.connect(&url).await.unwrap());
    let issued = issue(&ring, "read").await;
    let presented = issued.secret().expose().as_bytes();
    for step in 0..200_u64 {
        let wait = Duration::from_micros(step * 5);
        let _ = tokio::time::timeout(wait, ring.verify(presented)).await;
    }
    ring.verify(presented).await.unwrap();
}

/// The server loses its power in a loop of changes. Acknowledged changes are there, and no change
/// is half there: of the lineage exactly one key works, or none if it was revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_2_what_was_acknowledged_outlives_a_server_that_is_killed() {
    let server = PgServer::start("on");
    let url = server.database().await;
    let ring = ring_over(connect(&url).await);
    let first = issue(&ring, "read write").await.record().id();
    let mut acknowledged = first;
    for round in 0..5 {
        let writer = {
            let ring = ring.clone();
            tokio::spawn(async move {
                let mut head = acknowledged;
                for _ in 0..10_000 {
                    match ring.rotate_now(head).await {
                        Ok(issued) => head = issued.record().id(),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Store);
                            return head;
                        }
                    }
                }
                panic!("the server was not stopped");
            })
        };
        tokio::time::sleep(Duration::from_millis(50 + 13 * round)).await;
        tokio::task::block_in_place(|| {
            server.stop();
            server.start_again();
        });
        let head = writer_head(writer, &server).await;
        let records = lineage(&ring, first).await;
        let live: Vec<&(KeyId, bool)> = records.iter().filter(|(_, live)| *live).collect();
        let [(survivor, _)] = live[..] else {
            panic!("{} keys of the lineage work", live.len());
        };
        // The last commit may be applied without being acknowledged. No earlier one is lost.
        let place = records.iter().position(|(id, _)| *id == head).unwrap();
        assert!(place + 2 >= records.len(), "an acknowledged key is lost");
        acknowledged = *survivor;
    }
    ring.revoke_lineage(first, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    tokio::task::block_in_place(|| {
        server.stop();
        server.start_again();
    });
    let records = lineage(&ring, first).await;
    assert_eq!(records.iter().filter(|(_, live)| *live).count(), 0);
}

/// The writer stops at its first failure. If the restart fell between two of its changes it has
/// none, so the server is stopped once more while it runs.
async fn writer_head(mut writer: tokio::task::JoinHandle<KeyId>, server: &PgServer) -> KeyId {
    for _ in 0..20 {
        let wait = tokio::time::timeout(Duration::from_secs(3), &mut writer).await;
        if let Ok(head) = wait {
            return head.unwrap();
        }
        tokio::task::block_in_place(|| {
            server.stop();
            server.start_again();
        });
    }
    panic!("the writer met no failure");
}

/// The keys of a lineage in the order of their generations, and whether each works.
async fn lineage(ring: &KeyRing, lineage: KeyId) -> Vec<(KeyId, bool)> {
    let records = ring.list(&ListQuery::new().lineage(lineage)).await.unwrap();
    let mut records = records.complete().unwrap();
    records.sort_by_key(|record| record.generation());
    let at = records.last().unwrap().issued_at();
    records
        .iter()
        .map(|record| (record.id(), record.state_at(at) == KeyState::Live))
        .collect()
}
