//! How many keys there are, as gauges.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use metrics::{Gauge, describe_gauge, gauge};

use super::KeyRing;
use crate::error::Error;
use crate::record::{KeyRecord, KeyState};
use crate::store::{ListQuery, StoreError, StoreErrorKind};
use crate::support::caught::caught_in;
use crate::time::Timestamp;

const LIVE: &str = "api_key_live_keys";
const EXPIRING: &str = "api_key_expiring_keys";

/// As many records as a database reads in some milliseconds.
const PAGE: usize = 500;
/// So that the count of a million keys takes a few minutes, and never more than a small part of a database's time.
const PAUSE: Duration = Duration::from_millis(50);
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
const DAY: u64 = 24 * 60 * 60;

impl KeyRing {
    /// Counts the keys of the ring, now and then again after each interval, as a future that never ends. Needs the
    /// feature `metrics`.
    ///
    /// | gauge | labels |
    /// |---|---|
    /// | `api_key_live_keys` | `realm` |
    /// | `api_key_expiring_keys` | `realm`, `within`: `7d` and `30d` |
    ///
    /// A key that is replaced counts until the end of its grace period, as a key that is expiring. The count reads the
    /// live keys in pages of 500, with a pause of 50 ms after each: a million keys take about three minutes. So count
    /// in one process of a fleet, and each quarter of an hour or more seldom. If the store fails, the gauges stay as
    /// they are, and the ring's observer receives [`UpkeepFailed`](crate::EventKind::UpkeepFailed). An interval is
    /// at least a second.
    ///
    /// The gauges belong to the recorder that is installed when this is called.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tower_api_key::{KeyRing, store::MemoryStore};
    /// # async fn serve() -> Result<(), tower_api_key::Error> {
    /// let ring = KeyRing::builder("acme").metrics().build(MemoryStore::new())?;
    /// tokio::spawn(ring.report_key_counts(Duration::from_secs(15 * 60)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_key_counts(
        &self,
        interval: Duration,
    ) -> impl Future<Output = Infallible> + Send + 'static {
        let (ring, gauges) = (self.clone(), Gauges::new(self.realm().as_str()));
        async move {
            loop {
                let panicked = || Err(StoreError::from(StoreErrorKind::Unavailable).into());
                let counted = caught_in(ring.count_live()).await;
                match counted.unwrap_or_else(panicked) {
                    Ok(counts) => gauges.set(&counts),
                    Err(failure) => ring.report_failure(&failure),
                }
                ring.0.clock.sleep(interval.max(LEAST_INTERVAL)).await;
            }
        }
    }

    async fn count_live(&self) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        let mut query = ListQuery::new().state(KeyState::Live).limit(PAGE);
        loop {
            let now = self.0.reading().latest;
            let page = self.list(&query).await?;
            for record in &page {
                counts.add(record, now);
            }
            let Some(next) = page.next() else {
                return Ok(counts);
            };
            query = query.after(next);
            self.0.clock.sleep(PAUSE).await;
        }
    }
}

#[derive(Default)]
struct Counts {
    live: u32,
    within_a_week: u32,
    within_a_month: u32,
}

impl Counts {
    fn add(&mut self, record: &KeyRecord, now: Timestamp) {
        self.live += 1;
        let left = record.valid_until().as_unix().saturating_sub(now.as_unix());
        self.within_a_week += u32::from(left <= 7 * DAY);
        self.within_a_month += u32::from(left <= 30 * DAY);
    }
}

struct Gauges {
    live: Gauge,
    within_a_week: Gauge,
    within_a_month: Gauge,
}

impl Gauges {
    fn new(realm: &str) -> Self {
        describe_gauge!(LIVE, "Keys that are valid now.");
        describe_gauge!(EXPIRING, "Keys that are valid now, and whose end is near.");
        let expiring = |within| gauge!(EXPIRING, "realm" => realm.to_owned(), "within" => within);
        Self {
            live: gauge!(LIVE, "realm" => realm.to_owned()),
            within_a_week: expiring("7d"),
            within_a_month: expiring("30d"),
        }
    }

    fn set(&self, counts: &Counts) {
        self.live.set(counts.live);
        self.within_a_week.set(counts.within_a_week);
        self.within_a_month.set(counts.within_a_month);
    }
}
