//! A key in a place that must not hold one is found by its value, hidden there, and reported.

use http::header::{AUTHORIZATION, HeaderName, REFERER};
use http::{HeaderValue, Request};
use tower_api_key::{
    ApiKeyLayer, EventKind, Issued, KeyId, KeyPlace, KeyRing, ManualClock, RejectionKind, Source,
};

use crate::events::{Recorder, Told, nameless, rejected};
use crate::outcome::{
    IN_ANOTHER_HEADER, IN_AUTHORIZATION, IN_FORWARDED_URL, MISSING, Outcome, PASSES, REPEATED,
    check,
};
use crate::support::{ObservedStore, START, X_API_KEY, issue, request};

pub(crate) const FORWARDED: [HeaderName; 11] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-forwarded-url"),
    HeaderName::from_static("x-forwarded-path"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-replaced-path"),
    HeaderName::from_static("x-envoy-original-path"),
    HeaderName::from_static("x-auth-request-redirect"),
];

/// A ring with an observer, with a key in a wrong place and one to send properly.
pub(crate) struct Scene {
    pub(crate) ring: KeyRing,
    store: ObservedStore,
    pub(crate) recorder: Recorder,
    stray: Issued,
    pub(crate) proper: Issued,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (store, recorder) = (ObservedStore::new(), Recorder::default());
        let ring = KeyRing::builder("acme")
            .realm("orders")
            .clock(ManualClock::new(START))
            .observer(recorder.clone())
            .build(store.clone())
            .unwrap();
        let (stray, proper) = (issue(&ring, "read").await, issue(&ring, "read").await);
        recorder.take();
        Self {
            ring,
            store,
            recorder,
            stray,
            proper,
        }
    }

    pub(crate) fn stray(&self) -> &str {
        self.stray.secret().expose()
    }

    pub(crate) fn id(&self) -> KeyId {
        self.stray.record().id()
    }

    pub(crate) fn beside_the_proper(&self, mut request: Request<()>) -> Request<()> {
        let value = HeaderValue::from_str(self.proper.secret().expose()).unwrap();
        request.headers_mut().insert(X_API_KEY, value);
        request
    }

    /// Refused without a look-up, reported by the claimed id, and never disclosed.
    async fn assert_refused(
        &self,
        layer: &ApiKeyLayer,
        request: Request<()>,
        place: KeyPlace,
        expected: Outcome,
    ) {
        let sent = format!("{request:?}");
        let lookups = self.store.lookups();
        let (response, _) = check(layer, request, expected).await;
        let rejection = response.rejection.as_ref().unwrap();
        assert_eq!(rejection.key_id(), None, "{sent}");
        assert_eq!(rejection.claimed_key_id(), Some(self.id()), "{sent}");
        assert_eq!(
            self.recorder.take(),
            refusal_for(place, self.id()),
            "{sent}"
        );
        assert_eq!(self.store.lookups(), lookups, "{sent}");
        let told = format!("{:?} {:?} {rejection:?}", response.headers, response.body);
        let secret = &self.stray()[18..];
        assert!(!told.contains(secret), "{told}");
    }
}

/// The two events of a request that is refused for a key in this place.
fn refusal_for(place: KeyPlace, id: KeyId) -> Vec<Told> {
    let (event, kind) = match place {
        KeyPlace::Authorization | KeyPlace::OtherHeader => {
            (EventKind::KeyMisplaced, RejectionKind::KeyMisplaced)
        }
        _ => (EventKind::KeyInUrl, RejectionKind::KeyInUrl),
    };
    [event, rejected(kind)]
        .map(|kind| Told {
            place: Some(place),
            ..nameless(kind, Some(id))
        })
        .to_vec()
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for three in text.as_bytes().chunks(3) {
        let mut bits = 0;
        for at in 0..3 {
            bits = bits << 8 | usize::from(*three.get(at).unwrap_or(&0));
        }
        for at in 0..4 {
            let digit = ALPHABET[bits >> (18 - 6 * at) & 63];
            encoded.push(if at > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    encoded
}

fn encoded(key: &str) -> String {
    key.replace('_', "%5F")
}

#[tokio::test]
async fn r06_a_key_in_authorization_is_found_whatever_the_scheme() {
    let scene = Scene::new().await;
    let own = ApiKeyLayer::new(scene.ring.clone());
    let key = scene.stray();
    let values = [
        key.to_owned(),
        format!("token {key}"),
        format!("Bearer {key}"),
        format!("ApiKey {key}"),
        format!("Bearer{key}"),
        format!("Basic {key}"),
        format!("Token token=\"{key}\""),
        format!("Digest username={}", encoded(key)),
        format!("Basic {}", base64(&format!("{key}:"))),
        format!("basic {}", base64(&format!("alice:{key}"))),
        format!("BASIC  {}", base64(key)),
    ];
    for value in &values {
        let stray = || request([(AUTHORIZATION, value)]);
        for layer in [&own, &own.clone().optional(), &own.clone().require("read")] {
            for request in [stray(), scene.beside_the_proper(stray())] {
                let place = KeyPlace::Authorization;
                scene
                    .assert_refused(layer, request, place, IN_AUTHORIZATION)
                    .await;
            }
        }
    }

    // Under a scheme that is read it is the credential, and there is no other.
    let bearer = own.clone().sources([Source::bearer()]).optional();
    check(&bearer, request([(AUTHORIZATION, &values[2])]), PASSES).await;
    scene.recorder.take();
    for value in values.iter().filter(|value| **value != values[2]) {
        let expected = (
            400,
            Some(RejectionKind::KeyMisplaced),
            "API key in Authorization: send it in Authorization: Bearer",
        );
        let stray = request([(AUTHORIZATION, value)]);
        scene
            .assert_refused(&bearer, stray, KeyPlace::Authorization, expected)
            .await;
    }
}

#[tokio::test]
async fn what_is_no_key_of_the_ring_in_authorization_is_the_business_of_others() {
    let scene = Scene::new().await;
    let own = ApiKeyLayer::new(scene.ring.clone());
    let mut mistyped = scene.stray().to_owned();
    let last = if mistyped.ends_with('Q') { "R" } else { "Q" };
    mistyped.replace_range(mistyped.len() - 1.., last);
    for value in [
        "Basic YTpi".to_owned(),
        format!("Basic {}", base64(&"a:b".repeat(40))),
        format!("Basic {}", "=".repeat(80)),
        format!("Bearer {}", "e30.".repeat(100)),
        format!("token {mistyped}"),
        format!("token {}", scene.stray().replacen("acme", "beta", 1)),
    ] {
        let other = || request([(AUTHORIZATION, &value)]);
        check(&own, other(), MISSING).await;
        let optional = own.clone().optional();
        for (layer, request) in [
            (&optional, other()),
            (&own, scene.beside_the_proper(other())),
        ] {
            let (_, inner) = check(layer, request, PASSES).await;
            assert_eq!(inner.last().headers[AUTHORIZATION], value);
        }
    }
}

#[tokio::test]
async fn r05_a_key_in_a_url_that_a_proxy_hands_on_is_refused() {
    let scene = Scene::new().await;
    let own = ApiKeyLayer::new(scene.ring.clone());
    let key = scene.stray();
    for name in FORWARDED {
        for value in [
            format!("/orders/{key}"),
            format!("https://example.com/?api_key={key}&a=b"),
            format!("/?k={}", encoded(key)),
            format!("for=192.0.2.1;path=\"/?{key}\""),
        ] {
            let stray = || request([(&name, &value)]);
            for layer in [&own, &own.clone().optional()] {
                for request in [stray(), scene.beside_the_proper(stray())] {
                    let place = KeyPlace::ForwardedUrl;
                    scene
                        .assert_refused(layer, request, place, IN_FORWARDED_URL)
                        .await;
                }
            }
        }
        let harmless = format!("/orders?{}", "x".repeat(100));
        let harmless = scene.beside_the_proper(request([(&name, harmless)]));
        check(&own, harmless, PASSES).await;
        scene.recorder.take();
        let refused = Source::header(name.clone()).unwrap_err();
        let invalid = tower_api_key::ErrorKind::InvalidCarrier;
        assert_eq!(refused.kind(), invalid, "{name}");
    }
}

#[tokio::test]
async fn r06_no_header_takes_a_key_past_an_optional_layer() {
    let scene = Scene::new().await;
    let own = ApiKeyLayer::new(scene.ring.clone());
    let key = scene.stray();
    for (name, value) in [
        ("cookie", format!("a=b; key={key}")),
        ("cookie", format!("key={}", encoded(key))),
        ("proxy-authorization", format!("Bearer {key}")),
        (
            "proxy-authorization",
            format!("Basic {}", base64(&format!("{key}:"))),
        ),
        ("x-api-keys", key.to_owned()),
        ("user-agent", format!("x{key}y")),
        ("origin", format!("https://{key}")),
        (
            "x-a-header-with-a-name-of-more-than-sixty-four-characters-in-all-of-it",
            key.to_owned(),
        ),
    ] {
        let name = HeaderName::from_static(name);
        let stray = || request([(&name, &value)]);
        let place = KeyPlace::OtherHeader;
        let optional = own.clone().optional();
        scene
            .assert_refused(&optional, stray(), place, IN_ANOTHER_HEADER)
            .await;
        let mut empty = stray();
        empty
            .headers_mut()
            .insert(X_API_KEY, HeaderValue::from_static(""));
        scene
            .assert_refused(&optional, empty, place, IN_ANOTHER_HEADER)
            .await;
        // A request that goes no further, or has its own key, is not searched.
        check(&own, stray(), MISSING).await;
        check(&own, scene.beside_the_proper(stray()), PASSES).await;
        scene.recorder.take();
    }
}

#[tokio::test]
async fn r06_a_misplaced_key_is_reported_beside_an_ambiguity_in_either_order() {
    let scene = Scene::new().await;
    let own = ApiKeyLayer::new(scene.ring.clone());
    let twice = [(X_API_KEY, "a".to_owned()), (X_API_KEY, "b".to_owned())];
    let referer = (REFERER, format!("https://example.com/{}", scene.stray()));
    for (stray, place, expected) in [
        (
            (AUTHORIZATION, scene.stray().to_owned()),
            KeyPlace::Authorization,
            IN_AUTHORIZATION,
        ),
        (
            (FORWARDED[1].clone(), scene.stray().to_owned()),
            KeyPlace::ForwardedUrl,
            IN_FORWARDED_URL,
        ),
    ] {
        for headers in [
            [&twice[..], std::slice::from_ref(&stray)].concat(),
            [std::slice::from_ref(&stray), &twice[..]].concat(),
        ] {
            scene
                .assert_refused(&own, request(headers), place, expected)
                .await;
        }
    }
    for headers in [
        [&twice[..], std::slice::from_ref(&referer)].concat(),
        [std::slice::from_ref(&referer), &twice[..]].concat(),
    ] {
        check(&own, request(headers), REPEATED).await;
        let expected = [
            in_referer(scene.id()),
            nameless(rejected(RejectionKind::Ambiguous), None),
        ];
        assert_eq!(scene.recorder.take(), expected);
    }
}

pub(crate) fn in_referer(id: KeyId) -> Told {
    Told {
        place: Some(KeyPlace::Referer),
        ..nameless(EventKind::KeyInUrl, Some(id))
    }
}
