//! What is left in memory of keys that come and go.

use std::time::Duration;

use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{Grant, KeyRing, ManualClock, RevocationReason, Timestamp};

use crate::{keys, now};

const LIVE: usize = 1_000;
const PAIRS_A_MINUTE: usize = 1_000;
const RETENTION_MINUTES: usize = 60;
/// As `KeyRing::upkeep` purges.
const PURGE_MINUTES: usize = 60;
/// What was dead for the retention, and what died since the last purge.
const MOST_DEAD: usize = PAIRS_A_MINUTE * (RETENTION_MINUTES + PURGE_MINUTES + 1);

/// Issues and revokes, while the clock moves and dead records are purged; prints what is left.
pub(crate) fn over_many_pairs(pairs: usize) {
    let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
    let ring = KeyRing::builder("acme_live")
        .retention(Duration::from_secs(60 * RETENTION_MINUTES as u64))
        .clock(clock.clone())
        .build(MemoryStore::new())
        .unwrap();
    let live = keys(&ring, LIVE);
    println!(
        "\n{LIVE} live keys and {pairs} pairs of issue and revoke, {PAIRS_A_MINUTE} a minute, kept \
         for {RETENTION_MINUTES} minutes, purged every {PURGE_MINUTES}: at most {MOST_DEAD} dead"
    );
    for pair in 1..=pairs {
        let issued = now(ring.issue(Grant::new("passing"))).unwrap();
        now(ring.revoke(issued.record().id(), RevocationReason::Unspecified)).unwrap();
        if pair % PAIRS_A_MINUTE == 0 {
            clock.advance(Duration::from_mins(1));
        }
        if pair % (PAIRS_A_MINUTE * PURGE_MINUTES) == 0 {
            now(ring.purge()).unwrap();
        }
        if pair % (pairs / 4) == 0 {
            let records = now(ring.list(&ListQuery::new())).unwrap().len();
            println!(
                "  {:>3} %  {records:>7} records  {:>6} KiB resident",
                pair * 100 / pairs,
                resident_kib().map_or_else(|| "?".to_owned(), |kib| kib.to_string()),
            );
            assert!(records <= LIVE + MOST_DEAD);
        }
    }
    for key in &live {
        assert!(now(ring.verify(key.as_bytes())).is_ok());
    }
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
