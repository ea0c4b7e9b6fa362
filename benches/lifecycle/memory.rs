//! Memory that remains in use after keys come and go.

use std::time::Duration;

use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{Grant, KeyRing, ManualClock, RevocationReason, Timestamp};

use crate::{keys, now};

const LIVE: usize = 1_000;
/// The duration and the number of purges are the same for any number of pairs.
const MINUTES: usize = 1_000;
const RETENTION_MINUTES: usize = 60;
/// The purge interval of `KeyRing::upkeep`.
const PURGE_MINUTES: usize = 60;
/// Enough pairs that the resident size reflects them, and not how the process started.
const TELLING: usize = 1_000_000;

/// Issues and revokes, while the clock moves and dead records are purged. Prints the memory that
/// remains.
pub(crate) fn over_many_pairs(pairs: usize) {
    let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
    let ring = KeyRing::builder("acme_live")
        .retention(Duration::from_secs(60 * RETENTION_MINUTES as u64))
        .clock(clock.clone())
        .build(MemoryStore::new())
        .unwrap();
    let live = keys(&ring, LIVE);
    let pairs_a_minute = pairs / MINUTES;
    // Records that were dead for the retention, and those that died since the last purge.
    let most_dead = pairs_a_minute * (RETENTION_MINUTES + PURGE_MINUTES + 1);
    let mut half_way = None;
    println!(
        "\n{LIVE} live keys and {pairs} pairs of issue and revoke, {pairs_a_minute} a minute, kept \
         for {RETENTION_MINUTES} minutes, purged every {PURGE_MINUTES}: at most {most_dead} dead"
    );
    for pair in 1..=pairs {
        let issued = now(ring.issue(Grant::new("passing"))).unwrap();
        now(ring.revoke(issued.record().id(), RevocationReason::Unspecified)).unwrap();
        if pair % pairs_a_minute == 0 {
            clock.advance(Duration::from_mins(1));
        }
        if pair % (pairs_a_minute * PURGE_MINUTES) == 0 {
            now(ring.purge()).unwrap();
        }
        if pair % (pairs / 4) == 0 {
            let records = now(ring.list(&ListQuery::new())).unwrap().len();
            let resident = resident_kib();
            println!(
                "  {:>3} %  {records:>7} records  {:>6} KiB resident",
                pair * 100 / pairs,
                resident.map_or_else(|| "?".to_owned(), |kib| kib.to_string()),
            );
            assert!(records <= LIVE + most_dead);
            if pair == pairs / 2 {
                half_way = resident;
            }
        }
    }
    if let (Some(half_way), Some(in_the_end)) = (half_way, resident_kib())
        && pairs >= TELLING
    {
        assert!(in_the_end <= half_way + half_way / 5, "memory grows");
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
