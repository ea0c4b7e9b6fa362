//! A change is applied whole or not at all, and seen so.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use tokio::sync::Notify;

use tower_api_key::store::{
    BoxFuture, Change, Expected, KeyLimit, KeyStore, ListQuery, StoreErrorKind, Write,
};
use tower_api_key::{KeyRecord, KeyRecordParts, Realm, RevocationReason};

use super::race::join;
use super::trial::{self, Trial, after, numbered, realm, subject};
use super::violation::Violation;

const SWAPS: u64 = 150;
const READERS: usize = 3;
/// At how many of its steps a commit is dropped.
const CANCELLED: usize = 24;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    refused_whole(trial).await?;
    seen_whole(trial).await?;
    dropped_whole(trial).await
}

/// A change of four writes, one of which is refused, leaves nothing of the other three.
async fn refused_whole<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let orders = realm("orders");
    let taken = trial.held(&orders, "bob").await?;
    for place in [3, 0, 1] {
        for fault in 0..4 {
            let held = trial.held(&orders, "alice").await?;
            let new = [
                trial.key(&orders, "alice"),
                trial.key(&realm("billing"), "alice"),
            ];
            let mut writes: Vec<Write> = new.map(Write::new).into();
            writes.push(Write::revoked(
                &held,
                RevocationReason::Superseded,
                after(1),
            ));
            let (refused, kind) = match fault {
                0 => (Write::new(taken.clone()), StoreErrorKind::Duplicate),
                1 => {
                    let mut parts = trial.key(&orders, "bob");
                    parts.digest = *taken.digest();
                    (Write::new(parts), StoreErrorKind::Duplicate)
                }
                2 => {
                    let mut write = Write::next(&taken, |_| {});
                    write.expected = Expected::Version(9);
                    (write, StoreErrorKind::Conflict)
                }
                _ => (Write::next(&taken, |_| {}), StoreErrorKind::TooManyKeys),
            };
            let absent: Vec<Arc<KeyRecord>> = writes[..2]
                .iter()
                .map(|write| write.record.clone())
                .collect();
            writes.insert(place, refused);
            let mut change = Change::new(writes);
            if fault == 3 {
                // Here every write is right, and only the limit is exceeded.
                let limit = KeyLimit::new(&orders, &subject("alice"), 0, trial::ISSUED);
                change = change.only_within(limit);
            }
            let what = "a change of several writes, one of them wrong,";
            trial.refuses(&change, kind, what).await?;
            let when = "after the change that it was in was refused";
            for record in &absent {
                trial.hides(record, when).await?;
            }
            trial.shows(&held, when).await?;
            trial.shows(&taken, when).await?;
        }
    }
    Ok(())
}

/// The key that stands after `number` swaps. The ids rise with the swaps.
fn successor(realm: &Realm, number: u64) -> KeyRecordParts {
    let mut parts = trial::key(numbered(1_000_000 + number), realm, "alice");
    parts.lineage = numbered(1_000_000);
    parts
}

/// The state that readers and the writer of [`seen_whole`] share.
#[derive(Default)]
struct Progress {
    /// The number of the swap that is under way.
    swap: AtomicU64,
    /// A reader has read all that it reads, or has failed.
    read: Notify,
    /// Set when the writer is through, or a reader has seen enough.
    done: AtomicBool,
}

/// One live key is swapped for another over and over, while readers see exactly one.
async fn seen_whole<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("swaps");
    let first = trial.put(successor(&realm, 0)).await?;
    let progress = Arc::new(Progress::default());
    let readers: Vec<_> = (0..READERS)
        .map(|_| tokio::spawn(watch(trial.clone(), realm.clone(), Arc::clone(&progress))))
        .collect();
    let writer = swap(trial.clone(), first, Arc::clone(&progress));
    let mut outcome = join(tokio::spawn(writer)).await;
    progress.done.store(true, Ordering::Release);
    for reader in readers {
        outcome = outcome.and(join(reader).await);
    }
    outcome
}

async fn swap<S: KeyStore>(
    trial: Trial<S>,
    mut live: Arc<KeyRecord>,
    progress: Arc<Progress>,
) -> Result<(), Violation> {
    for number in 1..SWAPS {
        // However fast the store is, the readers keep up.
        progress.read.notified().await;
        if progress.done.load(Ordering::Acquire) {
            break;
        }
        progress.swap.store(number, Ordering::Release);
        let begins = Write::new(successor(live.realm(), number));
        let next = begins.record.clone();
        let ends = Write::revoked(&live, RevocationReason::Superseded, after(1));
        let writes = if number % 2 == 0 {
            vec![begins, ends]
        } else {
            vec![ends, begins]
        };
        trial
            .accepts(&Change::new(writes), "a swap of two keys")
            .await?;
        live = next;
    }
    Ok(())
}

async fn watch<S: KeyStore>(
    trial: Trial<S>,
    realm: Realm,
    progress: Arc<Progress>,
) -> Result<(), Violation> {
    let _ended = Ended(&progress);
    // The last reads are those after the last swap.
    let mut last = false;
    while !last {
        last = progress.done.load(Ordering::Acquire);
        read(&trial, &realm, &progress).await?;
        progress.read.notify_one();
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Lets the writer go when a reader ends, by a panic of the store too.
struct Ended<'a>(&'a Progress);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Release);
        self.0.read.notify_one();
    }
}

async fn read<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    progress: &Progress,
) -> Result<(), Violation> {
    let all = ListQuery::new().lineage(numbered(1_000_000));
    let unrevoked = all.clone().unrevoked();
    for query in [&all, &unrevoked] {
        let mut listed = trial.list(realm, query).await?;
        listed.retain(|record| record.revocation().is_none());
        trial.require(
            listed.len() == 1,
            format!(
                "list showed {} live keys of a lineage in which one is swapped for another",
                listed.len()
            ),
        )?;
    }
    let swap = progress.swap.load(Ordering::Acquire);
    if let Some(before) = swap.checked_sub(1) {
        // In this order: a reader that sees the new key live cannot see the old one live after.
        let new = found(trial, realm, swap).await?;
        let old = found(trial, realm, before).await?;
        trial.require(
            old.is_some(),
            "find did not show a key that was committed, while it was changed",
        )?;
        let live = |record: &Option<Arc<KeyRecord>>| {
            record
                .as_ref()
                .is_some_and(|record| record.revocation().is_none())
        };
        trial.require(
            !(live(&new) && live(&old)),
            "find showed a key live after the one that takes its place",
        )?;
    }
    Ok(())
}

async fn found<S: KeyStore>(
    trial: &Trial<S>,
    realm: &Realm,
    number: u64,
) -> Result<Option<Arc<KeyRecord>>, Violation> {
    let record = KeyRecord::from(successor(realm, number));
    trial.find(realm, record.digest()).await
}

/// A commit whose future is dropped half-way has happened whole or not at all.
async fn dropped_whole<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("dropped");
    for polls in 1..=CANCELLED {
        let old = trial.held(&realm, &format!("subject {polls}")).await?;
        let mut parts = trial.key(&realm, old.subject().as_str());
        parts.lineage = old.lineage();
        let ends = Write::revoked(&old, RevocationReason::Superseded, after(1));
        let change = Change::new(vec![Write::new(parts), ends]);
        drop_after(polls, trial.store.commit(&change)).await;
        for _ in 0..3 {
            let lineage = ListQuery::new().lineage(old.lineage());
            let mut listed = trial.list(&realm, &lineage).await?;
            let count = listed.len();
            listed.retain(|record| record.revocation().is_none());
            trial.require(
                listed.len() == 1 && (count == 2) == (listed[0].id() != old.id()),
                "a swap of two keys whose future was dropped happened by half",
            )?;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Polls a future this often, unless it is done before, and drops it.
async fn drop_after<T>(polls: usize, mut future: BoxFuture<'_, T>) {
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Pending if polled < polls => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}
