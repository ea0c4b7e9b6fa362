//! From presented bytes to a verdict.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
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
        let key_id = self.0.format.parse(presented);
        if key_id.is_none() && !(self.0.accepts_imports && is_importable(presented)) {
            return Verifying::Done(Err(VerifyError::invalid(InvalidCause::Malformed, None)));
        }
        let digest = self.0.digester.current(presented);
        let verdict = match self.0.find(&digest) {
            Lookup::Ready(found) => self.0.judge(found, &digest, key_id),
            Lookup::Pending(found) => {
                let earlier = self.0.digester.earlier(presented);
                return self.wait(found, digest, earlier, key_id);
            }
        };
        if is_unknown(&verdict) && self.0.digester.has_earlier() {
            return self.try_earlier(presented, verdict, key_id);
        }
        Verifying::Done(verdict)
    }

    #[cold]
    fn try_earlier(
        &self,
        presented: &[u8],
        mut verdict: Verdict,
        key_id: Option<KeyId>,
    ) -> Verifying {
        let mut earlier = self.0.digester.earlier(presented).into_iter();
        while let Some(digest) = earlier.next().filter(|_| is_unknown(&verdict)) {
            match self.0.find(&digest) {
                Lookup::Ready(found) => verdict = self.0.judge(found, &digest, key_id),
                Lookup::Pending(found) => {
                    return self.wait(found, digest, earlier.collect(), key_id);
                }
            }
        }
        Verifying::Done(verdict)
    }

    /// Waits for this look-up and, while the key is unknown, for those of the earlier digests,
    /// all together no longer than the ring's bound.
    fn wait(
        &self,
        found: BoxFuture<'static, Found>,
        digest: KeyDigest,
        earlier: Vec<KeyDigest>,
        key_id: Option<KeyId>,
    ) -> Verifying {
        let ring = self.clone();
        let verdict = async move {
            let mut verdict = ring.0.judge(found.await, &digest, key_id);
            for digest in earlier {
                if !is_unknown(&verdict) {
                    break;
                }
                let found = match ring.0.find(&digest) {
                    Lookup::Ready(found) => found,
                    Lookup::Pending(found) => found.await,
                };
                verdict = ring.0.judge(found, &digest, key_id);
            }
            verdict
        };
        Verifying::Pending(Box::pin(Bounded {
            verdict: Box::pin(verdict),
            timeout: self.0.clock.sleep(self.0.lookup_timeout),
            key_id,
        }))
    }
}

impl Inner {
    /// Asks the store; a panic of it is an outage.
    #[inline]
    fn find(&self, digest: &KeyDigest) -> Lookup {
        catch_unwind(AssertUnwindSafe(|| self.store.find(&self.realm, digest)))
            .unwrap_or_else(|_| Lookup::Ready(Err(StoreErrorKind::Unavailable.into())))
    }

    /// The one place where a record becomes a verdict.
    #[inline]
    fn judge(&self, found: Found, digest: &KeyDigest, key_id: Option<KeyId>) -> Verdict {
        let record = match found {
            Ok(Some(record)) if record.digest() == digest => record,
            Ok(_) => return Err(VerifyError::invalid(InvalidCause::Unknown, key_id)),
            Err(_) => return Err(VerifyError::store_unavailable(key_id)),
        };
        let now = self.clock.now().max(Timestamp::from_unix(
            self.earliest_now.load(Ordering::Relaxed),
        ));
        if *record.realm() == self.realm && record.is_live_at(now) {
            return Ok(VerifiedKey::new(record));
        }
        Err(VerifyError::invalid(
            self.cause(&record, now),
            Some(record.id()),
        ))
    }

    /// Why a record is not accepted. The end of a key that is denied for its age is remembered,
    /// so that a clock that is set back does not revive it.
    #[cold]
    fn cause(&self, record: &Arc<KeyRecord>, now: Timestamp) -> InvalidCause {
        if *record.realm() != self.realm {
            return InvalidCause::OtherRealm;
        }
        match record.state_at(now) {
            KeyState::NotYetValid => InvalidCause::NotYetValid,
            KeyState::Revoked => InvalidCause::Revoked,
            ended => {
                // MAX is no end of a key, but what a broken clock says.
                if record.valid_until() != Timestamp::MAX {
                    self.earliest_now
                        .fetch_max(record.valid_until().as_unix(), Ordering::Relaxed);
                }
                if ended == KeyState::Retired {
                    InvalidCause::Retired
                } else {
                    InvalidCause::Expired
                }
            }
        }
    }
}

fn is_unknown(verdict: &Verdict) -> bool {
    verdict
        .as_ref()
        .is_err_and(|error| error.kind() == VerifyErrorKind::Invalid(InvalidCause::Unknown))
}

/// A verdict that comes in time or not at all.
struct Bounded {
    verdict: BoxFuture<'static, Verdict>,
    timeout: BoxFuture<'static, ()>,
    key_id: Option<KeyId>,
}

impl Future for Bounded {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdict> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.verdict.as_mut().poll(context)));
        match polled {
            Ok(Poll::Ready(verdict)) => Poll::Ready(verdict),
            Ok(Poll::Pending) if self.timeout.as_mut().poll(context).is_pending() => Poll::Pending,
            _ => Poll::Ready(Err(VerifyError::store_unavailable(self.key_id))),
        }
    }
}
