//! How long the store takes for a look-up.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, Histogram, Unit, describe_gauge, describe_histogram, gauge, histogram};

use super::ring_clock::RingClock;
use crate::access::realm::Realm;
use crate::store::{Found, Lookup};
use crate::support::caught::caught;

const DURATION: &str = "api_key_lookup_duration_seconds";
const IN_FLIGHT: &str = "api_key_lookups_in_flight";
const LIMIT: &str = "api_key_lookups_in_flight_limit";

/// Measures the look-ups of a ring that its store answers.
pub(super) struct Meter(Arc<Durations>);

struct Durations {
    clock: RingClock,
    found: Histogram,
    unknown: Histogram,
    failed: Histogram,
    abandoned: Histogram,
}

impl Meter {
    pub(super) fn new(realm: &Realm, clock: &RingClock) -> Self {
        let text = "How long the store took for a look-up. Those in memory are left out.";
        describe_histogram!(DURATION, Unit::Seconds, text);
        let of = |result: &'static str| {
            let realm = realm.as_str().to_owned();
            histogram!(DURATION, "realm" => realm, "result" => result)
        };
        Self(Arc::new(Durations {
            clock: clock.clone(),
            found: of("found"),
            unknown: of("unknown"),
            failed: of("failed"),
            abandoned: of("abandoned"),
        }))
    }

    /// Measures a look-up to its end.
    pub(super) fn measure(&self, ask: impl FnOnce() -> Lookup) -> Lookup {
        let timed = Timed {
            durations: Arc::clone(&self.0),
            begun: self.0.elapsed(),
            is_over: false,
        };
        match ask() {
            Lookup::Ready(found) => {
                timed.end(&found);
                Lookup::Ready(found)
            }
            Lookup::Pending(found) => Lookup::Pending(Box::pin(async move {
                let found = found.await;
                timed.end(&found);
                found
            })),
        }
    }
}

impl Durations {
    /// `None` from a clock that does not count it: then nothing is measured.
    fn elapsed(&self) -> Option<Duration> {
        caught(|| self.clock.elapsed())?
    }
}

/// A look-up that has begun.
struct Timed {
    durations: Arc<Durations>,
    begun: Option<Duration>,
    is_over: bool,
}

impl Timed {
    fn end(mut self, found: &Found) {
        self.is_over = true;
        self.record(match found {
            Ok(Some(_)) => &self.durations.found,
            Ok(None) => &self.durations.unknown,
            Err(_) => &self.durations.failed,
        });
    }

    fn record(&self, histogram: &Histogram) {
        if let Some(begun) = self.begun
            && let Some(ended) = self.durations.elapsed()
        {
            caught(|| histogram.record(ended.saturating_sub(begun)));
        }
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        if !self.is_over {
            self.record(&self.durations.abandoned);
        }
    }
}

/// The gauge of the look-ups that wait, with its limit beside it.
pub(super) fn in_flight(realm: &Realm, limit: usize) -> Gauge {
    describe_gauge!(IN_FLIGHT, "Look-ups that wait for the store.");
    describe_gauge!(
        LIMIT,
        "How many look-ups may wait for the store: max_pending_lookups."
    );
    let realm = realm.as_str();
    #[expect(clippy::cast_precision_loss, reason = "a limit of 2^53 is none")]
    gauge!(LIMIT, "realm" => realm.to_owned()).set(limit as f64);
    let in_flight = gauge!(IN_FLIGHT, "realm" => realm.to_owned());
    in_flight.set(0.0);
    in_flight
}
