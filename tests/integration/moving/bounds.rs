//! How often, and for how many keys at a time, the other system is asked.

use std::task::Poll;
use std::time::Duration;

use tower_api_key::store::MemoryStore;
use tower_api_key::{ErrorKind, Import, InvalidCause, KeyRing, VerifyError, VerifyErrorKind};

use super::asked::{asking, pending};
use crate::support::poll_once;

use super::{OLD, chain, grant, invalid, verdict};

const OVERLOADED: &str = "key store unavailable: too many calls are waiting for the store: 4 \
                          unknown keys are being looked up already, which is the limit \
                          max_pending_unknown_keys";

/// The refusal of a key, at the first poll.
#[track_caller]
fn refused_at_once(ring: &KeyRing, key: &str) -> VerifyError {
    match poll_once(&mut Box::pin(ring.verify(key.as_bytes()))) {
        Poll::Ready(verdict) => verdict.unwrap_err(),
        Poll::Pending => panic!("{key} waits"),
    }
}

#[tokio::test]
async fn r23_at_most_so_many_unknown_keys_are_asked_for_at_a_time() {
    let (ring, elsewhere, _, recorder) = asking(MemoryStore::new(), |builder| builder);
    elsewhere.answer(|| Ok(Some(Import::new(grant()))));
    assert_eq!(verdict(&ring, OLD).await, Ok("alice".to_owned()));
    elsewhere.hold();
    elsewhere.asked();
    let wrong: Vec<String> = (0..1_000)
        .map(|number| format!("made-up-{number}"))
        .collect();
    let mut waiting: Vec<_> = wrong[..4]
        .iter()
        .map(|key| Box::pin(ring.verify(key.as_bytes())))
        .collect();
    assert!(waiting.iter_mut().all(pending));
    recorder.take();
    for key in &wrong[4..] {
        let error = refused_at_once(&ring, key);
        assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
        assert_eq!(chain(&error), OVERLOADED);
    }
    assert_eq!(elsewhere.asked(), wrong[..4]);
    // If the store knows a key, it passes without a wait, and there is no event about a question.
    assert_eq!(verdict(&ring, OLD).await, Ok("alice".to_owned()));
    assert_eq!(recorder.take(), []);
    // A place is free after its question has an answer.
    elsewhere.release(Ok(None));
    assert_eq!(
        waiting.remove(0).await.unwrap_err().kind(),
        VerifyErrorKind::Invalid(InvalidCause::Unknown)
    );
    assert!(pending(&mut Box::pin(ring.verify(wrong[4].as_bytes()))));
    assert_eq!(elsewhere.asked(), [wrong[4].as_str()]);
    // And after its caller has gone.
    waiting.clear();
    elsewhere.asked();
    assert!(pending(&mut Box::pin(ring.verify(wrong[5].as_bytes()))));
    assert_eq!(elsewhere.asked(), [wrong[5].as_str()]);
}

#[tokio::test]
async fn the_number_at_a_time_is_the_builders() {
    let (ring, elsewhere, ..) = asking(MemoryStore::new(), |builder| {
        builder.max_pending_unknown_keys(1)
    });
    elsewhere.hold();
    let mut first = Box::pin(ring.verify(b"made-up-1"));
    assert!(pending(&mut first));
    let error = refused_at_once(&ring, "made-up-2");
    assert_eq!(chain(&error), OVERLOADED.replace("4 unknown", "1 unknown"));
    let none = KeyRing::builder("acme")
        .max_pending_unknown_keys(0)
        .build(MemoryStore::new())
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::InvalidPolicy);
    assert_eq!(
        none.to_string(),
        "invalid policy: max_pending_unknown_keys is zero"
    );
}

#[tokio::test]
async fn r23_a_wrong_key_that_is_repeated_is_asked_for_once_a_minute() {
    let (ring, elsewhere, clock, _) = asking(MemoryStore::new(), |builder| builder);
    let unknown = || invalid::<String>(InvalidCause::Unknown);
    for _ in 0..100 {
        assert_eq!(verdict(&ring, "made-up").await, unknown());
    }
    assert_eq!(elsewhere.asked(), ["made-up"]);
    clock.advance(Duration::from_secs(59));
    assert_eq!(verdict(&ring, "made-up").await, unknown());
    assert_eq!(elsewhere.asked(), [""; 0]);
    clock.advance(Duration::from_secs(1));
    // Meanwhile it has become a key.
    elsewhere.answer(|| Ok(Some(Import::new(grant()).insecure_accept_weak())));
    assert_eq!(verdict(&ring, "made-up").await, Ok("alice".to_owned()));
    assert_eq!(elsewhere.asked(), ["made-up"]);
}

/// The memory is bounded: of many keys, it holds the latest.
#[tokio::test]
async fn r23_a_flood_of_wrong_keys_leaves_a_bounded_memory() {
    let (ring, elsewhere, ..) = asking(MemoryStore::new(), |builder| builder);
    for number in 0..1_025 {
        let key = format!("made-up-{number}");
        assert_eq!(verdict(&ring, &key).await, invalid(InvalidCause::Unknown));
    }
    assert_eq!(elsewhere.asked().len(), 1_025);
    verdict(&ring, "made-up-1").await.unwrap_err();
    assert_eq!(elsewhere.asked(), [""; 0]);
    verdict(&ring, "made-up-0").await.unwrap_err();
    assert_eq!(elsewhere.asked(), ["made-up-0"]);
}

#[tokio::test]
async fn r21_requests_with_one_key_ask_once() {
    let (ring, elsewhere, _, recorder) = asking(MemoryStore::new(), |builder| builder);
    elsewhere.hold();
    let mut waiting: Vec<_> = (0..50)
        .map(|_| Box::pin(ring.verify(OLD.as_bytes())))
        .collect();
    assert!(waiting.iter_mut().all(pending));
    assert_eq!(
        (elsewhere.asked(), elsewhere.held()),
        (vec![OLD.to_owned()], 1)
    );
    elsewhere.release(Ok(Some(Import::new(grant()))));
    for verifying in waiting {
        assert_eq!(verifying.await.unwrap().subject(), "alice");
    }
    assert_eq!(recorder.take().len(), 1);

    // A refusal is shared by all of them.
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(ring.verify(b"made-up"))).collect();
    assert!(waiting.iter_mut().all(pending));
    elsewhere.release(Ok(None));
    for verifying in waiting {
        let kind = verifying.await.unwrap_err().kind();
        assert_eq!(kind, VerifyErrorKind::Invalid(InvalidCause::Unknown));
    }
    // And so is a missing answer.
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(ring.verify(b"other"))).collect();
    assert!(waiting.iter_mut().all(pending));
    elsewhere.release(Err("down".into()));
    for verifying in waiting {
        let error = verifying.await.unwrap_err();
        assert_eq!(
            chain(&error),
            "key store unavailable: the store is unavailable: down"
        );
    }
    assert_eq!(elsewhere.asked(), ["made-up", "other"]);
}

/// If the caller hangs up, another one that waits for the same answer asks then.
#[tokio::test]
async fn r19_a_client_that_hangs_up_takes_no_answer_from_others() {
    let (ring, elsewhere, ..) = asking(MemoryStore::new(), |builder| builder);
    elsewhere.hold();
    let mut first = Box::pin(ring.verify(OLD.as_bytes()));
    let mut second = Box::pin(ring.verify(OLD.as_bytes()));
    assert!(pending(&mut first) && pending(&mut second));
    assert_eq!(elsewhere.asked(), [OLD]);
    drop(first);
    assert!(pending(&mut second));
    assert_eq!(elsewhere.asked(), [OLD]);
    elsewhere.release(Ok(None));
    elsewhere.release(Ok(Some(Import::new(grant()))));
    assert_eq!(second.await.unwrap().subject(), "alice");
}
