//! What keys are used for: the scopes that requests need and the networks that they come from, noted off the request
//! path.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use http::{Extensions, Method, StatusCode};
use tokio::sync::Notify;
use tower::Layer;
use tower_api_key::store::{
    BoxFuture, KeyStore, KeyUsage, MemoryStore, NetworkUse, StoreError, StoreErrorKind,
};
use tower_api_key::{
    ApiKeyLayer, ClientAddress, Facts, Grant, Issued, KeyId, KeyRing, KeyRingBuilder, ManualClock,
    Owner, Realm, RequireScopeLayer, Requirement, RouteTable, Subject,
};

use crate::support::{Inner, ObservedStore, START, issue, poll_once, send, with_key};

fn builder() -> KeyRingBuilder {
    let builder = KeyRing::builder("acme").realm("orders");
    builder.clock(ManualClock::new(START))
}

fn tracking(store: impl KeyStore) -> KeyRing {
    builder().track_scope_use().build(store).unwrap()
}

/// The scopes that the store knows to be exercised. `None` if no use of the key was tracked.
async fn exercised(ring: &KeyRing, id: KeyId) -> Option<String> {
    ring.record_uses().await.unwrap();
    let usage = ring.usages(&[id]).await.unwrap().remove(0);
    usage.scopes().map(|used| used.scopes().to_string())
}

fn from(address: &str) -> Facts {
    Facts::none().client_address(address.parse().unwrap())
}

async fn use_from(ring: &KeyRing, issued: &Issued, address: &str) {
    let key = issued.secret().expose().as_bytes();
    ring.verify_with(key, from(address)).await.unwrap();
}

async fn networks(ring: &KeyRing, id: KeyId) -> Vec<String> {
    ring.record_uses().await.unwrap();
    let usage = ring.usages(&[id]).await.unwrap().remove(0);
    let networks = usage.networks().map(NetworkUse::networks);
    let networks = networks.unwrap_or_default().iter();
    networks.map(|used| used.network.to_string()).collect()
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}

/// A store in memory that may not take what it is told.
#[derive(Clone, Default)]
struct Reluctant {
    store: MemoryStore,
    fails: Arc<Mutex<Option<StoreErrorKind>>>,
    holds: Arc<Mutex<bool>>,
    released: Arc<Notify>,
    calls: Arc<Mutex<usize>>,
}

impl Reluctant {
    fn calls(&self) -> usize {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

impl KeyStore for Reluctant {
    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        *self.calls.lock().unwrap() += 1;
        let fails = *self.fails.lock().unwrap();
        let holds = *self.holds.lock().unwrap();
        Box::pin(async move {
            if holds {
                self.released.notified().await;
            }
            match fails {
                Some(kind) => Err(kind.into()),
                None => self.store.record_usage(realm, usages).await,
            }
        })
    }

    crate::support::forward!(store: find, commit, revoke, get, list, purge, record_uses, last_uses, usages);
}

#[tokio::test]
async fn nothing_is_noted_unless_the_ring_tracks_it() {
    let store = Reluctant::default();
    let ring = builder().track_last_use().build(store.clone()).unwrap();
    let issued = issue(&ring, "read").await;
    let key = ring.verify(issued.secret().expose().as_bytes()).await;
    key.unwrap().require(&"read".parse_requirement()).unwrap();
    assert_eq!(exercised(&ring, issued.id()).await, None);
    assert_eq!(store.calls(), 0);
}

/// A text as a requirement.
trait ParseRequirement {
    fn parse_requirement(&self) -> Requirement;
}

impl ParseRequirement for str {
    fn parse_requirement(&self) -> Requirement {
        Requirement::scope(self).unwrap()
    }
}

#[tokio::test]
async fn each_place_that_requires_a_scope_notes_it() {
    let ring = tracking(MemoryStore::new());
    let issued = issue(&ring, "a b c d e").await;
    let (id, key) = (issued.id(), issued.secret().expose());
    assert_eq!(exercised(&ring, id).await, None, "never used");

    let plain = ApiKeyLayer::new(ring.clone());
    assert_eq!(
        send(&plain.layer(Inner::new()), with_key(key)).await.status,
        200
    );
    assert_eq!(exercised(&ring, id).await.as_deref(), Some(""));

    let layer = plain.clone().require("a").layer(Inner::new());
    assert_eq!(send(&layer, with_key(key)).await.status, 200);
    assert_eq!(exercised(&ring, id).await.as_deref(), Some("a"));

    let guarded = plain.layer(RequireScopeLayer::new("b").layer(Inner::new()));
    assert_eq!(send(&guarded, with_key(key)).await.status, 200);
    assert_eq!(exercised(&ring, id).await.as_deref(), Some("a b"));

    let routes = RouteTable::builder().route(Method::GET, "/", "c").build();
    let named = plain.clone().routes(routes.unwrap()).layer(Inner::new());
    assert_eq!(send(&named, with_key(key)).await.status, 200);
    assert_eq!(exercised(&ring, id).await.as_deref(), Some("a b c"));

    let verified = ring.verify(key.as_bytes()).await.unwrap();
    verified.require(&"d".parse_requirement()).unwrap();
    assert_eq!(exercised(&ring, id).await.as_deref(), Some("a b c d"));
}

#[tokio::test]
async fn a_requirement_notes_the_scopes_that_met_it() {
    let several = |texts: &[&str]| Requirement::all(texts.iter().copied()).unwrap();
    let any = |parts: Vec<Requirement>| Requirement::any(parts).unwrap();
    let one = |text: &str| text.parse_requirement();
    for (scopes, requirement, due) in [
        ("a b c", one("a"), "a"),
        ("a b c", several(&["a", "c"]), "a c"),
        // Without either of them, the other would do.
        ("a b c", any(vec![one("b"), one("a")]), "a b"),
        ("a c", any(vec![one("b"), one("a")]), "a"),
        ("a b c", any(vec![one("x"), several(&["a", "b"])]), "a b"),
        // A part that is not met counts for nothing.
        ("a c", any(vec![several(&["a", "b"]), one("c")]), "c"),
        // Nothing counts if the key is refused.
        ("a c", several(&["a", "b"]), ""),
        ("a c", any(vec![one("b"), several(&["a", "b"])]), ""),
    ] {
        let ring = tracking(MemoryStore::new());
        let issued = issue(&ring, scopes).await;
        let key = ring.verify(issued.secret().expose().as_bytes()).await;
        let is_met = key.unwrap().require(&requirement).is_ok();
        assert_eq!(is_met, !due.is_empty());
        let seen = exercised(&ring, issued.id()).await;
        assert_eq!(seen.as_deref(), Some(due), "{requirement} by {scopes}");
    }
}

#[tokio::test]
async fn a_key_of_many_scopes_notes_each() {
    let names: Vec<String> = (0..200)
        .map(|number| format!("scope:{number:03}"))
        .collect();
    let ring = tracking(MemoryStore::new());
    let issued = issue(&ring, &names.join(" ")).await;
    let key = ring.verify(issued.secret().expose().as_bytes()).await;
    let key = key.unwrap();
    for name in names.iter().step_by(3) {
        key.require(&name.parse_requirement()).unwrap();
    }
    let due: Vec<&str> = names.iter().step_by(3).map(String::as_str).collect();
    let seen = exercised(&ring, issued.id()).await.unwrap();
    assert_eq!(seen, due.join(" "));
}

/// A request that began before the notes were taken, and requires a scope afterwards.
#[tokio::test]
async fn what_a_request_needs_after_an_upkeep_is_not_lost() {
    let ring = tracking(MemoryStore::new());
    let issued = issue(&ring, "a b c").await;
    let (id, presented) = (issued.id(), issued.secret().expose().as_bytes());
    let stream = ring.verify(presented).await.unwrap();
    assert_eq!(exercised(&ring, id).await.as_deref(), Some(""));
    stream.require(&"a".parse_requirement()).unwrap();
    assert_eq!(exercised(&ring, id).await.as_deref(), Some("a"));
    let other = ring.verify(presented).await.unwrap();
    stream.require(&"b".parse_requirement()).unwrap();
    drop(stream);
    other.require(&"c".parse_requirement()).unwrap();
    drop(other);
    assert_eq!(exercised(&ring, id).await.as_deref(), Some("a b c"));
}

#[tokio::test]
async fn what_the_store_does_not_take_is_told_again() {
    let store = Reluctant::default();
    let ring = tracking(store.clone());
    let issued = issue(&ring, "a b").await;
    let (id, presented) = (issued.id(), issued.secret().expose().as_bytes());
    let key = ring.verify(presented).await.unwrap();
    key.require(&"a".parse_requirement()).unwrap();
    *store.fails.lock().unwrap() = Some(StoreErrorKind::Unavailable);
    ring.record_uses().await.unwrap_err();
    *store.fails.lock().unwrap() = None;

    // Also if the call is dropped half-way.
    *store.holds.lock().unwrap() = true;
    let mut recording = Box::pin(ring.record_uses());
    assert!(poll_once(&mut recording).is_pending());
    drop(recording);
    *store.holds.lock().unwrap() = false;

    key.require(&"b".parse_requirement()).unwrap();
    assert_eq!(exercised(&ring, id).await.as_deref(), Some("a b"));
    assert_eq!(store.calls(), 3);
    ring.record_uses().await.unwrap();
    assert_eq!(store.calls(), 0, "there is nothing new to tell");

    // A store that never takes it is not told twice.
    for kind in [StoreErrorKind::ReadOnly, StoreErrorKind::Unsupported] {
        *store.fails.lock().unwrap() = Some(kind);
        ring.verify(presented).await.unwrap();
        ring.record_uses().await.unwrap_err();
        ring.record_uses().await.unwrap();
    }
    assert_eq!(store.calls(), 2);
}

#[tokio::test]
async fn a_refused_key_is_used_for_nothing() {
    let ring = builder().track_networks().track_scope_use();
    let ring = ring.build(MemoryStore::new()).unwrap();
    let issued = issue(&ring, "a").await;
    let reason = tower_api_key::RevocationReason::KeyCompromise;
    ring.revoke(issued.id(), reason).await.unwrap();
    let key = issued.secret().expose().as_bytes();
    ring.verify_with(key, from("203.0.113.9"))
        .await
        .unwrap_err();
    assert_eq!(exercised(&ring, issued.id()).await, None);
    assert_eq!(networks(&ring, issued.id()).await, [""; 0]);
}

/// The ceiling of an owner takes scopes away for a while. The notes are on those of the record.
#[tokio::test]
async fn a_key_with_an_owner_is_noted_too() {
    for later in [false, true] {
        let ceilings = Arc::new(Mutex::new("a"));
        let asked = Arc::clone(&ceilings);
        let owners = move |subject: Subject| {
            let ceiling = *asked.lock().unwrap();
            async move {
                Ok(Some(
                    Owner::within(ceiling.parse()?).principal(subject.to_string()),
                ))
            }
        };
        let store = ObservedStore::new();
        let store = if later {
            store.answering_later()
        } else {
            store
        };
        let plain = builder().build(store.clone()).unwrap();
        let ring = builder().track_scope_use().owners(owners);
        let ring = ring.build(store).unwrap();
        let grant = Grant::new("alice").scopes("a b");
        let issued = plain.issue(grant).await.unwrap();
        let presented = issued.secret().expose().as_bytes();
        let key = ring.verify(presented).await.unwrap();
        assert_eq!(key.scopes().as_str(), "a");
        assert_eq!(key.principal::<String>().unwrap(), "alice");
        key.require(&"a".parse_requirement()).unwrap();
        *ceilings.lock().unwrap() = "a b";
        let key = ring.verify_again(&key, Facts::none()).await.unwrap();
        assert_eq!(key.principal::<String>().unwrap(), "alice");
        key.require(&"b".parse_requirement()).unwrap();
        let seen = exercised(&ring, issued.id()).await;
        assert_eq!(seen.as_deref(), Some("a b"), "{later}");
    }
}

#[tokio::test]
async fn a_store_that_answers_later_is_noted_too() {
    let ring = builder().track_scope_use().track_networks();
    let ring = ring.build(ObservedStore::new().answering_later()).unwrap();
    let issued = issue(&ring, "a b").await;
    let key = issued.secret().expose().as_bytes();
    for scope in ["a", "b"] {
        let key = ring.verify_with(key, from("203.0.113.9")).await.unwrap();
        key.require(&scope.parse_requirement()).unwrap();
    }
    assert_eq!(exercised(&ring, issued.id()).await.as_deref(), Some("a b"));
    assert_eq!(networks(&ring, issued.id()).await, ["203.0.113.0/24"]);
}

#[tokio::test]
async fn the_networks_of_requests_are_noted() {
    let ring = builder()
        .track_networks()
        .build(MemoryStore::new())
        .unwrap();
    let issued = issue(&ring, "a").await;
    let service = ApiKeyLayer::new(ring.clone())
        .client_address(ClientAddress::peer(peer))
        .layer(Inner::new());
    for address in [
        Some("203.0.113.9"),
        Some("203.0.113.200"),
        Some("2001:db8::1"),
        Some("::ffff:198.51.100.1"),
        None,
    ] {
        let mut request = with_key(issued.secret().expose());
        if let Some(address) = address {
            let address: IpAddr = address.parse().unwrap();
            let address = SocketAddr::new(address, 4711);
            request.extensions_mut().insert(address);
        }
        assert_eq!(send(&service, request).await.status, StatusCode::OK);
    }
    let seen = networks(&ring, issued.id()).await;
    assert_eq!(seen, ["198.51.100.0/24", "203.0.113.0/24", "2001:db8::/48"]);
    let usage = ring.usages(&[issued.id()]).await.unwrap().remove(0);
    assert_eq!(usage.networks().unwrap().first(), START);
    assert_eq!(usage.scopes(), None, "scopes are not tracked");
}

#[tokio::test]
async fn r23_a_key_that_comes_from_everywhere_has_a_bounded_number_of_networks() {
    let ring = builder()
        .track_networks()
        .build(MemoryStore::new())
        .unwrap();
    let issued = issue(&ring, "a").await;
    for round in 0..3 {
        for network in 0..100 {
            use_from(&ring, &issued, &format!("10.{round}.{network}.1")).await;
        }
        ring.record_uses().await.unwrap();
    }
    let usage = ring.usages(&[issued.id()]).await.unwrap().remove(0);
    let networks = usage.networks().unwrap();
    assert_eq!(networks.networks().len(), NetworkUse::MOST);
    assert!(networks.further() > 0);
}

#[test]
#[should_panic(
    expected = "the ring tracks the networks of clients, and this ApiKeyLayer does not know them: call client_address"
)]
fn r27_a_ring_that_tracks_networks_does_not_build_over_a_layer_without_addresses() {
    let ring = builder()
        .track_networks()
        .build(MemoryStore::new())
        .unwrap();
    let _ = ApiKeyLayer::new(ring).layer(Inner::new());
}

/// Each thread's scope and network must be known in the end, whatever was taken meanwhile.
#[test]
fn nothing_is_lost_between_threads() {
    let ring = builder().track_networks().track_scope_use();
    let ring = ring.build(MemoryStore::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let names: Vec<String> = (0..900).map(|number| format!("s{number:03}")).collect();
    let issued = runtime.block_on(issue(&ring, &names.join(" ")));
    let presented = issued.secret().expose().as_bytes();
    std::thread::scope(|scope| {
        for thread in 0..3_usize {
            let (ring, names) = (&ring, &names);
            scope.spawn(move || {
                let address = from(&format!("10.0.{thread}.1"));
                for name in names.iter().skip(thread).step_by(3) {
                    let mut verdict = Box::pin(ring.verify_with(presented, address));
                    let std::task::Poll::Ready(Ok(key)) = poll_once(&mut verdict) else {
                        panic!("memory answers at once");
                    };
                    std::thread::yield_now();
                    key.require(&name.parse_requirement()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..2_000 {
                assert!(poll_once(&mut Box::pin(ring.record_uses())).is_ready());
            }
        });
    });
    runtime.block_on(async {
        let seen = exercised(&ring, issued.id()).await.unwrap();
        assert_eq!(seen, names.join(" "));
        let seen = networks(&ring, issued.id()).await;
        assert_eq!(seen, ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
    });
}
