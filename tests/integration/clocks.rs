//! Rule 24: the edges of a key's life, and clocks that run back, ahead or over.

use std::sync::Arc;
use std::time::Duration;

use tower::Layer;
use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{
    ApiKeyLayer, Clock, ErrorKind, Grant, InvalidCause, KeyRing, KeyState, ManualClock,
    RejectionKind, RevocationReason, Timestamp, VerifyErrorKind,
};

use crate::stores::scripted_ring;
use crate::support::{Inner, START, issue, ring_and_clock, send, with_key};

const SECOND: Duration = Duration::from_secs(1);

async fn issued(ring: &KeyRing, grant: Grant) -> Vec<u8> {
    let issued = ring.issue(grant).await.unwrap();
    issued.secret().expose().as_bytes().to_vec()
}

async fn cause(ring: &KeyRing, presented: &[u8]) -> Option<InvalidCause> {
    match ring.verify(presented).await.map_err(|error| error.kind()) {
        Ok(_) => None,
        Err(VerifyErrorKind::Invalid(cause)) => Some(cause),
        Err(other) => panic!("{other:?} is no verdict"),
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(START.as_unix() + seconds)
}

#[tokio::test]
async fn r24_a_key_ends_at_its_expiry_and_not_a_second_earlier() {
    let expiries = [
        Grant::new("alice").expires_in(Duration::from_secs(100)),
        Grant::new("alice").expires_at(at(100)),
        // A started second counts as zero.
        Grant::new("alice").expires_in(Duration::from_millis(100_999)),
    ];
    for grant in expiries {
        let (ring, clock) = ring_and_clock();
        let key = issued(&ring, grant.clone()).await;
        clock.set(at(99));
        assert_eq!(cause(&ring, &key).await, None, "{grant:?}");
        clock.set(at(100));
        assert_eq!(
            cause(&ring, &key).await,
            Some(InvalidCause::Expired),
            "{grant:?}"
        );
    }
}

#[tokio::test]
async fn r24_a_key_begins_at_its_not_before_and_not_a_second_earlier() {
    let (ring, clock) = ring_and_clock();
    let grant = Grant::new("alice").not_before(at(100)).expires_at(at(101));
    let key = issued(&ring, grant).await;
    for (seconds, expected) in [
        (0, Some(InvalidCause::NotYetValid)),
        (99, Some(InvalidCause::NotYetValid)),
        (100, None),
        (101, Some(InvalidCause::Expired)),
    ] {
        clock.set(at(seconds));
        assert_eq!(cause(&ring, &key).await, expected, "at {seconds}");
    }
}

#[tokio::test]
async fn r24_a_replaced_key_ends_at_the_end_of_its_grace_and_stays_ended() {
    let (ring, clock, store) = scripted_ring();
    let issued = issue(&ring, "read").await;
    store.edit(issued.record().id(), |parts| {
        parts.grace_ends_at = Some(at(10));
    });
    let key = issued.secret().expose().as_bytes();
    for (seconds, expected) in [
        (9, None),
        (10, Some(InvalidCause::Replaced)),
        (9, Some(InvalidCause::Replaced)),
        (0, Some(InvalidCause::Replaced)),
    ] {
        clock.set(at(seconds));
        assert_eq!(cause(&ring, key).await, expected, "at {seconds}");
    }
}

#[tokio::test]
async fn r24_a_key_that_was_denied_as_expired_stays_denied_when_the_clock_is_set_back() {
    let (ring, clock) = ring_and_clock();
    let short = issued(&ring, Grant::new("alice").expires_at(at(100))).await;
    let long = issued(&ring, Grant::new("alice").expires_at(at(1_000))).await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring.clone()).layer(inner.clone());
    let short_text = String::from_utf8(short.clone()).unwrap();

    clock.set(at(100));
    let denied = send(&service, with_key(&short_text)).await;
    assert_eq!(denied.kind(), Some(RejectionKind::Invalid));
    for seconds in [99, 50, 0] {
        clock.set(at(seconds));
        let expired = Some(InvalidCause::Expired);
        assert_eq!(cause(&ring, &short).await, expired, "at {seconds}");
        let denied = send(&service, with_key(&short_text)).await;
        assert_eq!(denied.kind(), Some(RejectionKind::Invalid), "at {seconds}");
        assert_eq!(cause(&ring, &long).await, None, "at {seconds}");
    }
    // A clone of the ring is the same node.
    assert_eq!(
        cause(&ring.clone(), &short).await,
        Some(InvalidCause::Expired)
    );
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r24_no_denial_of_one_key_lets_another_begin_before_the_clock_says_so() {
    let (ring, clock) = ring_and_clock();
    let ended = issued(&ring, Grant::new("alice").expires_at(at(1_000))).await;
    let early = issued(&ring, Grant::new("alice").not_before(at(500))).await;

    // A clock that ran ahead for a moment, and was corrected.
    clock.set(at(2_000));
    assert_eq!(cause(&ring, &ended).await, Some(InvalidCause::Expired));
    clock.set(START);

    assert_eq!(cause(&ring, &early).await, Some(InvalidCause::NotYetValid));
}

#[test]
fn r24_time_ends_where_it_cannot_be_counted_any_further() {
    let unix = Timestamp::from_unix;
    let table = [
        (unix(0), Duration::from_secs(u64::MAX), Some(Timestamp::MAX)),
        (unix(1), Duration::from_secs(u64::MAX), None),
        (unix(u64::MAX - 1), SECOND, Some(Timestamp::MAX)),
        (Timestamp::MAX, Duration::ZERO, Some(Timestamp::MAX)),
        (
            Timestamp::MAX,
            Duration::from_millis(999),
            Some(Timestamp::MAX),
        ),
        (Timestamp::MAX, SECOND, None),
        (Timestamp::MAX, Duration::MAX, None),
        (START, Duration::MAX, None),
    ];
    for (start, duration, end) in table {
        assert_eq!(start.checked_add(duration), end, "{start} + {duration:?}");
    }
}

#[tokio::test]
async fn r24_lifetimes_that_overflow_are_typed_errors() {
    let clock = ManualClock::new(START);
    let builder = || KeyRing::builder("acme").clock(clock.clone());
    let limited = builder().build(MemoryStore::new()).unwrap();
    let unlimited = builder()
        .unlimited_lifetime()
        .build(MemoryStore::new())
        .unwrap();
    let longest_limit = builder()
        .max_lifetime(Duration::from_hours(100 * 8766))
        .build(MemoryStore::new())
        .unwrap();
    let days_90 = Duration::from_hours(2160);
    let too_long = ErrorKind::LifetimeTooLong { longest: days_90 };
    let grant = || Grant::new("alice");
    let table = [
        (
            &limited,
            grant().expires_in(Duration::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().expires_at(Timestamp::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (&limited, grant().expires_in(days_90 + SECOND), too_long),
        (&limited, grant().never_expires(), too_long),
        // A late start does not stretch the limit.
        (
            &limited,
            grant().not_before(at(10)).expires_in(days_90),
            too_long,
        ),
        (
            &limited,
            grant().not_before(Timestamp::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().expires_at(START),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().expires_in(Duration::ZERO),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().expires_in(Duration::from_millis(999)),
            ErrorKind::InvalidLifetime,
        ),
        (
            &limited,
            grant().not_before(at(10)).expires_at(at(10)),
            ErrorKind::InvalidLifetime,
        ),
        (
            &unlimited,
            grant().expires_in(Duration::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (
            &unlimited,
            grant().not_before(Timestamp::MAX),
            ErrorKind::InvalidLifetime,
        ),
        (
            &unlimited,
            grant().not_before(Timestamp::MAX).expires_in(SECOND),
            ErrorKind::InvalidLifetime,
        ),
        (
            &longest_limit,
            grant().expires_in(Duration::MAX),
            ErrorKind::InvalidLifetime,
        ),
    ];
    for (ring, grant, expected) in table {
        let told = format!("{ring:?} {grant:?}");
        let error = ring.issue(grant).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{told}");
        assert!(ring.list(&ListQuery::new()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn r24_no_key_is_valid_at_the_end_of_time_and_one_that_never_expires_survives_it() {
    let clock = ManualClock::new(START);
    let ring = KeyRing::builder("acme")
        .clock(clock.clone())
        .unlimited_lifetime()
        .build(MemoryStore::new())
        .unwrap();
    let never = issued(&ring, Grant::new("alice").never_expires()).await;
    let last = issued(&ring, Grant::new("alice").expires_at(Timestamp::LAST_YEAR)).await;
    let just_before = Timestamp::from_unix(Timestamp::LAST_YEAR.as_unix() - 1);

    for now in [START, just_before] {
        clock.set(now);
        assert_eq!(cause(&ring, &last).await, None, "last, at {now}");
    }
    for (now, expected) in [
        (START, None),
        (just_before, None),
        // The value of a broken clock.
        (Timestamp::MAX, Some(InvalidCause::Expired)),
        (START, None),
    ] {
        clock.set(now);
        assert_eq!(cause(&ring, &never).await, expected, "never, at {now}");
    }
}

/// Reads the time that a test sets, and panics if none is set.
#[derive(Debug, Clone)]
struct Failing(Option<Timestamp>);

impl Clock for Failing {
    fn now(&self) -> Timestamp {
        self.0.expect("the clock panicked, as the test wants it to")
    }
}

/// Whatever a clock reads, and even if it reads nothing, a key is revoked by itself, with its lineage
/// and with its subject. By the clocks of others, it stays revoked.
#[tokio::test]
async fn r32_a_clock_that_fails_keeps_no_key_from_being_revoked() {
    use tower_api_key::store::KeyStore;

    let folder = crate::folder::Folder::new();
    let stores = || -> Vec<Arc<dyn KeyStore>> {
        vec![
            Arc::new(MemoryStore::new()),
            Arc::new(tower_api_key_sqlite::SqliteStore::open(folder.fresh()).unwrap()),
        ]
    };
    let beyond = Timestamp::from_unix(i64::MAX as u64 + 1);
    for reading in [None, Some(Timestamp::MAX), Some(beyond)] {
        for store in stores() {
            let (ring, clock) = ring_over(store.clone());
            let failing = KeyRing::builder("acme").realm("orders");
            let failing = failing.clock(Failing(reading)).build(store).unwrap();
            let reason = RevocationReason::KeyCompromise;
            let grant = || Grant::new("alice");
            let alone = ring.issue(grant()).await.unwrap();
            failing.revoke(alone.record().id(), reason).await.unwrap();
            let old = ring.issue(grant()).await.unwrap();
            let old_id = old.record().id();
            let new = ring.rotate(old_id, SECOND).await.unwrap();
            let count = failing.revoke_lineage(old_id, reason).await;
            assert_eq!(count.unwrap(), 2, "{reading:?}");
            let last = ring.issue(grant().scopes(["read", "write"])).await;
            let last = last.unwrap();
            if reading != Some(beyond) {
                let read = "read".parse().unwrap();
                let narrowed = failing.narrow(last.record().id(), &read).await.unwrap();
                assert_eq!(narrowed.scopes().as_str(), "read", "{reading:?}");
            }
            let count = failing.revoke_subject("alice", reason).await;
            assert_eq!(count.unwrap(), 1, "{reading:?}");

            for now in [START, at(0), Timestamp::from_unix(0)] {
                clock.set(now);
                for key in [&alone, &old, &new, &last] {
                    let revoked = Some(InvalidCause::Revoked);
                    let key_text = key.secret().expose().as_bytes();
                    assert_eq!(cause(&ring, key_text).await, revoked, "{reading:?}");
                    let record = ring.get(key.record().id()).await.unwrap().unwrap();
                    for at in [Timestamp::from_unix(0), now, Timestamp::MAX] {
                        assert_eq!(record.state_at(at), KeyState::Revoked);
                    }
                }
            }
            clock.set(at(1_000_000_000));
            assert_eq!(ring.purge().await.unwrap(), 0);
        }
    }
}

fn ring_over(store: Arc<dyn tower_api_key::store::KeyStore>) -> (KeyRing, ManualClock) {
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme").realm("orders");
    (builder.clock(clock.clone()).build(store).unwrap(), clock)
}
