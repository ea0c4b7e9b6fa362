//! From presented bytes to a verdict.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::{Inner, KeyRing, is_importable};
use crate::clock::Timestamp;
use crate::digest::KeyDigest;
use crate::format::KeyId;
use crate::record::{KeyRecord, KeyState};
use crate::store::{BoxFuture, Found, Lookup, StoreErrorKind};
use crate::verified::{InvalidCause, VerifiedKey, VerifyError, VerifyErrorKind};

type Verdict = Result<VerifiedKey, VerifyError>;

/// A verification, at its end or waiting for the store.
pub(crate) enum Verifying {
    Done(Verdict),
    Pending(BoxFuture<'static, Verdict>),
}

impl KeyRing {
    /// Verifies as far as the store answers at once.
    #[inline]
    pub(crate) fn begin(&self, presented: &[u8]) -> Verifying {
        let well_formed =
            self.0.format.is_key(presented) || (self.0.accepts_imports && is_importable(presented));
        if !well_formed {
            return Verifying::Done(Err(VerifyError::invalid(InvalidCause::Malformed, None)));
        }
        let digest = self.0.digester.current(presented);
        match self.0.find(&digest) {
            Lookup::Ready(found) => match self.0.judge(found, &digest) {
                Ok(key) => Verifying::Done(Ok(key)),
                Err(error) => self.fail(error, presented),
            },
            Lookup::Pending(found) => self.wait(found, digest, presented),
        }
    }

    /// The end of a verification that failed at the first look-up, or its way on to the digests
    /// of earlier peppers.
    #[cold]
    fn fail(&self, mut error: VerifyError, presented: &[u8]) -> Verifying {
        let mut earlier = if is_unknown(error) {
            self.0.digester.earlier(presented).into_iter()
        } else {
            Vec::new().into_iter()
        };
        while is_unknown(error)
            && let Some(digest) = earlier.next()
        {
            let found = match self.0.find(&digest) {
                Lookup::Ready(found) => found,
                Lookup::Pending(found) => {
                    return self.wait_for(found, digest, earlier.collect(), presented);
                }
            };
            match self.0.judge(found, &digest) {
                Ok(key) => return Verifying::Done(Ok(key)),
                Err(other) => error = other,
            }
        }
        Verifying::Done(Err(error.claimed_by(|| self.0.format.id_of(presented))))
    }

    #[cold]
    fn wait(
        &self,
        found: BoxFuture<'static, Found>,
        digest: KeyDigest,
        presented: &[u8],
    ) -> Verifying {
        let earlier = self.0.digester.earlier(presented);
        self.wait_for(found, digest, earlier, presented)
    }

    /// Waits for this look-up and, while the key is unknown, for those of the earlier digests,
    /// all together no longer than the ring's bound.
    fn wait_for(
        &self,
        found: BoxFuture<'static, Found>,
        digest: KeyDigest,
        earlier: Vec<KeyDigest>,
        presented: &[u8],
    ) -> Verifying {
        let ring = self.clone();
        let verdict = async move {
            let mut verdict = ring.0.judge(found.await, &digest);
            for digest in earlier {
                if !verdict.as_ref().is_err_and(|error| is_unknown(*error)) {
                    break;
                }
                let found = match ring.0.find(&digest) {
                    Lookup::Ready(found) => found,
                    Lookup::Pending(found) => found.await,
                };
                verdict = ring.0.judge(found, &digest);
            }
            verdict
        };
        let claimed = self.0.format.id_of(presented);
        let sleep = || self.0.clock.sleep(self.0.lookup_timeout);
        let Ok(timeout) = catch_unwind(AssertUnwindSafe(sleep)) else {
            // Without a timer there is no bound, and so no wait.
            let error = VerifyError::store_unavailable();
            return Verifying::Done(Err(error.claimed_by(|| claimed)));
        };
        Verifying::Pending(Box::pin(Bounded {
            verdict: Box::pin(verdict),
            timeout,
            claimed,
        }))
    }
}

impl Inner {
    /// Asks the store; a panic of it is an outage.
    #[inline]
    fn find(&self, digest: &KeyDigest) -> Lookup {
        if let Some(memory) = &self.memory {
            return Lookup::Ready(Ok(memory.record(&self.realm, digest)));
        }
        catch_unwind(AssertUnwindSafe(|| self.store.find(&self.realm, digest)))
            .unwrap_or_else(|_| Lookup::Ready(Err(StoreErrorKind::Unavailable.into())))
    }

    /// The one place where a record becomes a verdict.
    #[inline]
    fn judge(&self, found: Found, digest: &KeyDigest) -> Verdict {
        let record = match found {
            Ok(Some(record)) if record.digest() == digest => record,
            Ok(None) => return Err(VerifyError::invalid(InvalidCause::Unknown, None)),
            // A store that answers with another key's record is out of order.
            Ok(Some(_)) | Err(_) => return Err(VerifyError::store_unavailable()),
        };
        // Set back, the clock revives no key that it ended, and begins none ahead of its time.
        let now = self.clock.now();
        let latest = now.max(Timestamp::from_unix(
            self.latest_end.load(Ordering::Relaxed),
        ));
        let live = record.not_before() <= now && latest < record.valid_until();
        if live && *record.realm() == self.realm {
            return Ok(VerifiedKey::new(record));
        }
        Err(self.refused(&record, latest))
    }

    /// Why a record is not accepted. The end of a key that is denied for its age is remembered,
    /// so that a clock that is set back does not revive it.
    #[cold]
    fn refused(&self, record: &KeyRecord, latest: Timestamp) -> VerifyError {
        let cause = match record.state_at(latest) {
            _ if *record.realm() != self.realm => InvalidCause::OtherRealm,
            // Live but for the clock that was set back.
            KeyState::NotYetValid | KeyState::Live => InvalidCause::NotYetValid,
            KeyState::Revoked => InvalidCause::Revoked,
            ended => {
                // MAX is no end of a key, but where time itself ends.
                if record.valid_until() != Timestamp::MAX {
                    self.latest_end
                        .fetch_max(record.valid_until().as_unix(), Ordering::Relaxed);
                }
                if ended == KeyState::Retired {
                    InvalidCause::Retired
                } else {
                    InvalidCause::Expired
                }
            }
        };
        VerifyError::invalid(cause, Some(record.id()))
    }
}

fn is_unknown(error: VerifyError) -> bool {
    error.kind() == VerifyErrorKind::Invalid(InvalidCause::Unknown)
}

/// A verdict that comes in time or not at all.
struct Bounded {
    verdict: BoxFuture<'static, Verdict>,
    timeout: BoxFuture<'static, ()>,
    /// The id that the presented key names.
    claimed: Option<KeyId>,
}

impl Future for Bounded {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdict> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            match self.verdict.as_mut().poll(context) {
                Poll::Pending => (self.timeout.as_mut().poll(context))
                    .map(|()| Err(VerifyError::store_unavailable())),
                ready @ Poll::Ready(_) => ready,
            }
        }));
        let verdict = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(verdict)) => verdict,
            Err(_) => Err(VerifyError::store_unavailable()),
        };
        Poll::Ready(verdict.map_err(|error| error.claimed_by(|| self.claimed)))
    }
}
