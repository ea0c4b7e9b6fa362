//! The writer: a loop of changes on a lineage of each subject, all subjects at the same time.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tower_api_key::store::ListQuery;
use tower_api_key::{Clock as _, Grant, Issued, KeyId, KeyRing, RevocationReason, SystemClock};

use super::Random;

pub(super) const SUBJECTS: [&str; 3] = ["alice", "bob", "carol"];
pub(super) const REASON: RevocationReason = RevocationReason::KeyCompromise;
/// Longer than the tests take, so that no grace period ends in between.
const GRACE: Duration = Duration::from_hours(12);
/// More operations than any writer completes.
const STEPS: u64 = 20_000;

/// A change, as the lines name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Issue,
    Rotate(KeyId),
    RotateAtOnce(KeyId),
    Regrant(KeyId),
    Revoke(KeyId),
    RevokeLineage(KeyId),
}

/// Works until it is killed.
pub(super) async fn work(ring: &KeyRing, seed: u64) {
    // The test runner may have begun a line.
    say("");
    let turn = Arc::new(Mutex::new(()));
    let tasks: Vec<_> = (0_u64..)
        .zip(SUBJECTS)
        .map(|(number, subject)| {
            let (ring, turn) = (ring.clone(), Arc::clone(&turn));
            let random = Random(seed * 1_000 + number);
            tokio::spawn(async move { change_forever(&ring, subject, random, &turn).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    panic!("nobody killed the writer");
}

async fn change_forever(ring: &KeyRing, subject: &str, mut random: Random, turn: &Mutex<()>) {
    for _ in 0..STEPS {
        let (operation, scopes) = choose(ring, subject, &mut random).await;
        say(&format!("{subject} begins {operation}"));
        let new = apply(ring, subject, operation, scopes).await;
        let id = new.as_ref().map(|issued| issued.record().id());
        let made = id.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
        say(&format!("{subject} made {made}"));
        if let Some(issued) = new {
            let at = SystemClock.now();
            record_a_use(ring, &issued, turn).await;
            say(&format!("{subject} used {made} {}", at.as_unix()));
        }
    }
}

/// In turns, because a ring's uses are taken by the first caller.
async fn record_a_use(ring: &KeyRing, issued: &Issued, turn: &Mutex<()>) {
    let _turn = turn.lock().await;
    let presented = issued.secret().expose().as_bytes();
    ring.verify(presented).await.unwrap();
    ring.record_uses().await.unwrap();
}

/// The operations that are possible on the keys of the subject as the store holds them, and the
/// scopes of a regrant.
async fn choose(ring: &KeyRing, subject: &str, random: &mut Random) -> (Operation, &'static str) {
    let unrevoked = ListQuery::new().subject(subject).unrevoked();
    let live = ring.list(&unrevoked).await.unwrap();
    let head = live.iter().find(|record| record.grace_ends_at().is_none());
    let in_grace = live.iter().find(|record| record.grace_ends_at().is_some());
    let operation = match (head, in_grace, random.below(8)) {
        (None, None, _) => Operation::Issue,
        (None, Some(last), _) => Operation::RevokeLineage(last.lineage()),
        (Some(head), None, 0..=4) => Operation::Rotate(head.id()),
        (Some(head), _, 5) => Operation::RotateAtOnce(head.id()),
        (Some(head), _, 6) => Operation::Revoke(head.id()),
        (Some(head), Some(_), 7) => Operation::RevokeLineage(head.lineage()),
        (Some(head), _, _) => Operation::Regrant(head.id()),
    };
    let generation = head.map_or(0, |head| head.generation() + 1);
    (operation, scopes_of_regrant(generation))
}

/// The scopes of a key from a regrant, by its generation.
pub(super) const fn scopes_of_regrant(generation: u32) -> &'static str {
    if generation.is_multiple_of(2) {
        "read"
    } else {
        "read write"
    }
}

/// Changes the store, and returns the new key.
async fn apply(
    ring: &KeyRing,
    subject: &str,
    operation: Operation,
    scopes: &str,
) -> Option<Issued> {
    let grant = Grant::new(subject).scopes(scopes);
    let issued = match operation {
        Operation::Issue => ring.issue(grant).await,
        Operation::Rotate(id) => ring.rotate(id, GRACE).await,
        Operation::RotateAtOnce(id) => ring.rotate_now(id).await,
        Operation::Regrant(id) => ring.regrant(id, grant).await,
        Operation::Revoke(id) => {
            ring.revoke(id, REASON).await.unwrap();
            return None;
        }
        Operation::RevokeLineage(id) => {
            ring.revoke_lineage(id, REASON).await.unwrap();
            return None;
        }
    };
    Some(issued.unwrap())
}

/// A whole line, which is in the pipe once this returns.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Issue => f.write_str("issue"),
            Self::Rotate(id) => write!(f, "rotate {id}"),
            Self::RotateAtOnce(id) => write!(f, "rotate_now {id}"),
            Self::Regrant(id) => write!(f, "regrant {id}"),
            Self::Revoke(id) => write!(f, "revoke {id}"),
            Self::RevokeLineage(id) => write!(f, "revoke_lineage {id}"),
        }
    }
}

impl Operation {
    /// Reads the output of [`Display`](std::fmt::Display).
    #[track_caller]
    pub(super) fn of(words: &[&str]) -> Self {
        let id = |text: &str| text.parse().unwrap();
        match words {
            ["issue"] => Self::Issue,
            ["rotate", key] => Self::Rotate(id(key)),
            ["rotate_now", key] => Self::RotateAtOnce(id(key)),
            ["regrant", key] => Self::Regrant(id(key)),
            ["revoke", key] => Self::Revoke(id(key)),
            ["revoke_lineage", key] => Self::RevokeLineage(id(key)),
            _ => panic!("{words:?}"),
        }
    }
}
