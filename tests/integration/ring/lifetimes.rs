//! The lifetime of keys, and its limits.

use std::time::Duration;

use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{
    ErrorKind, Grant, InvalidCause, KeyRing, KeyRingBuilder, ManualClock, Timestamp,
};

use super::{DAY, invalid, verdict};
use crate::support::{START, ring_and_clock};

const NINETY_DAYS: Duration = Duration::from_hours(2160);
const SECOND: Duration = Duration::from_secs(1);

fn later(duration: Duration) -> Timestamp {
    START.checked_add(duration).unwrap()
}

fn alice() -> Grant {
    Grant::new("alice")
}

/// The end that each grant gets from a ring with these options, or the reason why there is none.
async fn assert_ends(
    build: fn(KeyRingBuilder) -> KeyRingBuilder,
    table: impl IntoIterator<Item = (Grant, Result<Option<Timestamp>, ErrorKind>)>,
) {
    let builder = KeyRing::builder("acme").clock(ManualClock::new(START));
    let ring = build(builder).build(MemoryStore::new()).unwrap();
    let mut issued = 0;
    for (row, (grant, expected)) in table.into_iter().enumerate() {
        let text = format!("row {row}: {grant:?}");
        let end = ring
            .issue(grant)
            .await
            .map(|issued| issued.record().expires_at())
            .map_err(|error| error.kind());
        assert_eq!(end, expected, "{text}");
        issued += usize::from(end.is_ok());
    }
    // The refused grants left no record.
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().len(), issued);
}

#[tokio::test]
async fn r33_a_grant_that_says_nothing_ends_after_90_days() {
    let end = Ok(Some(later(NINETY_DAYS)));
    assert_ends(|ring| ring, [(alice(), end)]).await;
    assert_ends(KeyRingBuilder::unlimited_lifetime, [(alice(), end)]).await;
    let shorter = |ring: KeyRingBuilder| ring.max_lifetime(DAY);
    assert_ends(shorter, [(alice(), Ok(Some(later(DAY))))]).await;
    let longer = |ring: KeyRingBuilder| ring.max_lifetime(365 * DAY);
    assert_ends(longer, [(alice(), end)]).await;
    let endless = |ring: KeyRingBuilder| ring.max_lifetime(Duration::from_hours(100 * 8766));
    assert_ends(endless, [(alice(), end)]).await;
}

#[tokio::test]
async fn r33_a_lifetime_is_at_most_what_the_ring_grants() {
    let too_long = Err(ErrorKind::LifetimeTooLong {
        longest: NINETY_DAYS,
    });
    let invalid = Err(ErrorKind::InvalidLifetime);
    let last = Ok(Some(later(NINETY_DAYS)));
    assert_ends(
        |ring| ring,
        [
            (alice().never_expires(), too_long),
            (alice().expires_in(SECOND), Ok(Some(later(SECOND)))),
            (alice().expires_in(NINETY_DAYS), last),
            // Whole seconds: a started one does not count.
            (
                alice().expires_in(NINETY_DAYS + Duration::from_millis(999)),
                last,
            ),
            (alice().expires_in(NINETY_DAYS + SECOND), too_long),
            (alice().expires_in(Duration::from_secs(1 << 60)), invalid),
            (alice().expires_in(Duration::ZERO), invalid),
            (alice().expires_in(Duration::from_millis(999)), invalid),
            (alice().expires_in(Duration::MAX), invalid),
            (alice().expires_at(later(NINETY_DAYS)), last),
            (alice().expires_at(later(NINETY_DAYS + SECOND)), too_long),
            (alice().expires_at(Timestamp::MAX), invalid),
            (alice().expires_at(START), invalid),
            (alice().expires_at(Timestamp::from_unix(0)), invalid),
        ],
    )
    .await;
}

#[tokio::test]
async fn r33_never_must_be_said_by_ring_and_grant() {
    assert_ends(
        KeyRingBuilder::unlimited_lifetime,
        [
            (alice().never_expires(), Ok(None)),
            (alice().expires_in(1000 * DAY), Ok(Some(later(1000 * DAY)))),
            (
                alice().expires_in(Duration::MAX),
                Err(ErrorKind::InvalidLifetime),
            ),
            (
                alice().expires_in(Duration::ZERO),
                Err(ErrorKind::InvalidLifetime),
            ),
            (
                alice().expires_at(Timestamp::LAST_YEAR),
                Ok(Some(Timestamp::LAST_YEAR)),
            ),
            (
                alice().expires_at(Timestamp::MAX),
                Err(ErrorKind::InvalidLifetime),
            ),
            (alice().expires_at(START), Err(ErrorKind::InvalidLifetime)),
        ],
    )
    .await;
    // The last word counts.
    let limited = |ring: KeyRingBuilder| ring.unlimited_lifetime().max_lifetime(DAY);
    let too_long = Err(ErrorKind::LifetimeTooLong { longest: DAY });
    assert_ends(limited, [(alice().never_expires(), too_long)]).await;
}

#[tokio::test]
async fn r33_a_late_start_does_not_stretch_the_limit() {
    let too_long = Err(ErrorKind::LifetimeTooLong {
        longest: NINETY_DAYS,
    });
    let invalid = Err(ErrorKind::InvalidLifetime);
    let last = Ok(Some(later(NINETY_DAYS)));
    let tomorrow = || alice().not_before(later(DAY));
    assert_ends(
        |ring| ring,
        [
            (tomorrow(), last),
            (tomorrow().expires_in(89 * DAY), last),
            (tomorrow().expires_in(89 * DAY + SECOND), too_long),
            (tomorrow().expires_at(later(DAY)), invalid),
            (
                tomorrow().expires_at(later(DAY + SECOND)),
                Ok(Some(later(DAY + SECOND))),
            ),
            (alice().not_before(later(NINETY_DAYS)), invalid),
            (alice().not_before(Timestamp::MAX), invalid),
            (
                alice().not_before(Timestamp::MAX).expires_in(SECOND),
                invalid,
            ),
            // A start in the past becomes now.
            (
                alice().not_before(Timestamp::from_unix(0)).expires_in(DAY),
                Ok(Some(later(DAY))),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn r24_no_lifetime_runs_over_the_end_of_time() {
    const LAST_YEAR: u64 = Timestamp::LAST_YEAR.as_unix();

    for (clock, lifetime, expected) in [
        (u64::MAX, Duration::ZERO, Err(ErrorKind::InvalidLifetime)),
        (LAST_YEAR - 10, SECOND * 10, Ok(Some(Timestamp::LAST_YEAR))),
        (LAST_YEAR - 10, SECOND * 11, Err(ErrorKind::InvalidLifetime)),
    ] {
        let ring = KeyRing::builder("acme")
            .clock(ManualClock::new(Timestamp::from_unix(clock)))
            .unlimited_lifetime()
            .build(MemoryStore::new())
            .unwrap();
        let end = ring
            .issue(alice().expires_in(lifetime))
            .await
            .map(|issued| issued.record().expires_at())
            .map_err(|error| error.kind());
        assert_eq!(end, expected, "{lifetime:?} from {clock}");
    }
    let limited = KeyRing::builder("acme")
        .clock(ManualClock::new(Timestamp::MAX))
        .build(MemoryStore::new())
        .unwrap();
    for grant in [alice(), alice().expires_in(SECOND)] {
        let error = limited.issue(grant).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidLifetime);
    }
}

/// 90 days are 7 776 000 s. Their milliseconds, taken for seconds, are 246 years.
#[tokio::test]
async fn r33_milliseconds_taken_for_seconds_are_refused_by_every_way_to_a_key() {
    let milliseconds = Duration::from_secs(NINETY_DAYS.as_secs() * 1000);
    let store = MemoryStore::new();
    let build = |prefix: &str| {
        KeyRing::builder(prefix)
            .clock(ManualClock::new(START))
            .unlimited_lifetime()
            .accept_imports()
            .build(store.clone())
            .unwrap()
    };
    let (ring, visitors) = (build("acme"), build("visit"));
    let old = ring.issue(alice()).await.unwrap();
    let visitor = visitors.issue(alice()).await.unwrap();
    let grant = || alice().expires_in(milliseconds);
    let digest = "00".repeat(32).parse().unwrap();
    for refused in [
        ring.issue(grant()).await.map(drop),
        ring.regrant(old.record().id(), grant()).await.map(drop),
        ring.promote(&visitors, visitor.record().id(), grant())
            .await
            .map(drop),
        ring.import_plaintext(grant(), crate::support::IMPORTED)
            .await
            .map(drop),
        ring.import_digest(grant(), digest).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidLifetime);
    }
    let accepted = Ok("alice".to_owned());
    assert_eq!(verdict(&ring, old.secret().expose()).await, accepted);
    assert_eq!(
        verdict(&visitors, visitor.secret().expose()).await,
        accepted
    );
}

#[tokio::test]
async fn r24_no_grace_runs_over_the_year_9999() {
    const LAST_YEAR: u64 = Timestamp::LAST_YEAR.as_unix();

    for (grant, grace, expected) in [
        (alice().never_expires(), 10, Ok(Some(Timestamp::LAST_YEAR))),
        (alice().never_expires(), 11, Err(ErrorKind::InvalidGrace)),
        // Its own expiry would come first.
        (
            alice().expires_in(SECOND * 5),
            11,
            Err(ErrorKind::InvalidGrace),
        ),
    ] {
        let ring = KeyRing::builder("acme")
            .clock(ManualClock::new(Timestamp::from_unix(LAST_YEAR - 10)))
            .unlimited_lifetime()
            .build(MemoryStore::new())
            .unwrap();
        let old = ring.issue(grant).await.unwrap().record().id();
        let rotated = ring.rotate(old, SECOND * grace).await;
        let record = ring.get(old).await.unwrap().unwrap();
        let end = rotated.map(|_| record.grace_ends_at());
        assert_eq!(end.map_err(|error| error.kind()), expected, "{grace}");
        assert_eq!(record.grace_ends_at().is_some(), expected.is_ok());
    }
}

#[tokio::test]
async fn r24_a_key_is_valid_in_a_half_open_interval() {
    let (ring, clock) = ring_and_clock();
    let grant = alice().not_before(later(DAY)).expires_at(later(2 * DAY));
    let issued = ring.issue(grant).await.unwrap();
    let key = issued.secret().expose();
    for (now, expected) in [
        (0, invalid(InvalidCause::NotYetValid)),
        (later(DAY).as_unix() - 1, invalid(InvalidCause::NotYetValid)),
        (later(DAY).as_unix(), Ok("alice".to_owned())),
        (later(2 * DAY).as_unix() - 1, Ok("alice".to_owned())),
        (later(2 * DAY).as_unix(), invalid(InvalidCause::Expired)),
        // Set back: keys that were refused as expired stay refused.
        (later(DAY).as_unix(), invalid(InvalidCause::Expired)),
        (u64::MAX, invalid(InvalidCause::Expired)),
    ] {
        clock.set(Timestamp::from_unix(now));
        assert_eq!(verdict(&ring, key).await, expected, "at {now}");
    }
}
