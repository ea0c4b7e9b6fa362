//! Verdicts that wait for the store: tasks of the ring, within a bound.

use super::KeyRing;
use super::bounded::Bounded;
use super::verifying::{Verdict, Verifying};
use crate::store::{BoxFuture, StoreError};
use crate::support::caught::caught;
use crate::support::oneshot;
use crate::verdict::VerifyError;

/// For how many times the [bound](crate::KeyRingBuilder::lookup_timeout) of the wait a look-up itself
/// goes on. A database that is slow for a moment would otherwise lose a connection by each late
/// answer, and get slower. A connection that is dead must end some time.
const PATIENCE: u32 = 3;

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
        let place = ring.waiting.enter()?;
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
