//! A flood of keys that were never issued (rule 23).

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::task::Poll;
use std::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};
use tower_api_key::store::{
    BoxFuture, Change, KeyStore, Lookup, StoreError, StoreErrorKind, StoreId,
};
use tower_api_key::{
    ErrorKind, InvalidCause, KeyDigest, KeyId, KeyRing, ManualClock, Realm, VerifyError,
    VerifyErrorKind,
};

use crate::stores::{Outcome, ScriptedStore, scripted_ring_with};
use crate::support::{ObservedStore, START, issue, poll_once};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Keys with a right checksum that no ring has issued, one after the other.
pub(crate) struct WellFormed {
    prefix: &'static str,
    state: u64,
}

impl WellFormed {
    pub(crate) fn new(prefix: &'static str) -> Self {
        let state = 0x9e37_79b9_7f4a_7c15;
        Self { prefix, state }
    }

    pub(crate) fn next(&mut self) -> String {
        let mut key = format!("{}_", self.prefix);
        self.fill(&mut key, 12);
        self.finish(key)
    }

    /// A key with this id and another secret than the issued one.
    pub(crate) fn with_id(&mut self, id: KeyId) -> String {
        let key = format!("{}_{id}", self.prefix);
        self.finish(key)
    }

    fn finish(&mut self, mut key: String) -> String {
        key.push('_');
        self.fill(&mut key, 26);
        let mut sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(key.as_bytes());
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = BASE62[(sum % 62) as usize];
            sum /= 62;
        }
        key.write_str(std::str::from_utf8(&digits).unwrap())
            .unwrap();
        key
    }

    fn fill(&mut self, text: &mut String, count: usize) {
        for _ in 0..count {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            text.push(char::from(BASE62[(self.state % 62) as usize]));
        }
    }
}

fn unknown() -> VerifyErrorKind {
    VerifyErrorKind::Invalid(InvalidCause::Unknown)
}

/// `FLOOD=1000000` is the long run.
#[tokio::test]
async fn r23_a_key_costs_one_look_up_if_it_is_well_formed_and_none_if_not() {
    let count: usize = std::env::var("FLOOD").map_or(20_000, |count| count.parse().unwrap());
    for later in [false, true] {
        let store = ObservedStore::new();
        let store = if later {
            store.answering_later()
        } else {
            store
        };
        let ring = KeyRing::builder("acme").build(store.clone()).unwrap();
        let mut keys = WellFormed::new("acme");
        for index in 0..count {
            let key = keys.next();
            let error = ring.verify(key.as_bytes()).await.unwrap_err();
            assert_eq!(error.kind(), unknown(), "{key}");
            assert_eq!(store.lookups(), index + 1, "{key}");

            let mut mistyped = key.into_bytes();
            let at = index % mistyped.len();
            mistyped[at] = if mistyped[at] == b'x' { b'y' } else { b'x' };
            let error = ring.verify(&mistyped).await.unwrap_err();
            assert_eq!(
                error.kind(),
                VerifyErrorKind::Invalid(InvalidCause::Malformed)
            );
        }
        assert_eq!(store.lookups(), count);
    }
}

/// A store whose look-ups are tasks of the runtime, as those of `PostgresStore` are.
#[derive(Clone)]
struct Tasks {
    scripted: ScriptedStore,
}

impl KeyStore for Tasks {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.scripted.find(realm, digest)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        tokio::spawn(task);
        Ok(())
    }

    fn identity(&self) -> Option<StoreId> {
        self.scripted.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.scripted.commit(change)
    }

    crate::support::forward!(scripted: revoke, get, list, purge, record_uses, last_uses);
}

#[track_caller]
fn assert_overloaded(polled: Poll<Result<tower_api_key::VerifiedKey, VerifyError>>) {
    let Poll::Ready(Err(error)) = polled else {
        panic!("one more waits");
    };
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    let source = error
        .source()
        .unwrap()
        .downcast_ref::<StoreError>()
        .unwrap();
    assert_eq!(source.kind(), StoreErrorKind::Overloaded);
    assert_eq!(
        source.to_string(),
        "too many calls are waiting for the store"
    );
    assert_eq!(
        source.source().unwrap().to_string(),
        "7 look-ups are waiting already, which is the limit max_pending_lookups"
    );
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn r23_no_more_look_ups_wait_than_may() {
    let (ring, _, store) = scripted_ring_with(|builder| builder.max_pending_lookups(7));
    store.hold();
    let mut keys = WellFormed::new("acme");
    let keys: Vec<String> = (0..100).map(|_| keys.next()).collect();
    let mut waits: Vec<_> = keys
        .iter()
        .map(|key| Box::pin(ring.verify(key.as_bytes())))
        .collect();
    for wait in &mut waits[..7] {
        assert!(poll_once(wait).is_pending());
    }
    for wait in &mut waits[7..] {
        assert_overloaded(poll_once(wait));
    }
    // When one is answered, another can start.
    assert!(store.release(3, Outcome::Honest));
    let Poll::Ready(Err(error)) = poll_once(&mut waits[3]) else {
        panic!("no answer");
    };
    assert_eq!(error.kind(), unknown());
    let mut next = Box::pin(ring.verify(keys[3].as_bytes()));
    assert!(poll_once(&mut next).is_pending());
    assert_overloaded(poll_once(&mut Box::pin(ring.verify(keys[4].as_bytes()))));

    // A store without tasks drops a look-up if its client hangs up.
    drop(waits);
    assert!(poll_once(&mut Box::pin(ring.verify(keys[5].as_bytes()))).is_pending());
}

#[tokio::test]
async fn r19_a_client_that_hangs_up_cancels_no_look_up_and_frees_no_place() {
    let (scripted, clock) = (ScriptedStore::default(), ManualClock::new(START));
    let store = Tasks {
        scripted: scripted.clone(),
    };
    let ring = KeyRing::builder("acme")
        .clock(clock.clone())
        .max_pending_lookups(7)
        .build(store.clone())
        .unwrap();
    scripted.hold();
    let mut keys = WellFormed::new("acme");
    for _ in 0..7 {
        // It started at once, and is dropped before it is polled again.
        assert!(poll_once(&mut Box::pin(ring.verify(keys.next().as_bytes()))).is_pending());
    }
    settle().await;
    let key = keys.next();
    assert_overloaded(poll_once(&mut Box::pin(ring.verify(key.as_bytes()))));
    assert!(scripted.release(0, Outcome::Honest), "the look-up goes on");
    settle().await;
    let mut waiting = Box::pin(ring.verify(key.as_bytes()));
    assert!(poll_once(&mut waiting).is_pending());

    // A late look-up is answered, and may run for three times as long.
    clock.advance(Duration::from_secs(2));
    settle().await;
    let Poll::Ready(Err(error)) = poll_once(&mut waiting) else {
        panic!("no bound");
    };
    assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    assert_overloaded(poll_once(&mut Box::pin(ring.verify(key.as_bytes()))));
    assert!(
        scripted.release(1, Outcome::Honest),
        "it goes on after the bound"
    );
    clock.advance(Duration::from_secs(4));
    settle().await;
    assert!(!scripted.release(2, Outcome::Honest), "it goes on for ever");
    for _ in 0..7 {
        assert!(poll_once(&mut Box::pin(ring.verify(key.as_bytes()))).is_pending());
    }
    assert_overloaded(poll_once(&mut Box::pin(ring.verify(key.as_bytes()))));
}

#[tokio::test]
async fn r23_a_ring_on_which_nothing_may_wait_is_not_built() {
    let builder = KeyRing::builder("acme").max_pending_lookups(0);
    let error = builder.build(ObservedStore::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPolicy);
    assert_eq!(
        error.to_string(),
        "invalid policy: max_pending_lookups is zero"
    );
}

/// A thief cannot stop the end of a stolen lineage.
#[tokio::test]
async fn r19_a_thief_who_hangs_up_does_not_stop_the_end_of_the_lineage() {
    let scripted = ScriptedStore::default();
    let store = Tasks {
        scripted: scripted.clone(),
    };
    let ring = KeyRing::builder("acme")
        .revoke_lineage_on_reuse()
        .build(store.clone())
        .unwrap();
    let old = issue(&ring, "read").await;
    let new = ring.rotate_now(old.record().id()).await.unwrap();
    scripted.hold();
    let stolen = old.secret().expose().as_bytes();
    assert!(poll_once(&mut Box::pin(ring.verify(stolen))).is_pending());
    settle().await;
    assert!(scripted.release(0, Outcome::Honest));
    settle().await;
    let record = ring.get(new.record().id()).await.unwrap().unwrap();
    assert!(record.revocation().is_some());
}
