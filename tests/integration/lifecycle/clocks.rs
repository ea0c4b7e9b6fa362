//! A promotion between rings that read two clocks.

use std::time::Duration;

use tower_api_key::{ErrorKind, Grant, KeyRing, ManualClock};

use super::{DAY, HOUR, House, MINUTE};
use crate::support::{START, issue};

/// Two rings over one store. The clock of the second is ahead, or behind if the last argument is false.
fn rings(house: &House, by: Duration, ahead: bool) -> (KeyRing, KeyRing) {
    let visitors = house.ring("visitors", |builder| builder.max_lifetime(30 * MINUTE));
    let start = if ahead {
        START.checked_add(by).unwrap()
    } else {
        house.clock.advance(by);
        START
    };
    let clock = ManualClock::new(start);
    (
        visitors,
        house.ring("customers", |builder| builder.clock(clock)),
    )
}

#[tokio::test]
async fn r33_the_real_key_has_the_times_of_its_own_ring() {
    for ahead in [true, false] {
        let house = House::new();
        let (visitors, customers) = rings(&house, MINUTE, ahead);
        let id = issue(&visitors, "").await.record().id();
        let real = customers.promote(&visitors, id, Grant::new("alice")).await;
        let real = real.unwrap();
        let now = if ahead {
            START.checked_add(MINUTE).unwrap()
        } else {
            START
        };
        assert_eq!(real.record().issued_at(), now);
        assert_eq!(real.record().expires_at(), now.checked_add(90 * DAY));
    }
}

/// The clock that is ahead decides.
#[tokio::test]
async fn r24_a_temporary_key_that_is_over_by_either_clock_is_not_promoted() {
    for ahead in [true, false] {
        let house = House::new();
        let id = issue(&house.ring("visitors", |builder| builder), "").await;
        let brief = Grant::new("visitor").expires_in(30 * MINUTE);
        let brief = house.ring("visitors", |builder| builder).issue(brief).await;
        let (id, brief) = (id.record().id(), brief.unwrap().record().id());
        let (visitors, customers) = rings(&house, HOUR, ahead);
        let promoted = customers.promote(&visitors, brief, Grant::new("alice"));
        let text = "the key has expired: issue a new one";
        house
            .assert_refused(promoted, ErrorKind::KeyExpired, text)
            .await;
        // By the other clock alone the key would be valid.
        let promoted = customers.promote(&visitors, id, Grant::new("alice")).await;
        promoted.unwrap();
    }
}
