//! The age of a replica, as gauges.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};

use super::Replica;

const STALENESS: &str = "api_key_replica_staleness_seconds";
const BOUND: &str = "api_key_replica_staleness_bound_seconds";
const FRESH: &str = "api_key_replica_fresh";
const RECORDS: &str = "api_key_replica_records";
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

impl Replica {
    /// Sets the gauges of this replica after each interval, as a future that never ends. Needs the feature `metrics`.
    ///
    /// | gauge | content |
    /// |---|---|
    /// | `api_key_replica_staleness_seconds` | [`staleness`](Self::staleness), `+Inf` before the first pull |
    /// | `api_key_replica_staleness_bound_seconds` | the staleness of its [options](super::ReplicaOptions::staleness) |
    /// | `api_key_replica_fresh` | 1 if requests are answered from memory, else 0 |
    /// | `api_key_replica_records` | the records that it holds |
    ///
    /// They have no labels: a process has one replica. A second is a good interval. The gauges belong to the recorder
    /// that is installed when this is called. The events of a replica are counted by the
    /// [`MetricsObserver`](crate::MetricsObserver) that its options name.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tower_api_key::{Error, MetricsObserver, replica::{Feed, Replica}};
    /// # async fn serve(source: impl Feed) -> Result<(), Error> {
    /// let options = Replica::options().observer(MetricsObserver::new());
    /// let (replica, follow) = options.follow(source)?;
    /// tokio::spawn(follow);
    /// tokio::spawn(replica.report_staleness(Duration::from_secs(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_staleness(
        &self,
        interval: Duration,
    ) -> impl Future<Output = Infallible> + Send + 'static {
        describe_gauge!(
            STALENESS,
            Unit::Seconds,
            "How old the records of the replica may be."
        );
        describe_gauge!(
            BOUND,
            Unit::Seconds,
            "How old they may be to answer requests."
        );
        describe_gauge!(FRESH, "Whether requests are answered from memory.");
        describe_gauge!(RECORDS, "The records that the replica holds.");
        gauge!(BOUND).set(self.0.bound.as_secs_f64());
        let (staleness, fresh, records) = (gauge!(STALENESS), gauge!(FRESH), gauge!(RECORDS));
        let replica = self.clone();
        async move {
            loop {
                let age = replica.staleness();
                staleness.set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
                fresh.set(u32::from(replica.is_fresh()));
                records.set(u32::try_from(replica.len()).unwrap_or(u32::MAX));
                replica.0.clock.sleep(interval.max(LEAST_INTERVAL)).await;
            }
        }
    }
}
