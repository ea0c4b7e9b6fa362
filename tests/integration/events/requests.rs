//! The events of requests.

use std::time::Duration;

use http::header::REFERER;
use http::{Request, StatusCode};
use tower::Layer;
use tower_api_key::{
    ApiKeyLayer, EventKind, Grant, InvalidCause, KeyPlace, KeyRing, ManualClock, RejectionKind,
    RevocationReason,
};

use super::{Later, Recorder, Told, about, invalid, nameless, rejected};
use crate::stores::{Outcome, ScriptedStore};
use crate::support::{Inner, START, X_API_KEY, issue, key, request, ring, send, with_key};

pub(super) type Case = (&'static str, Request<()>, Vec<Told>);

const SECONDS: Duration = Duration::from_secs(10);

pub(super) struct Fixture {
    pub(super) ring: KeyRing,
    pub(super) recorder: Recorder,
    store: ScriptedStore,
    clock: ManualClock,
}

pub(super) fn fixture(later: bool) -> Fixture {
    let recorder = Recorder::default();
    let store = ScriptedStore::default();
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .observer(recorder.clone());
    #[cfg(feature = "metrics")]
    let builder = builder.metrics();
    let ring = if later {
        builder.build(Later {
            store: store.clone(),
        })
    } else {
        builder.build(store.clone())
    };
    Fixture {
        ring: ring.unwrap(),
        recorder,
        store,
        clock,
    }
}

/// A request for every outcome of a layer that requires `read`, and its event.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) async fn cases(fixture: &Fixture) -> (Vec<Case>, Vec<String>) {
    let ring = &fixture.ring;
    let valid = issue(ring, "read").await;
    let (record, secret) = (valid.record(), valid.secret().expose());
    let poor = issue(ring, "list").await;
    let unknown = issue(&self::ring(), "read").await;
    let foreign = issue(ring, "read").await;
    fixture.store.edit(foreign.record().id(), |parts| {
        parts.realm = "billing".parse().unwrap();
    });
    let expired = ring
        .issue(Grant::new("bob").expires_in(SECONDS))
        .await
        .unwrap();
    let tomorrow = START.checked_add(Duration::from_hours(24)).unwrap();
    let early = ring.issue(Grant::new("carol").not_before(tomorrow));
    let early = early.await.unwrap();
    let revoked = issue(ring, "read").await;
    ring.revoke(revoked.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let replaced = issue(ring, "read").await;
    ring.rotate_now(replaced.record().id()).await.unwrap();
    fixture.clock.advance(SECONDS);
    fixture.recorder.take();

    let claimed = Some(record.id());
    let stray = |place, kind| Told {
        place: Some(place),
        ..nameless(kind, claimed)
    };
    let in_url = |place| {
        let kinds = [EventKind::KeyInUrl, rejected(RejectionKind::KeyInUrl)];
        kinds.map(|kind| stray(place, kind)).to_vec()
    };
    let uri = format!("/?k={secret}");
    let cases = vec![
        (
            "accepted",
            with_key(secret),
            vec![about(EventKind::Authenticated, record)],
        ),
        (
            "missing",
            Request::new(()),
            vec![nameless(rejected(RejectionKind::Missing), None)],
        ),
        (
            "ambiguous",
            request([(X_API_KEY, secret), (X_API_KEY, secret)]),
            vec![nameless(rejected(RejectionKind::Ambiguous), None)],
        ),
        (
            "in the URI",
            Request::builder().uri(uri).body(()).unwrap(),
            in_url(KeyPlace::Uri),
        ),
        (
            "in Referer",
            request([
                (X_API_KEY, secret.to_owned()),
                (REFERER, format!("https://acme.test/{secret}")),
            ]),
            in_url(KeyPlace::Referer),
        ),
        (
            "another in Referer",
            request([
                (X_API_KEY, poor.secret().expose().to_owned()),
                (REFERER, format!("https://acme.test/{secret}")),
            ]),
            vec![
                stray(KeyPlace::Referer, EventKind::KeyInUrl),
                about(rejected(RejectionKind::InsufficientScope), poor.record()),
            ],
        ),
        (
            "in a forwarded URL",
            request([("x-original-uri", format!("/?{secret}"))]),
            in_url(KeyPlace::ForwardedUrl),
        ),
        (
            "in Authorization",
            request([("authorization", format!("token {secret}"))]),
            [
                EventKind::KeyMisplaced,
                rejected(RejectionKind::KeyMisplaced),
            ]
            .map(|kind| stray(KeyPlace::Authorization, kind))
            .to_vec(),
        ),
        (
            "malformed",
            with_key("nonsense"),
            vec![nameless(invalid(InvalidCause::Malformed), None)],
        ),
        (
            "unknown",
            with_key(unknown.secret().expose()),
            vec![nameless(
                invalid(InvalidCause::Unknown),
                Some(unknown.record().id()),
            )],
        ),
        (
            "other realm",
            with_key(foreign.secret().expose()),
            vec![nameless(
                invalid(InvalidCause::OtherRealm),
                Some(foreign.record().id()),
            )],
        ),
        (
            "not yet valid",
            with_key(early.secret().expose()),
            vec![about(invalid(InvalidCause::NotYetValid), early.record())],
        ),
        (
            "expired",
            with_key(expired.secret().expose()),
            vec![about(invalid(InvalidCause::Expired), expired.record())],
        ),
        (
            "revoked",
            with_key(revoked.secret().expose()),
            vec![about(invalid(InvalidCause::Revoked), revoked.record())],
        ),
        (
            "replaced",
            with_key(replaced.secret().expose()),
            vec![
                about(EventKind::Reuse, replaced.record()),
                about(invalid(InvalidCause::Replaced), replaced.record()),
            ],
        ),
        (
            "lacking the scope",
            with_key(poor.secret().expose()),
            vec![about(
                rejected(RejectionKind::InsufficientScope),
                poor.record(),
            )],
        ),
    ];
    let secrets = [
        &valid, &poor, &unknown, &foreign, &expired, &early, &revoked, &replaced,
    ]
    .map(|issued| issued.secret().expose().to_owned())
    .to_vec();
    (cases, secrets)
}

#[tokio::test]
async fn each_outcome_is_told_and_r06_none_with_key_material() {
    for later in [false, true] {
        let fixture = fixture(later);
        let (cases, secrets) = cases(&fixture).await;
        let layer = ApiKeyLayer::new(fixture.ring.clone()).require("read");
        let service = layer.layer(Inner::new());
        for (name, request, expected) in cases {
            send(&service, request).await;
            assert_eq!(fixture.recorder.take(), expected, "{name}, later: {later}");
        }

        fixture.store.answer(Outcome::Error);
        let id = issue(&ring(), "read").await;
        send(&service, with_key(id.secret().expose())).await;
        assert_eq!(
            fixture.recorder.take(),
            [nameless(
                rejected(RejectionKind::StoreUnavailable),
                Some(id.record().id())
            )],
            "later: {later}"
        );

        let texts = fixture.recorder.texts();
        assert!(texts.contains("KeyInUrl") && texts.contains("Reuse"));
        for secret in &secrets {
            // Without its checksum, the secret is as valuable as with it.
            let secret = &secret[secret.len() - 32..secret.len() - 6];
            assert!(!texts.contains(secret), "{texts}");
        }
        assert!(!texts.contains("digest"), "{texts}");
    }
}

#[tokio::test]
async fn the_observer_of_a_layer_hears_of_its_requests_next_to_its_rings() {
    let fixture = fixture(false);
    let (cases, _) = cases(&fixture).await;
    let own = Recorder::default();
    let layer = ApiKeyLayer::new(fixture.ring.clone())
        .require("read")
        .observer(own.clone());
    let service = layer.layer(Inner::new());
    for (name, request, expected) in cases {
        send(&service, request).await;
        assert_eq!(fixture.recorder.take(), expected, "{name}");
        // The reuse of a replaced key is an event of the ring's key, no matter which client
        // presented it.
        let of_layer = expected
            .into_iter()
            .filter(|told| told.kind != EventKind::Reuse);
        assert_eq!(own.take(), of_layer.collect::<Vec<_>>(), "{name}");
    }
    let issued = issue(&fixture.ring, "read").await;
    assert_eq!(own.take(), []);
    assert_eq!(
        fixture.recorder.take(),
        [about(EventKind::Issued, issued.record())]
    );
}

#[tokio::test]
async fn an_anonymous_request_that_passes_is_not_told() {
    let fixture = fixture(false);
    let key = key(&fixture.ring, "read").await;
    fixture.recorder.take();
    let service = ApiKeyLayer::new(fixture.ring.clone())
        .optional()
        .layer(Inner::new());
    let response = send(&service, Request::new(())).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(fixture.recorder.take(), []);
    send(&service, with_key(&key)).await;
    assert_eq!(fixture.recorder.take().len(), 1);
}
