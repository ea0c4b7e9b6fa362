//! Every way in answers each request as a layer over a ring does. The extractor is in `authenticator`, a layer that hands its
//! refusals on in `deferring`, and both are in the fuzz target for heads.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tower::util::{BoxCloneService, option_layer};
use tower::{Layer, ServiceExt};
use tower_api_key::store::{KeyStore, Lookup, MemoryStore, TableKey};
use tower_api_key::testing::{self, Matrix, MatrixKeys, WantedKey};
use tower_api_key::{
    Access, ApiKeyLayer, Grant, KeyDigest, KeyRing, KeyState, OldKey, Owner, Realm, RejectionKind,
    RouteTable, SameBodyLayer, SecretKey, Source, Subject, VerifiedKey, Verifier,
};

use crate::authenticator::requests;
use crate::sources::x_api_key;
use crate::support::{Inner, send};

type Stack = BoxCloneService<Request<()>, Response<Full<Bytes>>, Infallible>;

/// Switched on by a setting.
fn switched(layer: ApiKeyLayer, inner: &Inner) -> Stack {
    let layer = option_layer(Some(SameBodyLayer::new(layer)));
    layer.layer(inner.clone()).boxed_clone()
}

/// The keys of the ring as rows of a table.
fn over_a_table(store: &MemoryStore, realm: &Realm) -> Verifier {
    let (store, of_ring) = (store.clone(), realm.clone());
    let table = move |digest: KeyDigest| {
        let Lookup::Ready(found) = store.find(&of_ring, &digest) else {
            panic!("it answers at once");
        };
        async move {
            let row = found?.map(|it| {
                let row = TableKey::new(it.id(), *it.digest(), it.subject().clone());
                let row = row.scopes(it.scopes());
                match it.revocation() {
                    Some(revocation) => row.revoked_at(revocation.at),
                    None => row,
                }
            });
            Ok(row)
        }
    };
    let builder = Verifier::builder(realm.clone());
    let builder = builder.owners(async |_: Subject| Ok(Some(Owner::unrestricted())));
    builder.build(table).unwrap()
}

/// What the handler saw last: the headers, and whose key it was.
fn seen(inner: &Inner) -> Vec<(HeaderMap, Option<String>)> {
    let Some(parts) = (inner.calls() > 0).then(|| inner.last()) else {
        return Vec::new();
    };
    let key = parts.extensions.get::<VerifiedKey>();
    let key = key.map(|key| format!("{} {} {}", key.subject(), key.id(), key.scopes()));
    vec![(parts.headers, key)]
}

#[tokio::test]
async fn r05_r09_r10_r11_r12_r25_r26_every_way_in_answers_as_a_layer_over_a_ring() {
    let store = MemoryStore::new();
    let builder = || KeyRing::builder("acme").realm("orders");
    let ring = builder().build(store.clone()).unwrap();
    let owned = builder().owners(async |_: Subject| Ok(Some(Owner::unrestricted())));
    let asking = builder().unknown_keys(async |_: SecretKey| Ok(None));
    let token = Source::scheme("Token").unwrap();
    let sources = [x_api_key(), token, Source::authorization_raw()];
    let table = RouteTable::builder()
        .get("/", Access::AnyKey)
        .get("/orders", Access::Public)
        .get("/admin", "admin");
    let table = table.build().unwrap();
    let settings: [(&str, &dyn Fn(ApiKeyLayer) -> ApiKeyLayer); 5] = [
        ("bare", &|layer| layer),
        ("sources", &|layer| layer.sources(sources.clone())),
        ("optional", &|layer| layer.optional()),
        ("required", &|layer| layer.require("read")),
        ("routes", &|layer| layer.routes(table.clone())),
    ];
    let layers: [(&str, ApiKeyLayer); 5] = [
        ("a setting", ApiKeyLayer::new(ring.clone())),
        ("a verifier", ApiKeyLayer::new(Verifier::from(ring.clone()))),
        (
            "owners",
            ApiKeyLayer::new(owned.build(store.clone()).unwrap()),
        ),
        (
            "asking",
            ApiKeyLayer::new(asking.build(store.clone()).unwrap()),
        ),
        (
            "a table",
            ApiKeyLayer::new(over_a_table(&store, ring.realm())),
        ),
    ];
    let planted = testing::verified(Grant::new("mallory").scopes("admin"));
    for (name, set) in settings {
        for request in requests(&ring).await {
            let of_ring = Inner::new();
            let plain = set(ApiKeyLayer::new(ring.clone())).layer(of_ring.clone());
            let one = send(&plain, request.clone()).await;
            for (way, layer) in &layers {
                let what = format!("{way}, {name}: {request:?}");
                // The keys of a table have no shape, by which they would be known in a wrong place.
                let by_shape = [RejectionKind::KeyInUrl, RejectionKind::KeyMisplaced];
                if *way == "a table" && one.kind().is_some_and(|it| by_shape.contains(&it)) {
                    continue;
                }
                let (inner, mut request) = (Inner::new(), request.clone());
                request.extensions_mut().insert(planted.clone());
                let other = send(&switched(set(layer.clone()), &inner), request).await;
                assert_eq!(other.status, one.status, "{what}");
                assert_eq!(other.headers, one.headers, "{what}");
                assert_eq!(other.body, one.body, "{what}");
                assert_eq!(other.kind(), one.kind(), "{what}");
                assert_eq!(inner.calls(), of_ring.calls(), "{what}");
                assert_eq!(seen(&inner), seen(&of_ring), "{what}");
            }
        }
    }
}

/// Keys of an old system, which their first use moves into the ring.
#[tokio::test]
async fn keys_that_move_at_first_use_pass_the_matrix() {
    let ring = KeyRing::builder("acme").accept_imports();
    let ring = ring.build(MemoryStore::new()).unwrap();
    let (of_test, count) = (ring.clone(), AtomicUsize::new(0));
    let give = move |wanted: WantedKey| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (ring, text) = (
            of_test.clone(),
            format!("k7Zr01mLw8Vx6pTe2NdUu71Bc9-{number}"),
        );
        async move {
            // An old system has no date on which a key has ended.
            if wanted.state() == KeyState::Expired {
                return Ok(None);
            }
            let grant = Grant::new(format!("user-{number}")).scopes(wanted.scopes());
            let grant = grant.expires_in(Duration::from_hours(1));
            let moved = ring.import_or_get(grant, &OldKey::plaintext(&text)).await?;
            if wanted.state() == KeyState::Revoked {
                let reason = tower_api_key::RevocationReason::KeyCompromise;
                ring.revoke(moved.record().id(), reason).await?;
            }
            Ok(Some(text))
        }
    };
    let table = RouteTable::builder()
        .get("/me", Access::AnyKey)
        .put("/packages", "publish");
    let table = table.build().unwrap();
    let layer = ApiKeyLayer::new(ring.clone()).routes(table.clone());
    let stack = switched(layer, &Inner::new());
    let keys = MatrixKeys::given(ring.into(), give);
    Matrix::new(keys, table).check(stack).await.unwrap();
}
