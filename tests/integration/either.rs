//! Either of two rings on one route: the first that knows the key decides.

use std::time::Duration;

use http::{Request, header::AUTHORIZATION, header::REFERER};
use tower::Layer;
use tower_api_key::{
    ApiKeyLayer, ClientAddress, EventKind, Grant, InvalidCause, Issued, KeyPlace, KeyRing,
    ManualClock, RejectionKind, RevocationReason, VerifiedKey,
};

use crate::events::{Later, Recorder, Told, about, invalid, nameless, rejected};
use crate::floods::WellFormed;
use crate::outcome::{INVALID, MISSING, PASSES, check};
use crate::stores::{Outcome, ScriptedStore};
use crate::support::{IMPORTED, Inner, START, Whole, X_API_KEY, as_grpc, request, send, with_key};

/// A ring with its store and its observer.
struct Side {
    ring: KeyRing,
    store: ScriptedStore,
    recorder: Recorder,
}

impl Side {
    fn new(prefix: &str, realm: &str, clock: &ManualClock, later: bool) -> Self {
        let (store, recorder) = (ScriptedStore::default(), Recorder::default());
        let builder = KeyRing::builder(prefix).realm(realm).clock(clock.clone());
        let builder = builder.accept_imports().observer(recorder.clone());
        let ring = if later {
            builder.build(Later {
                store: store.clone(),
            })
        } else {
            builder.build(store.clone())
        };
        let ring = ring.unwrap();
        Self {
            ring,
            store,
            recorder,
        }
    }

    async fn issue(&self, subject: &str, scopes: &str) -> Issued {
        let grant = Grant::new(subject).scopes(scopes);
        let grant = grant.expires_in(Duration::from_secs(1_000));
        self.ring.issue(grant).await.unwrap()
    }

    async fn revoke(&self, issued: &Issued) {
        let reason = RevocationReason::KeyCompromise;
        self.ring.revoke(issued.id(), reason).await.unwrap();
    }
}

/// Two rings whose keys have the same form, so that both are asked about every key.
struct Fixture {
    first: Side,
    second: Side,
    of_layer: Recorder,
    clock: ManualClock,
}

impl Fixture {
    fn new(later: bool) -> Self {
        let clock = ManualClock::new(START);
        Self {
            first: Side::new("acme", "orders", &clock, later),
            second: Side::new("acme", "staff", &clock, later),
            of_layer: Recorder::default(),
            clock,
        }
    }

    fn layer(&self) -> ApiKeyLayer {
        ApiKeyLayer::new(self.first.ring.clone())
            .or(self.second.ring.clone())
            .observer(self.of_layer.clone())
    }

    fn forget_events(&self) {
        for recorder in [&self.first.recorder, &self.second.recorder, &self.of_layer] {
            recorder.take();
        }
    }

    /// Asserts the events since the last call: those of the first ring, and of the second.
    #[track_caller]
    fn assert_told(&self, first: &[Told], second: &[Told]) {
        assert_eq!(self.first.recorder.take(), first);
        assert_eq!(self.second.recorder.take(), second);
        assert_eq!(self.of_layer.take(), [first, second].concat());
    }
}

#[tokio::test]
async fn the_keys_of_either_ring_pass_and_say_their_realm() {
    for later in [false, true] {
        let fixture = Fixture::new(later);
        let alice = fixture.first.issue("alice", "read").await;
        let bob = fixture.second.issue("bob", "read").await;
        fixture.forget_events();
        let layer = fixture.layer().require("read");
        for (issued, subject, realm) in [(&alice, "alice", "orders"), (&bob, "bob", "staff")] {
            let presented = with_key(issued.secret().expose());
            let (_, inner) = check(&layer, presented, PASSES).await;
            let seen = inner.last();
            let key = VerifiedKey::of(&seen.extensions).unwrap();
            assert_eq!(
                (key.subject().as_str(), key.realm().as_str()),
                (subject, realm)
            );
            assert!(!seen.headers.contains_key(X_API_KEY), "the key is hidden");
        }
        let authenticated = |issued: &Issued| [about(EventKind::Authenticated, issued.record())];
        fixture.assert_told(&authenticated(&alice), &authenticated(&bob));
    }
}

/// Rule 25: every key that is invalid, in whichever ring, gets the same bytes.
#[tokio::test]
async fn r25_no_answer_says_which_ring_knows_a_key() {
    for later in [false, true] {
        let fixture = Fixture::new(later);
        let (first, second) = (&fixture.first, &fixture.second);
        let expired = [
            first.issue("alice", "").await,
            second.issue("bob", "").await,
        ];
        fixture.clock.advance(Duration::from_secs(1_000));
        let revoked = [
            first.issue("alice", "").await,
            second.issue("bob", "").await,
        ];
        first.revoke(&revoked[0]).await;
        second.revoke(&revoked[1]).await;
        let unknown = WellFormed::new("acme").next();
        fixture.forget_events();

        let layer = fixture.layer();
        let about = |issued: &Issued, cause| vec![about(invalid(cause), issued.record())];
        let of_unknown = nameless(invalid(InvalidCause::Unknown), Some(id_of(&unknown)));
        let malformed = nameless(invalid(InvalidCause::Malformed), None);
        let mut responses = Vec::new();
        for (key, of_first, of_second) in [
            (&*unknown, vec![of_unknown], vec![]),
            ("an empty space", vec![malformed], vec![]),
            (
                expired[0].secret().expose(),
                about(&expired[0], InvalidCause::Expired),
                vec![],
            ),
            (
                expired[1].secret().expose(),
                vec![],
                about(&expired[1], InvalidCause::Expired),
            ),
            (
                revoked[0].secret().expose(),
                about(&revoked[0], InvalidCause::Revoked),
                vec![],
            ),
            (
                revoked[1].secret().expose(),
                vec![],
                about(&revoked[1], InvalidCause::Revoked),
            ),
        ] {
            responses.push(check(&layer, with_key(key), INVALID).await.0);
            fixture.assert_told(&of_first, &of_second);
        }
        let [first, others @ ..] = &responses[..] else {
            unreachable!()
        };
        let challenge = "ApiKey realm=\"orders\", error=\"invalid_token\"";
        assert_eq!(first.values("www-authenticate"), [challenge]);
        for other in others {
            assert_eq!((&other.headers, &other.body), (&first.headers, &first.body));
        }
    }
}

fn id_of(key: &str) -> tower_api_key::KeyId {
    key["acme_".len()..][..12].parse().unwrap()
}

/// A key that is known and dead in one ring is not revived by another.
#[tokio::test]
async fn a_key_that_one_ring_has_revoked_is_refused_though_a_later_one_accepts_it() {
    for later in [false, true] {
        let fixture = Fixture::new(later);
        let grant = Grant::new("alice").expires_in(Duration::from_hours(1));
        let mut records = Vec::new();
        for side in [&fixture.first, &fixture.second] {
            let imported = side.ring.import_plaintext(grant.clone(), IMPORTED).await;
            records.push(imported.unwrap());
        }
        let layer = fixture.layer();
        check(&layer, with_key(IMPORTED), PASSES).await;
        let reason = RevocationReason::KeyCompromise;
        let id = records[0].id();
        fixture.first.ring.revoke(id, reason).await.unwrap();
        fixture.forget_events();
        check(&layer, with_key(IMPORTED), INVALID).await;
        let revoked = about(invalid(InvalidCause::Revoked), &records[0]);
        fixture.assert_told(&[revoked], &[]);

        // The other way round, the first ring has accepted it before the second is asked.
        let layer = ApiKeyLayer::new(fixture.second.ring.clone()).or(fixture.first.ring.clone());
        check(&layer, with_key(IMPORTED), PASSES).await;
    }
}

#[tokio::test]
async fn r20_a_store_without_an_answer_is_a_503_unless_an_earlier_ring_decided() {
    const UNAVAILABLE: crate::outcome::Outcome = (
        503,
        Some(RejectionKind::StoreUnavailable),
        "Key store unavailable",
    );
    for later in [false, true] {
        for down in [Outcome::Error, Outcome::Panic] {
            let fixture = Fixture::new(later);
            let layer = fixture.layer();
            let (first, second) = (&fixture.first, &fixture.second);
            let alice = first.issue("alice", "").await;
            let revoked = first.issue("carol", "").await;
            first.revoke(&revoked).await;
            let bob = second.issue("bob", "").await;
            let key = |issued: &Issued| with_key(issued.secret().expose());
            fixture.forget_events();

            second.store.answer(down);
            check(&layer, key(&alice), PASSES).await;
            check(&layer, key(&revoked), INVALID).await;
            check(&layer, key(&bob), UNAVAILABLE).await;
            let of_first = [
                about(EventKind::Authenticated, alice.record()),
                about(invalid(InvalidCause::Revoked), revoked.record()),
            ];
            assert_eq!(first.recorder.take(), of_first);
            let told = second.recorder.take();
            let kinds: Vec<_> = told.iter().map(|told| told.kind).collect();
            assert_eq!(kinds, [rejected(RejectionKind::StoreUnavailable)]);
            assert_eq!(told[0].realm.as_deref(), Some("staff"));

            // The first ring might know the key as revoked.
            second.store.answer(Outcome::Honest);
            first.store.answer(down);
            let asked = second.store.finds();
            check(&layer, key(&bob), UNAVAILABLE).await;
            assert_eq!(second.store.finds(), asked);
        }
    }
}

/// Rings of different prefixes do not depend on each other.
#[tokio::test]
async fn an_outage_of_one_ring_does_not_affect_the_keys_of_another_prefix() {
    let build = |prefix: &str, store: &ScriptedStore| {
        let builder = KeyRing::builder(prefix).clock(ManualClock::new(START));
        builder.build(store.clone()).unwrap()
    };
    let (live, test) = (ScriptedStore::default(), ScriptedStore::default());
    let (live_ring, test_ring) = (build("live", &live), build("test", &test));
    let key = test_ring.issue(Grant::new("alice")).await.unwrap();
    let layer = ApiKeyLayer::new(live_ring).or(test_ring);
    live.answer(Outcome::Error);
    check(&layer, with_key(key.secret().expose()), PASSES).await;
    assert_eq!((live.finds(), test.finds()), (0, 1));
}

async fn refused(layer: &ApiKeyLayer, request: Request<()>) -> Whole {
    send(&layer.layer(Inner::new()), request).await
}

#[tokio::test]
async fn the_keys_of_a_ring_can_have_a_requirement_of_their_own() {
    for later in [false, true] {
        let fixture = Fixture::new(later);
        let (first, second) = (&fixture.first, &fixture.second);
        let layer = ApiKeyLayer::new(first.ring.clone())
            .or_requiring(second.ring.clone(), "support")
            .require("write");
        let keys = [
            (first.issue("alice", "write").await, None),
            (
                first.issue("alice", "support").await,
                Some(("orders", "write")),
            ),
            (second.issue("bob", "support").await, None),
            (
                second.issue("bob", "write").await,
                Some(("staff", "support")),
            ),
        ];
        fixture.forget_events();
        for (issued, lacking) in &keys {
            let presented = with_key(issued.secret().expose());
            let Some((realm, scope)) = lacking else {
                check(&layer, presented, PASSES).await;
                continue;
            };
            let response = refused(&layer, presented).await;
            assert_eq!(response.status, 403);
            assert_eq!(
                response.values("www-authenticate"),
                [format!(
                    "ApiKey realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{scope}\""
                )]
            );
            let grpc = as_grpc(with_key(issued.secret().expose()), "application/grpc");
            let message = format!("Insufficient scope: expected {scope}");
            assert_eq!(
                refused(&layer, grpc).await.values("grpc-message"),
                [message]
            );
        }
        let lacking = rejected(RejectionKind::InsufficientScope);
        for (side, [passes, lacks]) in [first, second]
            .into_iter()
            .zip([[&keys[0].0, &keys[1].0], [&keys[2].0, &keys[3].0]])
        {
            let lacks = about(lacking, lacks.record());
            let passes = about(EventKind::Authenticated, passes.record());
            assert_eq!(side.recorder.take(), [passes, lacks.clone(), lacks]);
        }

        // No key meets no requirement, in an optional layer too.
        check(&layer, Request::new(()), MISSING).await;
        let optional = ApiKeyLayer::new(first.ring.clone()).optional();
        check(&optional, Request::new(()), PASSES).await;
        let requiring = optional.or_requiring(second.ring.clone(), "support");
        check(&requiring, Request::new(()), MISSING).await;
    }
}

/// Rule 5 holds for the keys of every ring.
#[tokio::test]
async fn r05_a_misplaced_key_of_a_later_ring_is_refused_and_reported_by_it() {
    let clock = ManualClock::new(START);
    let first = Side::new("acme", "orders", &clock, false);
    let second = Side::new("staff", "staff", &clock, false);
    let own = first.issue("alice", "").await;
    let stray = second.issue("bob", "").await;
    let (own, id, stray) = (own.secret().expose(), stray.id(), stray.secret().expose());
    first.recorder.take();
    second.recorder.take();
    let layer = ApiKeyLayer::new(first.ring.clone()).or(second.ring.clone());

    let mut in_uri = with_key(own);
    *in_uri.uri_mut() = format!("/?key={stray}").parse().unwrap();
    let elsewhere = request([("authorization", format!("Basic {stray}"))]);
    let other_header = request([("x-other", stray)]);
    for (layer, request, kind, place) in [
        (
            layer.clone(),
            in_uri,
            RejectionKind::KeyInUrl,
            KeyPlace::Uri,
        ),
        (
            layer.clone(),
            elsewhere,
            RejectionKind::KeyMisplaced,
            KeyPlace::Authorization,
        ),
        (
            layer.clone().optional(),
            other_header,
            RejectionKind::KeyMisplaced,
            KeyPlace::OtherHeader,
        ),
    ] {
        let response = refused(&layer, request).await;
        assert_eq!(
            (response.status.as_u16(), response.kind()),
            (400, Some(kind))
        );
        let event = match kind {
            RejectionKind::KeyInUrl => EventKind::KeyInUrl,
            _ => EventKind::KeyMisplaced,
        };
        let told = |kind| Told {
            realm: Some("staff".to_owned()),
            place: Some(place),
            ..nameless(kind, Some(id))
        };
        assert_eq!(second.recorder.take(), [told(event), told(rejected(kind))]);
        assert_eq!(first.recorder.take(), []);
    }

    // If keys of both are in wrong places, both are reported, and the first ring refuses.
    let mut both = request([("authorization", format!("Basic {stray}"))]);
    *both.uri_mut() = format!("/?key={own}").parse().unwrap();
    let response = refused(&layer, both).await;
    assert_eq!(response.kind(), Some(RejectionKind::KeyInUrl));
    let kinds = |told: Vec<Told>| told.iter().map(|told| told.kind).collect::<Vec<_>>();
    let told = kinds(first.recorder.take());
    let refusal = rejected(RejectionKind::KeyInUrl);
    assert_eq!(told, [EventKind::KeyInUrl, refusal]);
    assert_eq!(kinds(second.recorder.take()), [EventKind::KeyMisplaced]);

    // In `Referer` it is reported, and hidden from the inner service.
    let referer = format!("https://acme.test/?key={stray}");
    let request = request([(X_API_KEY, own), (REFERER, &referer)]);
    let (_, inner) = check(&layer, request, PASSES).await;
    assert!(inner.last().headers[REFERER].is_sensitive());
    let told = second.recorder.take();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].place, Some(KeyPlace::Referer));
    assert!(!inner.last().headers.contains_key(AUTHORIZATION));
}

#[test]
#[should_panic(expected = "the ring grants the caveat net, and this ApiKeyLayer cannot check it")]
fn r27_a_later_ring_that_grants_a_caveat_needs_a_source_too() {
    let plain = KeyRing::builder("acme").build(ScriptedStore::default());
    let granting = KeyRing::builder("acme")
        .grantable_caveats([tower_api_key::CaveatKind::Net])
        .build(ScriptedStore::default());
    let layer = ApiKeyLayer::new(plain.unwrap()).or(granting.unwrap());
    let address = ClientAddress::peer(|_| None);
    let _ = layer.clone().client_address(address).layer(Inner::new());
    let _ = layer.layer(Inner::new());
}
