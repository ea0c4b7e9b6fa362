//! Look-ups that wait for the store: tasks of the ring, a bounded number at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bounded::Bounded;
use super::verify::{Verdict, Verifying};
use super::{Inner, KeyRing};
use crate::store::{BoxFuture, StoreError, StoreErrorKind};
use crate::support::caught::caught;
use crate::support::oneshot;
use crate::verdict::VerifyError;

/// For how many times the [bound](crate::KeyRingBuilder::lookup_timeout) of the wait a look-up itself
/// goes on. A database that is slow for a moment would otherwise lose a connection by each late
/// answer, and get slower. A connection that is dead must end some time.
const PATIENCE: u32 = 3;

/// How many look-ups wait for the store.
pub(super) struct Waiting {
    now: AtomicUsize,
    most: usize,
}

/// The place of a look-up, which is taken until the look-up has ended, with or without its client.
struct Place(Arc<Inner>);

impl Waiting {
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            now: AtomicUsize::new(0),
            most,
        }
    }

    /// As many, and none of them.
    pub(super) fn anew(&self) -> Self {
        Self::at_most(self.most)
    }

    fn enter(ring: &Arc<Inner>) -> Result<Place, StoreError> {
        let Self { now, most } = &ring.waiting;
        let entered = now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (now < *most).then_some(now + 1)
        });
        match entered {
            Ok(_) => Ok(Place(Arc::clone(ring))),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Overloaded,
                format!("{most} look-ups wait already, which is max_pending_lookups"),
            )),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl KeyRing {
    /// Waits for a verdict no longer than the ring's bound. If there is none, `otherwise` makes one
    /// of the reason. The work goes on in a task of its own if the store has tasks: a client that
    /// hangs up ends nothing half-way.
    pub(super) fn wait_within_bound(
        &self,
        verdict: BoxFuture<'static, Verdict>,
        otherwise: impl FnOnce(StoreError) -> VerifyError + Send + 'static,
    ) -> Verifying {
        match self.begin_waiting(verdict) {
            Ok(waiting) => Verifying::Pending(Box::pin(async move {
                waiting.await.unwrap_or_else(|why| Err(otherwise(why)))
            })),
            Err(why) => Verifying::Done(Err(otherwise(why))),
        }
    }

    fn begin_waiting(
        &self,
        verdict: BoxFuture<'static, Verdict>,
    ) -> Result<BoxFuture<'static, Result<Verdict, StoreError>>, StoreError> {
        let ring = &self.0;
        let place = Waiting::enter(ring)?;
        let within = ring.lookup_timeout;
        // Without a timer there is no bound, and so no wait.
        let sleep = |longest| {
            caught(|| ring.clock.sleep(longest))
                .ok_or_else(|| StoreError::unavailable("the clock panicked"))
        };
        let (timeout, end) = (sleep(within)?, sleep(within.saturating_mul(PATIENCE))?);

        let (answer, answered) = oneshot::channel();
        let task: BoxFuture<'static, ()> = Box::pin(async move {
            let verdict = Bounded::new(verdict, end).await;
            drop(place);
            answer.send(verdict);
        });
        let spawned = caught(|| ring.store.spawn(task))
            .ok_or_else(|| StoreError::unavailable("the store panicked"))?;
        let verdict: BoxFuture<'static, _> = match spawned {
            Ok(()) => Box::pin(answered),
            Err(task) => Box::pin(async move {
                task.await;
                answered.await
            }),
        };
        Ok(Box::pin(async move {
            match Bounded::new(verdict, timeout).await {
                Ok(Some(Ok(verdict))) => Ok(verdict),
                Ok(Some(Err(missing))) | Err(missing) => Err(missing.failure(within)),
                Ok(None) => Err(StoreError::unavailable(
                    "the runtime that the look-up ran in has ended",
                )),
            }
        }))
    }
}
