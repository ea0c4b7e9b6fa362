//! The arguments of `history`.

use clap::Args;
use tower_api_key::store::HistoryQuery;
use tower_api_key::{Clock, SystemClock, Timestamp};

use crate::durations::{duration, moment};
use crate::failure::Failure;

#[derive(Args)]
pub(crate) struct HistoryArguments {
    /// Only the entries about this key: its id, which is the 12 characters before its last _, with or
    /// without the prefix; - reads the key from standard input
    pub(crate) id: Option<String>,
    /// Only the entries about keys of this subject
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Only entries from this time on, such as 2027-01-15T08:00:00Z, or 7d for the last seven days
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only entries from before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,
    /// Show the oldest entries first, for an export
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// Show at most this many entries; standard error shows how to continue
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    /// Continue after this place, which the previous page named
    #[arg(long, value_name = "PLACE")]
    pub(crate) after: Option<String>,
    /// Remove the entries of the realm that are older than this, such as 730d, and show nothing; an entry
    /// says that they were removed
    #[arg(
        long,
        value_name = "DURATION",
        conflicts_with_all = ["id", "subject", "since", "before", "oldest_first", "limit", "after"]
    )]
    pub(crate) forget_older_than: Option<String>,
}

impl HistoryArguments {
    pub(crate) fn query(&self) -> Result<HistoryQuery, Failure> {
        let mut query = HistoryQuery::new();
        if let Some(subject) = &self.subject {
            query = query.subject(subject);
        }
        if let Some(time) = &self.since {
            query = query.since(time_of(time)?);
        }
        if let Some(time) = &self.before {
            query = query.before(time_of(time)?);
        }
        if self.oldest_first {
            query = query.oldest_first();
        }
        if let Some(limit) = self.limit {
            query = query.limit(limit);
        }
        if let Some(after) = &self.after {
            query = query.after(after.parse()?);
        }
        Ok(query)
    }
}

/// A moment, or how long ago it is.
fn time_of(text: &str) -> Result<Timestamp, Failure> {
    let is_moment = text.contains(['T', 't']) || text.bytes().all(|byte| byte.is_ascii_digit());
    if is_moment {
        return moment(text);
    }
    let ago = duration(text)?.as_secs();
    let now = SystemClock.now().as_unix();
    Ok(Timestamp::from_unix(now.saturating_sub(ago)))
}
