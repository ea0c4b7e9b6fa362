//! A key in a URI, and the presented one in `Referer`, is refused before the store is asked,
//! reported by the id that it claims, and never disclosed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{AUTHORIZATION, CONNECTION, HeaderName, REFERER};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower::Layer;
use tower_api_key::{ApiKeyLayer, KeyId, KeyRing, RejectionKind, RevocationReason, Source};

use crate::keys::checksum;
use crate::outcome::{IN_REFERER, IN_URI, INVALID, MISSING, Outcome, PASSES, check};
use crate::support::{
    IMPORTED, Inner, ObservedStore, Whole, X_API_KEY, as_grpc, importing_ring, issue, request, send,
};

/// A ring over a store that counts, a key to leak, and another key to send properly.
struct Scene {
    ring: KeyRing,
    store: ObservedStore,
    leaked: String,
    leaked_id: KeyId,
    proper: String,
}

impl Scene {
    async fn new() -> Self {
        let store = ObservedStore::new();
        let ring = importing_ring(store.clone());
        let leaked = issue(&ring, "read").await;
        Self {
            leaked_id: leaked.record().id(),
            leaked: leaked.into_secret().expose().to_owned(),
            proper: issue(&ring, "read").await.secret().expose().to_owned(),
            ring,
            store,
        }
    }

    /// No response may contain the key as it was sent, its secret part or its id.
    #[track_caller]
    fn assert_untold(&self, response: &Whole, sent: &str) {
        let secret = self.leaked.rsplit('_').next().unwrap();
        let mut told = format!("{:?}", response.headers).into_bytes();
        told.extend(&response.body);
        let told = String::from_utf8(told).unwrap();
        for canary in [
            &percent_encoded(&self.leaked),
            secret,
            self.leaked_id.as_str(),
        ] {
            assert!(!told.contains(canary), "{sent}: {told}");
        }
        let rejection = format!("{:?}", response.rejection);
        assert!(!rejection.contains(secret), "{sent}: {rejection}");
    }

    /// Refused without a look-up, whatever else the request has and whatever the mode is.
    async fn assert_refused(&self, leak: impl Fn() -> Request<()>, expected: Outcome) {
        let layer = ApiKeyLayer::new(self.ring.clone());
        let bearer = layer.clone().sources([Source::bearer()]);
        let beside = |key: &str| {
            let mut request = leak();
            let value = HeaderValue::from_str(key).unwrap();
            request.headers_mut().insert(X_API_KEY, value);
            request
        };
        for (layer, request) in [
            (&layer, leak()),
            (&layer, beside(&self.proper)),
            (&layer, beside(&self.leaked)),
            (&layer, beside("nonsense")),
            (&bearer, leak()),
            (&layer.clone().optional(), leak()),
            (&layer.clone().optional(), beside(&self.proper)),
            (&layer.clone().forward_credential(), beside(&self.proper)),
            (&layer.clone().require("write"), beside(&self.proper)),
        ] {
            let sent = format!("{request:?}");
            let (response, _) = check(layer, request, expected).await;
            let rejection = response.rejection.as_ref().unwrap();
            assert_eq!(rejection.claimed_key_id(), Some(self.leaked_id), "{sent}");
            assert_eq!(rejection.key_id(), None, "{sent}");
            assert_eq!(rejection.cause(), None, "{sent}");
            self.assert_untold(&response, &sent);
        }
        assert_eq!(self.store.lookups(), 0, "{:?}", leak());
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| {
        format!("{encoded}%{byte:02x}")
    })
}

fn at(uri: &str) -> Request<()> {
    let uri: Uri = uri.parse().unwrap_or_else(|error| panic!("{uri}: {error}"));
    Request::builder().uri(uri).body(()).unwrap()
}

fn referred_by(referer: impl AsRef<[u8]>) -> Request<()> {
    request([(REFERER, referer)])
}

#[tokio::test]
async fn r05_a_key_in_the_target_is_refused_and_reported_by_id() {
    let scene = Scene::new().await;
    let key = &scene.leaked;
    let encoded = percent_encoded(key);
    let targets = [
        format!("/{key}"),
        format!("/keys/{key}/orders"),
        format!("/x{key}y"),
        format!("/?api_key={key}"),
        format!("/?a=b&api_key={key}&c=d"),
        format!("/?{key}"),
        format!("/?key=acme_&key={key}"),
        format!("/?key=acme_000000000000_&key={key}"),
        format!("/?key=%zz%4&key={key}&%"),
        format!("/?api_key={encoded}"),
        format!("/?api_key={}", encoded.to_uppercase()),
        format!("/?api_key={}", key.replace('_', "%5F")),
        format!("/?api_key={}", key.replace('_', "%5f")),
        format!("/?api_key={}", key.replacen("acme", "%61cme", 1)),
        format!("/%zz%{encoded}"),
        format!("/{encoded}/orders"),
        format!("//{key}"),
        format!("/;key={key}"),
        format!("http://example.com/{key}"),
        format!("http://example.com?key={key}"),
        format!("http://example.com/?key={encoded}"),
        format!("https://{key}@example.com/"),
        format!("https://{key}:@example.com/"),
        format!("https://alice:{key}@example.com/"),
        format!("https://alice:{}@example.com/", key.replace('_', "%5F")),
        format!("https://{key}/"),
        format!("https://{key}.example.com:8443/orders"),
        format!("{key}:443"),
        format!("{key}.example.com"),
        format!("{key}@example.com:443"),
    ];
    for target in targets {
        for method in [Method::GET, Method::OPTIONS, Method::CONNECT] {
            let leak = || {
                let mut request = at(&target);
                *request.method_mut() = method.clone();
                request
            };
            scene.assert_refused(leak, IN_URI).await;
        }
    }
}

#[tokio::test]
async fn r05_r34_a_key_in_the_referer_is_refused_if_it_is_the_one_presented() {
    let scene = Scene::new().await;
    let key = &scene.leaked;
    let layer = ApiKeyLayer::new(scene.ring.clone());
    let bearer = layer.clone().sources([Source::bearer()]);
    let referers = [
        key.clone().into_bytes(),
        format!("https://example.com/?api_key={key}").into_bytes(),
        format!("https://example.com/{key}#top").into_bytes(),
        format!("https://example.com/#{key}").into_bytes(),
        format!("https://{key}@example.com/").into_bytes(),
        format!("https://example.com/?k={}", percent_encoded(key)).into_bytes(),
        format!("https://example.com/?k={}", key.replace('_', "%5F")).into_bytes(),
        format!("https://example.com/?k={}{key}%20", scene.proper).into_bytes(),
        [b"https://\xff/", key.as_bytes(), b"\x80"].concat(),
    ];
    for referer in referers {
        let repeated = || {
            let mut request = referred_by("https://example.com/");
            let leak = HeaderValue::from_bytes(&referer).unwrap();
            request.headers_mut().append(REFERER, leak);
            request
        };
        for leak in [referred_by(&referer), repeated()] {
            for layer in [
                &layer,
                &layer.clone().optional(),
                &layer.clone().forward_credential(),
                &layer.clone().require("write"),
            ] {
                let leak = presenting(leak.clone(), X_API_KEY, key.clone());
                let (response, _) = check(layer, leak, IN_REFERER).await;
                let rejection = response.rejection.as_ref().unwrap();
                assert_eq!(rejection.claimed_key_id(), Some(scene.leaked_id));
                scene.assert_untold(&response, "the key itself");
            }
            let as_bearer = presenting(leak.clone(), AUTHORIZATION, format!("Bearer  {key}"));
            let lookups = scene.store.lookups();
            check(&bearer, as_bearer, IN_REFERER).await;
            assert_eq!(scene.store.lookups(), lookups);

            check(&layer, leak.clone(), MISSING).await;
            check(&layer.clone().optional(), leak.clone(), PASSES).await;
            let nonsense = presenting(leak.clone(), X_API_KEY, "nonsense".to_owned());
            check(&layer, nonsense, INVALID).await;
        }
    }
    let leak = referred_by(format!("https://example.com/{key}"));
    let lookups = scene.store.lookups();
    let proper = presenting(leak, X_API_KEY, scene.proper.clone());
    check(&layer, proper, PASSES).await;
    assert_eq!(scene.store.lookups(), lookups + 1);
}

fn presenting(mut request: Request<()>, name: HeaderName, value: String) -> Request<()> {
    let value = HeaderValue::try_from(value).unwrap();
    request.headers_mut().insert(name, value);
    request
}

/// Revoked or unknown: the owner must learn that the key leaked, not whether it is valid. The
/// checksum excludes text that only looks like a key.
#[tokio::test]
async fn r05_r34_a_right_checksum_is_enough_and_a_shape_is_not() {
    let mut scene = Scene::new().await;
    let layer = ApiKeyLayer::new(scene.ring.clone());
    let target = format!("/?key={}", scene.leaked);
    let reason = RevocationReason::KeyCompromise;
    scene.ring.revoke(scene.leaked_id, reason).await.unwrap();
    scene.assert_refused(|| at(&target), IN_URI).await;

    // The first character of the secret and the last of the checksum.
    let mut mistyped = vec![format!("acme_000000000000_{}", "z".repeat(32))];
    for at_byte in [18, 49] {
        let old = &scene.leaked[at_byte..=at_byte];
        let new = if old == "Q" { "R" } else { "Q" };
        let mut text = scene.leaked.clone();
        text.replace_range(at_byte..=at_byte, new);
        mistyped.push(text);
    }
    for text in mistyped {
        let proper = scene.proper.clone();
        for harmless in [
            at(&format!("/?key={text}")),
            request([(REFERER, &text)]),
            request([("x-original-uri", &text)]),
            request([("cookie", &text)]),
        ] {
            check(&layer, harmless.clone(), MISSING).await;
            check(&layer.clone().optional(), harmless.clone(), PASSES).await;
            let proper = presenting(harmless, X_API_KEY, proper.clone());
            check(&layer, proper, PASSES).await;
        }
    }

    let body = format!("acme_000000000000_{}", "z".repeat(26));
    scene.leaked_id = "000000000000".parse().unwrap();
    scene.leaked = format!("{body}{}", checksum(body.as_bytes()));
    scene.store = ObservedStore::new();
    scene.ring = importing_ring(scene.store.clone());
    let target = format!("/?key={}", scene.leaked);
    scene.assert_refused(|| at(&target), IN_URI).await;
}

#[tokio::test]
async fn r05_what_is_not_shaped_like_a_key_of_the_ring_is_none_of_its_business() {
    let scene = Scene::new().await;
    let layer = ApiKeyLayer::new(scene.ring.clone());
    let key = &scene.leaked;
    let rest = key.strip_prefix("acme").unwrap();
    let harmless = [
        format!("beta{rest}"),
        format!("acm{rest}"),
        format!("ACME{rest}"),
        format!("acme-{}", &rest[1..]),
        format!("acme{}", &rest[1..]),
        format!("acme_{rest}"),
        key[..key.len() - 1].to_owned(),
        format!("{}-{}", &key[..30], &key[31..]),
        format!("{}-{}", &key[..17], &key[18..]),
        format!("{}_{}", &key[..10], &key[11..]),
        format!("{}/{}", &key[..20], &key[20..]),
        format!("{}%20{}", &key[..20], &key[21..]),
        percent_encoded(&key[1..]),
        IMPORTED.replace(['/', '='], "."),
        "acme_".repeat(40),
        "%61".repeat(60),
    ];
    for text in harmless {
        for harmless in [
            at(&format!("/{text}")),
            at(&format!("/?key={text}")),
            referred_by(format!("https://example.com/?key={text}")),
        ] {
            let lookups = scene.store.lookups();
            check(&layer, harmless.clone(), MISSING).await;
            assert_eq!(scene.store.lookups(), lookups, "{text}");
            let mut proper = harmless;
            let value = HeaderValue::from_str(&scene.proper).unwrap();
            proper.headers_mut().insert(X_API_KEY, value);
            check(&layer, proper, PASSES).await;
            assert_eq!(scene.store.lookups(), lookups + 1, "{text}");
        }
    }
    // A fragment never leaves a client, and `http` keeps none.
    check(&layer, at(&format!("/#{key}")), MISSING).await;
}

/// The owner must learn of a leak, whatever else is wrong with the request.
#[tokio::test]
async fn r05_a_leak_is_reported_beside_an_ambiguity() {
    let scene = Scene::new().await;
    let layer = ApiKeyLayer::new(scene.ring.clone());
    let ambiguities = [
        vec![(X_API_KEY, "a".to_owned()), (X_API_KEY, "b".to_owned())],
        vec![(HeaderName::from_static("x_api_key"), "a".to_owned())],
        vec![(CONNECTION, "x-api-key".to_owned())],
    ];
    for ambiguity in ambiguities {
        let mut leaking = request(ambiguity);
        *leaking.uri_mut() = format!("/{}", scene.leaked).parse().unwrap();
        let (response, _) = check(&layer, leaking, IN_URI).await;
        let claimed = response.rejection.unwrap().claimed_key_id();
        assert_eq!(claimed, Some(scene.leaked_id));
    }
}

/// The prefix of such a ring begins again at its own end, so a search that continues after a false
/// start steps over the key.
#[tokio::test]
async fn r05_a_prefix_that_overlaps_itself_hides_no_key() {
    for (prefix, false_start) in [("a_a", "a_"), ("live_live", "live_"), ("x1_x1_x1", "x1_")] {
        let ring = KeyRing::builder(prefix)
            .build(ObservedStore::new())
            .unwrap();
        let issued = issue(&ring, "read").await;
        let layer = ApiKeyLayer::new(ring);
        for before in [
            "",
            false_start,
            &false_start.repeat(2),
            &false_start.repeat(3),
        ] {
            let leak = format!("/{before}{}", issued.secret().expose());
            let (response, _) = check(&layer, at(&leak), IN_URI).await;
            let reported = response.rejection.unwrap().claimed_key_id();
            assert_eq!(reported, Some(issued.record().id()), "{leak}");
            let presented = issued.secret().expose().to_owned();
            let leak_of_it = presenting(referred_by(&leak), X_API_KEY, presented);
            let (response, _) = check(&layer, leak_of_it, IN_REFERER).await;
            let reported = response.rejection.unwrap().claimed_key_id();
            assert_eq!(reported, Some(issued.record().id()), "{leak}");
        }
    }
}

#[tokio::test]
async fn r05_no_form_of_response_tells_the_key() {
    let scene = Scene::new().await;
    let key = &scene.leaked;
    let reported = Arc::new(AtomicUsize::new(0));
    let layer = ApiKeyLayer::new(scene.ring.clone());
    let counting = {
        let (reported, id) = (Arc::clone(&reported), scene.leaked_id);
        layer.clone().responder(move |rejection| {
            assert_eq!(rejection.claimed_key_id(), Some(id));
            reported.fetch_add(1, Ordering::SeqCst);
            let mut response = Response::new(format!("{rejection} {rejection:?}").into());
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        })
    };
    let leaks = [
        at(&format!("/?key={key}")),
        presenting(referred_by(key), X_API_KEY, key.clone()),
    ];
    for leak in leaks {
        let inner = Inner::new();
        let response = send(&counting.layer(inner.clone()), leak.clone()).await;
        assert_eq!(response.status, StatusCode::IM_A_TEAPOT);
        let secret = key.rsplit('_').next().unwrap();
        let body = String::from_utf8(response.body.to_vec()).unwrap();
        assert!(!body.contains(secret), "{body}");

        let grpc = as_grpc(leak, "application/grpc");
        for layer in [&layer, &counting] {
            let response = send(&layer.layer(inner.clone()), grpc.clone()).await;
            assert_eq!(response.status, StatusCode::OK);
            assert_eq!(response.values("grpc-status"), ["3"]);
            assert_eq!(response.kind(), Some(RejectionKind::KeyInUrl));
            assert_eq!(response.body, "");
            scene.assert_untold(&response, "gRPC");
        }
        assert_eq!(inner.calls(), 0);
    }
    assert_eq!(reported.load(Ordering::SeqCst), 2);
    assert_eq!(scene.store.lookups(), 0);
}
