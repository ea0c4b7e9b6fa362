//! The count of events that an observer did not take.

use metrics::{Counter, counter, describe_counter};

use super::event::Event;
use crate::access::realm::Realm;
use crate::support::caught::caught;

const DROPPED: &str = "api_key_events_dropped_total";

/// Shows that none of a realm were dropped yet.
pub(super) fn register(realm: &str) {
    describe_counter!(DROPPED, "Events that an observer did not take.");
    let _registered = dropped(realm);
}

/// Counts an event that an observer did not take. A panic of the recorder reaches no one.
#[cold]
pub(super) fn count(event: &Event<'_>) {
    caught(|| dropped(event.realm().map_or("", Realm::as_str)).increment(1));
}

fn dropped(realm: &str) -> Counter {
    counter!(DROPPED, "realm" => realm.to_owned())
}
