//! A ring that only verifies, over a token table as it is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tower::Layer;
use tower_api_key::store::{BoxFuture, StoreErrorKind, TableAnswer, TableKey};
use tower_api_key::{
    ApiKeyLayer, InvalidCause, KeyDigest, KeyId, ManualClock, Owner, RejectionKind, Subject,
    VerifiedKey, Verifier, VerifierBuilder, VerifyErrorKind,
};

use crate::support::{Inner, START, key, poll_once, ring, send, with_key};

/// A token in the form of another system.
const TOKEN: &str = "cio9f3A7b2C5d8E1f4G6h0Jk2L";

fn digest() -> KeyDigest {
    KeyDigest::sha256(TOKEN.as_bytes())
}

fn row() -> TableKey {
    TableKey::new(KeyId::from_number(42), digest(), "alice").scopes("publish")
}

/// What the table does.
#[derive(Clone)]
enum Does {
    Answers(Option<TableKey>),
    Fails,
    Panics,
    Waits(Arc<tokio::sync::Notify>, Arc<AtomicUsize>),
}

type Table = Arc<Mutex<Does>>;

fn over(table: &Table, builder: VerifierBuilder) -> (Verifier, ManualClock) {
    let (table, clock) = (Arc::clone(table), ManualClock::new(START));
    let table = move |asked: KeyDigest| -> BoxFuture<'static, TableAnswer> {
        let does = table.lock().unwrap().clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            match does {
                Does::Answers(key) => Ok(key.filter(|_| asked == digest())),
                Does::Fails => Err("the table is locked".into()),
                Does::Panics => panic!("a bug in the application"),
                Does::Waits(go, ended) => {
                    go.notified().await;
                    ended.fetch_add(1, Ordering::SeqCst);
                    Ok(Some(row()))
                }
            }
        })
    };
    let verifier = builder.clock(clock.clone()).build(table).unwrap();
    (verifier, clock)
}

fn fixture(does: Does) -> (Table, Verifier, ManualClock) {
    let table = Arc::new(Mutex::new(does));
    let (verifier, clock) = over(&table, Verifier::builder("registry"));
    (table, verifier, clock)
}

#[tokio::test]
async fn a_layer_serves_the_keys_of_a_table() {
    let (_, verifier, _) = fixture(Does::Answers(Some(row())));
    let inner = Inner::new();
    let service = ApiKeyLayer::new(verifier.clone())
        .require("publish")
        .layer(inner.clone());
    assert_eq!(send(&service, with_key(TOKEN)).await.status, StatusCode::OK);
    let parts = inner.last();
    let found = parts.extensions.get::<VerifiedKey>().unwrap();
    assert_eq!(found.subject(), "alice");
    assert_eq!(found.id().as_str(), "00000000000g");
    assert_eq!(
        (found.realm(), found.valid_until()),
        (verifier.realm(), None)
    );

    // Beside a ring, whose keys are still found by their prefix.
    let ring = ring();
    let both = ApiKeyLayer::new(ring.clone())
        .or(verifier)
        .layer(Inner::new());
    for key in [key(&ring, "read").await.as_str(), TOKEN] {
        assert_eq!(send(&both, with_key(key)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn r25_every_key_that_the_table_does_not_let_in_gets_one_response() {
    let later = START.checked_add(Duration::from_secs(1)).unwrap();
    let (table, verifier, _) = fixture(Does::Answers(None));
    let inner = Inner::new();
    let service = ApiKeyLayer::new(verifier).layer(inner.clone());
    let mut responses = Vec::new();
    for (row, cause) in [
        (None, InvalidCause::Unknown),
        (Some(row().expires_at(START)), InvalidCause::Expired),
        (Some(row().revoked_at(START)), InvalidCause::Revoked),
        (Some(row().not_before(later)), InvalidCause::NotYetValid),
        (
            Some(row().caveats("net=10.0.0.0/8")),
            InvalidCause::CaveatNotMet,
        ),
    ] {
        *table.lock().unwrap() = Does::Answers(row);
        let response = send(&service, with_key(TOKEN)).await;
        let rejection = response.rejection.unwrap();
        assert_eq!(rejection.cause(), Some(cause));
        responses.push((response.status, response.headers, response.body));
    }
    let malformed = send(&service, with_key("two words")).await;
    responses.push((malformed.status, malformed.headers, malformed.body));
    assert!(responses.iter().all(|response| *response == responses[0]));
    assert_eq!(responses[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r07_r20_a_table_that_is_out_of_order_is_a_503() {
    let (table, verifier, _) = fixture(Does::Fails);
    let other = KeyDigest::sha256(b"another");
    for (does, kind) in [
        (Does::Fails, StoreErrorKind::Unavailable),
        (Does::Panics, StoreErrorKind::Unavailable),
        (
            Does::Answers(Some(TableKey::new(KeyId::from_number(1), other, "bob"))),
            StoreErrorKind::Corrupt,
        ),
        (
            Does::Answers(Some(row().scopes("a \"quoted\" scope"))),
            StoreErrorKind::Corrupt,
        ),
        (
            Does::Answers(Some(TableKey::new(KeyId::from_number(1), digest(), ""))),
            StoreErrorKind::Corrupt,
        ),
    ] {
        *table.lock().unwrap() = does;
        let error = verifier.verify(TOKEN.as_bytes()).await.unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<tower_api_key::store::StoreError>();
        assert_eq!(source.unwrap().kind(), kind);
    }
}

#[tokio::test]
async fn r19_a_client_that_hangs_up_ends_no_look_up_that_is_a_task() {
    let (go, ended) = (Arc::new(tokio::sync::Notify::new()), Arc::default());
    let table = Arc::new(Mutex::new(Does::Waits(Arc::clone(&go), Arc::clone(&ended))));
    let builder = Verifier::builder("registry").max_pending_lookups(1);
    let (verifier, clock) = over(&table, builder.tasks(|task| drop(tokio::spawn(task))));
    let mut dropped = Box::pin(verifier.verify(TOKEN.as_bytes()));
    assert!(poll_once(&mut dropped).is_pending());
    drop(dropped);
    let beyond = verifier.verify(TOKEN.as_bytes()).await.unwrap_err();
    assert_eq!(
        beyond.kind(),
        VerifyErrorKind::StoreUnavailable,
        "one place"
    );
    go.notify_one();
    while ended.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }

    // And no request waits for longer than its bound.
    let mut late = Box::pin(verifier.verify(TOKEN.as_bytes()));
    while poll_once(&mut late).is_ready() {
        late = Box::pin(verifier.verify(TOKEN.as_bytes()));
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(2));
    let error = late.await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
}

#[tokio::test]
async fn r23_a_text_of_another_form_costs_no_look_up() {
    let looked_up = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&looked_up);
    let verifier = Verifier::builder("registry")
        .form(|text| match text {
            "cio-a-bug-of-the-application" => panic!("a bug in the application"),
            _ => text.starts_with("cio") && text.len() == TOKEN.len(),
        })
        .build(move |asked: KeyDigest| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { Ok(Some(row()).filter(|_| asked == digest())) }
        })
        .unwrap();
    let longer = format!("{TOKEN}0");
    let joined = format!("{TOKEN},{TOKEN}");
    let own = key(&ring(), "read").await;
    let wrong = [
        "cio",
        "cio-a-bug-of-the-application",
        &longer,
        &joined,
        &own,
        "cio\u{e9}",
    ];
    for text in wrong {
        let error = verifier.verify(text.as_bytes()).await.unwrap_err();
        let malformed = VerifyErrorKind::Invalid(InvalidCause::Malformed);
        assert_eq!(error.kind(), malformed, "{text}");
    }
    assert_eq!(looked_up.load(Ordering::SeqCst), 0);
    let unknown = TOKEN.replace('9', "8");
    verifier.verify(unknown.as_bytes()).await.unwrap_err();
    verifier.verify(TOKEN.as_bytes()).await.unwrap();
    assert_eq!(looked_up.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn r01_the_ceiling_of_an_owner_counts_for_the_keys_of_a_table() {
    let table = Arc::new(Mutex::new(Does::Answers(Some(row()))));
    let builder = Verifier::builder("registry").owners(|subject: Subject| async move {
        assert_eq!(subject, "alice");
        Ok(Some(Owner::within("yank".parse()?).principal(7_i64)))
    });
    let (verifier, _) = over(&table, builder);
    let key = verifier.verify(TOKEN.as_bytes()).await.unwrap();
    assert_eq!((key.scopes().as_str(), key.principal()), ("", Some(&7_i64)));
    let service = ApiKeyLayer::new(verifier)
        .require("publish")
        .layer(Inner::new());
    let refused = send(&service, with_key(TOKEN)).await;
    assert_eq!(refused.kind(), Some(RejectionKind::InsufficientScope));
}

#[test]
fn ids_of_numbers_are_in_their_order_and_all_different() {
    let numbers = [0, 1, 41, 42, 61, 62, 3_844, u64::MAX - 1, u64::MAX];
    let ids = numbers.map(KeyId::from_number);
    assert!(ids.is_sorted());
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(ids[0].as_str(), "000000000000");
    let (one, other) = (KeyDigest::sha256(b"1"), KeyDigest::sha256(b"2"));
    assert_ne!(KeyId::from_digest(&one), KeyId::from_digest(&other));
}
