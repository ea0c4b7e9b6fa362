//! Keys that the store does not know, and the other system that is asked for them.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tower::Layer;
use tower_api_key::store::{BoxFuture, KeyStore, ListQuery, MemoryStore};
use tower_api_key::{
    Answer, ApiKeyLayer, EventKind, Grant, Import, InvalidCause, KeyRing, KeyRingBuilder,
    ManualClock, RejectionKind, RevocationReason, SecretKey, UnknownKeys, VerifyErrorKind,
};

use super::{DAY, OLD, chain, grant, invalid, verdict};
use crate::events::Recorder;
use crate::support::{Inner, ObservedStore, START, Whole, key, send, with_key};

type Answering = Box<dyn FnOnce() -> Answer + Send>;

/// The other system, whose answers the test gives.
#[derive(Clone, Default)]
pub(super) struct Elsewhere(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    asked: Vec<String>,
    answers: VecDeque<Answering>,
    held: Option<Vec<oneshot::Sender<Answer>>>,
}

impl Elsewhere {
    /// The next answer.
    pub(super) fn answer(&self, answer: impl FnOnce() -> Answer + Send + 'static) {
        self.0.lock().unwrap().answers.push_back(Box::new(answer));
    }

    /// From now on, a question is not answered until the test does it.
    pub(super) fn hold(&self) {
        self.0.lock().unwrap().held = Some(Vec::new());
    }

    /// Answers the first held question.
    pub(super) fn release(&self, answer: Answer) {
        let first = self.0.lock().unwrap().held.as_mut().unwrap().remove(0);
        // The caller may be gone.
        let _ = first.send(answer);
    }

    pub(super) fn held(&self) -> usize {
        self.0.lock().unwrap().held.as_ref().map_or(0, Vec::len)
    }

    /// The questions since the last call.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

impl UnknownKeys for Elsewhere {
    fn ask(&self, presented: SecretKey) -> BoxFuture<'static, Answer> {
        let mut state = self.0.lock().unwrap();
        state.asked.push(presented.expose().to_owned());
        assert_eq!(format!("{presented:?}"), "SecretKey(…)");
        if let Some(held) = &mut state.held {
            let (sender, receiver) = oneshot::channel();
            held.push(sender);
            return Box::pin(async { receiver.await.unwrap_or(Ok(None)) });
        }
        let answer = state.answers.pop_front();
        drop(state);
        let answer = answer.map_or(Ok(None), |answer| answer());
        Box::pin(async { answer })
    }
}

pub(super) fn asking(
    store: impl KeyStore,
    build: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
) -> (KeyRing, Elsewhere, ManualClock, Recorder) {
    let (elsewhere, recorder) = (Elsewhere::default(), Recorder::default());
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .observer(recorder.clone())
        .unknown_keys(elsewhere.clone());
    (
        build(builder).build(store).unwrap(),
        elsewhere,
        clock,
        recorder,
    )
}

fn kinds(recorder: &Recorder) -> Vec<EventKind> {
    recorder.take().into_iter().map(|told| told.kind).collect()
}

fn unknown() -> EventKind {
    EventKind::Rejected {
        kind: RejectionKind::Invalid,
        cause: Some(InvalidCause::Unknown),
    }
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_and_then_known() {
    for later in [false, true] {
        let store = ObservedStore::new();
        let store = if later {
            store.answering_later()
        } else {
            store
        };
        let (ring, elsewhere, _, recorder) = asking(store, |builder| builder);
        elsewhere.answer(|| Ok(Some(Import::new(grant()).issued_at(START))));
        assert_eq!(verdict(&ring, OLD).await, Ok("alice".to_owned()));
        assert_eq!(elsewhere.asked(), [OLD]);
        let told = recorder.take();
        let held = ring.list(&ListQuery::new()).await.unwrap();
        assert_eq!(told, [crate::events::about(EventKind::Moved, &held[0])]);
        for _ in 0..3 {
            assert_eq!(verdict(&ring, OLD).await, Ok("alice".to_owned()));
        }
        assert_eq!(elsewhere.asked(), [""; 0]);
        assert_eq!(kinds(&recorder), []);
    }
}

async fn send_to(ring: &KeyRing, key: &str) -> (Whole, usize) {
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring.clone()).layer(inner.clone());
    (send(&service, with_key(key)).await, inner.calls())
}

#[tokio::test]
async fn r25_no_answer_can_be_told_from_an_unknown_key() {
    let store = MemoryStore::new();
    let plain = KeyRing::builder("acme")
        .realm("orders")
        .accept_imports()
        .clock(ManualClock::new(START))
        .build(store.clone())
        .unwrap();
    let (expected, _) = send_to(&plain, OLD).await;
    assert_eq!(expected.status, 401);
    let neighbour = KeyRing::builder("acme")
        .realm("billing")
        .accept_imports()
        .clock(ManualClock::new(START))
        .build(store.clone())
        .unwrap();
    neighbour
        .import_plaintext(grant(), "billing's-key-9f3A7b2C5d8E1f4G")
        .await
        .unwrap();

    let (ring, elsewhere, _, recorder) = asking(store, |builder| builder);
    let import = |grant: Grant| move || Ok(Some(Import::new(grant)));
    let answers: [(_, Answering, &[EventKind]); 7] = [
        ("no-key-4f9A7YqZr01mLw8Vx6p", Box::new(|| Ok(None)), &[]),
        (
            "too-long-4f9A7YqZr01mLw8Vx6p",
            Box::new(import(grant().expires_in(DAY * 91))),
            &[EventKind::MoveFailed],
        ),
        (
            "over-4f9A7YqZr01mLw8Vx6p",
            Box::new(import(grant().expires_at(START))),
            &[EventKind::MoveFailed],
        ),
        (
            "no-end-4f9A7YqZr01mLw8Vx6p",
            Box::new(import(Grant::new("alice"))),
            &[EventKind::MoveFailed],
        ),
        ("weak", Box::new(import(grant())), &[EventKind::MoveFailed]),
        (
            "no-subject-4f9A7YqZr01mLw8Vx6p",
            Box::new(import(Grant::new("").expires_in(DAY))),
            &[EventKind::MoveFailed],
        ),
        (
            "billing's-key-9f3A7b2C5d8E1f4G",
            Box::new(import(grant())),
            &[],
        ),
    ];
    for (key, answer, events) in answers {
        elsewhere.answer(answer);
        let (whole, calls) = send_to(&ring, key).await;
        assert_eq!(calls, 0, "{key}");
        assert_eq!(
            (whole.status, &whole.headers, &whole.body),
            (expected.status, &expected.headers, &expected.body),
            "{key}"
        );
        assert_eq!(elsewhere.asked(), [key]);
        let told = kinds(&recorder);
        assert_eq!(told, [events, &[unknown()]].concat(), "{key}");
    }
    // A weak key is imported if the answer allows it.
    elsewhere.answer(|| Ok(Some(Import::new(grant()).insecure_accept_weak())));
    assert_eq!(verdict(&ring, "feeble").await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn r20_no_answer_is_a_503_that_says_why_to_the_observer_alone() {
    let (ring, elsewhere, _, recorder) = asking(MemoryStore::new(), |builder| builder);
    let unavailable = EventKind::Rejected {
        kind: RejectionKind::StoreUnavailable,
        cause: None,
    };
    let answers: [(Answering, &str); 2] = [
        (
            Box::new(|| Err("the old database is down".into())),
            "key store unavailable: the store is unavailable: the old database is down",
        ),
        (
            Box::new(|| panic!("the other system")),
            "key store unavailable: the store is unavailable: the code that looks up unknown keys \
             panicked",
        ),
    ];
    for (answer, text) in answers {
        let again = Arc::new(Mutex::new(Some(answer)));
        let answer = Arc::clone(&again);
        elsewhere.answer(move || (answer.lock().unwrap().take().unwrap())());
        let error = ring.verify(OLD.as_bytes()).await.unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
        assert_eq!(chain(&error), text);
        assert_eq!(kinds(&recorder), [EventKind::MoveFailed]);
    }
    elsewhere.answer(|| Err("down".into()));
    let (whole, calls) = send_to(&ring, OLD).await;
    assert_eq!((whole.status.as_u16(), calls), (503, 0));
    assert!(!String::from_utf8_lossy(&whole.body).contains("down"));
    assert_eq!(kinds(&recorder), [EventKind::MoveFailed, unavailable]);
    // A failure is not remembered, so the next request asks again.
    elsewhere.answer(|| Ok(Some(Import::new(grant()))));
    assert_eq!(verdict(&ring, OLD).await, Ok("alice".to_owned()));
    assert!(!recorder.texts().contains(OLD));
}

#[tokio::test]
async fn r20_an_answer_that_is_late_is_a_503_within_the_bound() {
    let (ring, elsewhere, clock, _) = asking(MemoryStore::new(), |builder| builder);
    elsewhere.hold();
    let mut verifying = Box::pin(ring.verify(OLD.as_bytes()));
    assert!(pending(&mut verifying));
    clock.advance(std::time::Duration::from_secs(2));
    let error = verifying.await.unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    assert_eq!(
        chain(&error),
        "key store unavailable: the store is unavailable: the store gave no answer within 2000 ms"
    );
}

/// Polls once with a waker that does nothing.
pub(super) fn pending<F: Future + Unpin>(future: &mut F) -> bool {
    crate::support::poll_once(future).is_pending()
}

#[tokio::test]
async fn invariant_2_a_key_that_was_moved_and_revoked_is_not_asked_for_again() {
    let (ring, elsewhere, clock, _) = asking(MemoryStore::new(), |builder| builder);
    elsewhere.answer(|| Ok(Some(Import::new(grant()))));
    let id = ring.verify(OLD.as_bytes()).await.unwrap().id();
    ring.revoke(id, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    elsewhere.asked();
    // The other system would accept the key forever.
    for _ in 0..3 {
        elsewhere.answer(|| Ok(Some(Import::new(grant()))));
        assert_eq!(verdict(&ring, OLD).await, invalid(InvalidCause::Revoked));
        clock.advance(DAY * 60);
        assert_eq!(ring.purge().await.unwrap(), 0);
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
}

#[tokio::test]
async fn r23_nobody_is_asked_for_a_key_of_the_rings_own_shape_or_for_what_is_no_key() {
    let (ring, elsewhere, _, _) = asking(MemoryStore::new(), |builder| builder);
    let neighbour = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let own = key(&neighbour, "read").await;
    let mut mistyped = own.clone().into_bytes();
    let last = mistyped.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let mistyped = String::from_utf8(mistyped).unwrap();
    for own in [&own, &mistyped] {
        assert_eq!(verdict(&ring, own).await, invalid(InvalidCause::Unknown));
    }
    for text in ["", "a b", "a,b", "\u{e9}", &"a".repeat(513)] {
        assert_eq!(verdict(&ring, text).await, invalid(InvalidCause::Malformed));
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
    // An old key may begin like those of the ring.
    assert_eq!(
        verdict(&ring, "acme_4f9A7YqZr01").await,
        invalid(InvalidCause::Unknown)
    );
    assert_eq!(elsewhere.asked(), ["acme_4f9A7YqZr01"]);
}
