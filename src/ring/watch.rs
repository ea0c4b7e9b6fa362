//! Watching a key for as long as a connection lasts.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::KeyRing;
use super::bounded::Bounded;
use super::owned::Answered;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::record::KeyState;
use crate::ring::watchers::{Ended, Seen, Ticket};
use crate::store::{BoxFuture, Found, StoreError, StoreErrorKind};
use crate::time::Timestamp;

impl KeyRing {
    /// A future that completes when the key is over, with the reason: it expired, its grace period
    /// ended, or it was revoked. Race it against a WebSocket or a stream, which was authenticated once
    /// and would otherwise never end.
    ///
    /// A change made through this ring or a clone of it is seen at once. For the changes of other rings
    /// and processes, the ring reads the records of all its watched keys again at its
    /// [`watch_interval`](crate::KeyRingBuilder::watch_interval). That costs the store one
    /// [`get_many`](crate::store::KeyStore::get_many) for each thousand keys, however many watches a key
    /// has. A store that has its records in memory is not asked again for a key that was seen, and one that hears of
    /// the changes of others, as a replica does, has the watches look at once. Up to an eighth of each interval is left out at random, so that the members of a fleet do
    /// not read in step. A watch of a key that is watched already begins with the record as last seen.
    ///
    /// The ring does not start a thread. Any watch that is polled drives the reading for all.
    ///
    /// ```
    /// use tower_api_key::{Grant, KeyRing, KeyState, RevocationReason, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let id = ring.issue(Grant::new("alice")).await?.record().id();
    ///
    /// let over = ring.watch(id);
    /// ring.revoke(id, RevocationReason::KeyCompromise).await?;
    /// assert_eq!(over.await?, KeyState::Revoked);
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The watch is over too when the key cannot be seen any more, so that a connection ends
    /// whose key is in doubt: [`ErrorKind::NotFound`] for an id that this realm does not know,
    /// [`ErrorKind::OwnerRefused`] when the application refuses its [owner](crate::Owners),
    /// [`ErrorKind::Store`] when the store or the look-up of the owner fails, or takes longer than the ring's
    /// [`lookup_timeout`](crate::KeyRingBuilder::lookup_timeout).
    pub fn watch(&self, id: KeyId) -> Watch {
        Watch {
            ring: self.clone(),
            ticket: Some(self.0.watchers.enter(id)),
        }
    }

    /// Looks at every watched key in each interval, and in between at those that change or end.
    async fn watch_all(self) {
        let ring = &self.0;
        loop {
            let mut interval = ring.clock.sleep(less_a_part(ring.watch_interval));
            loop {
                let (due, is_round) = self.due(&mut interval).await;
                self.look_at(&due).await;
                if is_round {
                    break;
                }
            }
        }
    }

    /// The keys that are due next, and whether they are all.
    async fn due(&self, interval: &mut BoxFuture<'static, ()>) -> (Vec<KeyId>, bool) {
        let ring = &self.0;
        let mut end = ring.watchers.next_end().and_then(|end| {
            let left = end
                .as_unix()
                .saturating_sub(ring.reading().latest.as_unix());
            let left = Duration::from_secs(left);
            (left < ring.watch_interval).then(|| ring.clock.sleep(left))
        });
        poll_fn(|context| {
            let asked = ring.watchers.take_asked();
            if !asked.is_empty() {
                return Poll::Ready((asked, false));
            }
            if interval.as_mut().poll(context).is_ready() {
                return Poll::Ready((ring.watchers.ids(None), true));
            }
            match &mut end {
                Some(end) => end.as_mut().poll(context).map(|()| {
                    let latest = ring.reading().latest;
                    (ring.watchers.ids(Some(latest)), false)
                }),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Reads these records and ends the watches that are over.
    async fn look_at(&self, ids: &[KeyId]) {
        let watchers = &self.0.watchers;
        let ids = self.look_in_memory(ids).await;
        let mut batches = ids.chunks(BATCH);
        while let Some(batch) = batches.next() {
            let found = self.get_in_time(batch.to_vec()).await;
            // A store that answers for no key of a batch is not asked for the rest, which would wait
            // for each batch anew with its keys in doubt.
            let failure = match &found[..] {
                [Err(failure), others @ ..] if others.iter().all(Result::is_err) => {
                    Some(failure.clone())
                }
                _ => None,
            };
            self.publish(batch.iter().copied().zip(found)).await;
            if let Some(failure) = failure {
                let rest = batches.flatten();
                let failed = |&id| (id, Seen::Ended(Ended::Failed(failure.clone())));
                return watchers.publish(rest.map(failed));
            }
        }
    }

    /// Looks at those keys whose records are in memory, and returns the others.
    async fn look_in_memory(&self, ids: &[KeyId]) -> Vec<KeyId> {
        let ring = &self.0;
        let Some(index) = &ring.index else {
            return ids.to_vec();
        };
        let (mut looks, mut left) = (Vec::new(), Vec::new());
        for (&id, digest) in ids.iter().zip(ring.watchers.digests(ids)) {
            match digest.and_then(|digest| index.find(&ring.realm, &digest)) {
                Some(found) => {
                    let found = found.filter(|record| record.id() == id);
                    looks.push((id, Ok(found)));
                }
                None => left.push(id),
            }
        }
        self.publish(looks).await;
        left
    }

    /// Ends the watches of the keys that are over by their records, or whose owner is refused.
    async fn publish(&self, found: impl IntoIterator<Item = (KeyId, Found)>) {
        let found: Vec<_> = found.into_iter().collect();
        let latest = self.0.reading().latest;
        let live = found.iter().filter_map(|(_, found)| match found {
            Ok(Some(record)) if latest < record.valid_until() => Some(record.subject()),
            _ => None,
        });
        let owners = self.owners_of(live).await;
        let looks = found.into_iter().map(|(id, found)| {
            let owner = match (&owners, &found) {
                (Some(owners), Ok(Some(record))) => owners.get(record.subject()).cloned(),
                _ => None,
            };
            let seen = match self.seen(found, latest) {
                Seen::Live { .. } if owners.is_some() && !is_known(owner.as_ref()) => {
                    Seen::Ended(match owner {
                        Some(Err(failure)) => Ended::Failed(failure),
                        _ => Ended::OwnerRefused,
                    })
                }
                seen => seen,
            };
            (id, seen)
        });
        self.0.watchers.publish(looks);
    }

    fn seen(&self, found: Found, latest: Timestamp) -> Seen {
        match found {
            Ok(Some(record)) => match record.state_at(latest) {
                KeyState::Live | KeyState::NotYetValid => Seen::Live {
                    until: record.valid_until(),
                    digest: *record.digest(),
                },
                over => {
                    self.0.remember_end(&record);
                    Seen::Ended(Ended::Over(over))
                }
            },
            Ok(None) => Seen::Ended(Ended::Unknown),
            Err(error) => Seen::Ended(Ended::Failed(error)),
        }
    }

    /// An answer for each of these, within the bound that a look-up has.
    async fn get_in_time(&self, ids: Vec<KeyId>) -> Vec<Found> {
        let (ring, count, within) = (self.clone(), ids.len(), self.0.lookup_timeout);
        let get: BoxFuture<'static, _> =
            Box::pin(async move { ring.0.store.get_many(&ring.0.realm, &ids).await });
        match Bounded::new(get, self.0.clock.sleep(within)).await {
            Ok(found) if found.len() == count => found,
            Ok(_) => {
                let answer = "the store returned other keys than those requested";
                vec![Err(StoreError::new(StoreErrorKind::Corrupt, answer)); count]
            }
            Err(missing) => vec![Err(missing.failure(within)); count],
        }
    }
}

/// Whether an owner was found, and not refused.
fn is_known(owner: Option<&Answered>) -> bool {
    matches!(owner, Some(Ok(Some(_))))
}

/// How many records are read at a time.
const BATCH: usize = 1_000;

/// The interval without up to an eighth of it, by chance.
fn less_a_part(interval: Duration) -> Duration {
    // Each has keys of its own.
    let chance = RandomState::new().hash_one(()) % 1024;
    let part = u32::try_from(chance).unwrap_or(0);
    interval.saturating_sub(interval / (8 * 1024) * part)
}

/// Completes when a key is over, from [`KeyRing::watch`].
#[must_use = "a watch does nothing unless it is awaited"]
pub struct Watch {
    ring: KeyRing,
    /// `None` once it is over.
    ticket: Option<Ticket>,
}

impl Future for Watch {
    type Output = Result<KeyState, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { ring, ticket } = &mut *self;
        let Some(watching) = ticket else {
            panic!("`Watch` polled after it completed");
        };
        let ended = ready!(watching.poll(context, || Box::pin(ring.clone().watch_all())));
        *ticket = None;
        Poll::Ready(match ended {
            Ended::Over(state) => Ok(state),
            Ended::Unknown => Err(ErrorKind::NotFound.into()),
            Ended::OwnerRefused => Err(ErrorKind::OwnerRefused.into()),
            Ended::Failed(error) => Err(error.into()),
        })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
