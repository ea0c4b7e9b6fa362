//! Several processes that write to one file, and are killed while they do.

use std::env;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::replica::Feed;
use tower_api_key::{ErrorKind, Grant, RevocationReason};
use tower_api_key_sqlite::SqliteStore;

use super::{Copy, Pulled};
use crate::PATIENCE;
use crate::sharing::ring_over;
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::process::Running;

/// The file of a writer, and the seed of what it does.
const FILE: &str = "FEED_FILE";
const SEED: &str = "FEED_SEED";

/// How many answers with a change are compared with the file, unless `FEED_PULLS` says so.
const PULLS: u32 = 300;

/// Three processes write. One is killed after some answers, and another takes its place.
#[tokio::test]
async fn r22_nothing_that_three_writers_commit_is_missed() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let shell = ring_over(SqliteStore::open(&path).unwrap());
    let mut copy = Copy::of(&store).await;
    let mut writers: Vec<_> = (0..3).map(|seed| writer(&path, seed)).collect();
    let pulls = env::var("FEED_PULLS").map_or(PULLS, |pulls| pulls.parse().expect("a number"));
    for pull in 0..pulls {
        // A writer that is killed may have been the one that holds the lock.
        if pull % 20 == 19 {
            writers.remove(0).kill();
            writers.push(writer(&path, 3 + u64::from(pull)));
            // What was acknowledged before the question is in the answer.
            let issued = shell
                .issue(Grant::new("bob").scopes(["read", "write"]))
                .await
                .unwrap();
            pulled(&mut copy).await;
            let revoked = shell
                .revoke(issued.id(), RevocationReason::KeyCompromise)
                .await;
            pulled(&mut copy).await;
            match revoked {
                Ok(()) => assert!(!copy.is_live(issued.record().digest()), "pull {pull}"),
                // A writer has removed all keys.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            }
        }
        while pulled(&mut copy).await == 0 {
            tokio::time::timeout(PATIENCE, store.hint())
                .await
                .expect("a writer that writes");
        }
    }
}

/// Each answer is compared with the sums of the file.
async fn pulled(copy: &mut Copy) -> usize {
    match copy.pull().await {
        Pulled::Since(keys) => keys,
        Pulled::Lost => panic!("nothing has begun another history"),
    }
}

fn writer(path: &Path, seed: u64) -> Running {
    let seed = seed.to_string();
    let environment = [(FILE, path.to_str().unwrap()), (SEED, &seed)];
    Running::again("follower::processes::write", environment)
}

#[test]
#[ignore = "a process of its own, which another test starts and kills"]
fn write() {
    let (Ok(path), Ok(seed)) = (env::var(FILE), env::var(SEED)) else {
        return;
    };
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    // Only a power failure would show the difference.
    connection
        .execute_batch("PRAGMA synchronous = OFF")
        .unwrap();
    let mut choice = Choice(seed.parse().unwrap());
    loop {
        let run = |sql: &str| connection.execute_batch(sql).expect(sql);
        run("BEGIN IMMEDIATE");
        for _ in 0..=choice.below(4) {
            run(statement(&mut choice));
            if choice.below(3) == 0 {
                run("SAVEPOINT inner");
                run(statement(&mut choice));
                run(["RELEASE inner", "ROLLBACK TO inner; RELEASE inner"][choice.below(2)]);
            }
        }
        run(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"][choice.below(4)]);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn statement(choice: &mut Choice) -> &'static str {
    match choice.below(100) {
        0 => "DELETE FROM api_keys",
        1..60 => {
            "INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation,
                 version, metadata)
             VALUES (hex(randomblob(6)), 'orders', randomblob(32), 'alice', 'read write', 100, 100,
                 'AAAAAAAAAAAA', 0, 1, '{}')"
        }
        60..75 => {
            "UPDATE api_keys SET revoked_at = 200, revocation_reason = 'superseded', version = version + 1
             WHERE revoked_at IS NULL AND digest IN
                 (SELECT digest FROM api_keys WHERE digest >= randomblob(32) ORDER BY digest LIMIT 2)"
        }
        75..90 => {
            "UPDATE api_keys SET scopes = 'read', version = version + 1 WHERE digest IN
                 (SELECT digest FROM api_keys WHERE digest >= randomblob(32) ORDER BY digest LIMIT 2)"
        }
        _ => {
            "DELETE FROM api_keys WHERE digest IN
                 (SELECT digest FROM api_keys WHERE digest >= randomblob(32) ORDER BY digest LIMIT 2)"
        }
    }
}

/// Numbers that a seed decides.
struct Choice(u64);

impl Choice {
    fn below(&mut self, end: usize) -> usize {
        // Knuth's MMIX. Its high bits are the better ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}
