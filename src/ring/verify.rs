//! From presented bytes to a verdict.

use std::sync::{Arc, OnceLock};

use super::{Inner, KeyRing};
use crate::access::caveat::{Facts, Unmet};
use crate::key::digest::KeyDigest;
use crate::key::foreign::is_importable;
use crate::lifecycle::Reading;
use crate::observe::event::{Event, EventKind};
use crate::record::{KeyRecord, KeyState, RevocationReason};
use crate::store::{BoxFuture, Found, Lookup, StoreError, StoreErrorKind, Target};
use crate::support::caught::caught;
use crate::time::Timestamp;
use crate::verdict::{InvalidCause, VerifiedKey, VerifyError, VerifyErrorKind};

pub(super) type Verdict = Result<VerifiedKey, VerifyError>;

/// A verification, at its end or waiting for the store.
pub(crate) enum Verifying {
    Done(Verdict),
    Pending(BoxFuture<'static, Verdict>),
}

impl KeyRing {
    /// Verifies as far as the store answers at once.
    #[inline]
    pub(crate) fn begin(&self, presented: &[u8], facts: impl Fn() -> Facts) -> Verifying {
        let well_formed =
            self.0.format.is_key(presented) || (self.0.accepts_imports && is_importable(presented));
        if !well_formed {
            return Verifying::Done(Err(VerifyError::invalid(InvalidCause::Malformed)));
        }
        let digest = self.0.digester.current(presented);
        match self.0.find(&digest) {
            Lookup::Ready(found) => match self.0.judge(found, &digest, &facts) {
                Ok(key) => Verifying::Done(Ok(key)),
                Err(error) => self.fail(error, presented, &facts),
            },
            Lookup::Pending(found) => self.wait(found, digest, presented, facts()),
        }
    }

    /// The end of a verification that failed at the first look-up, or its way on to the digests
    /// of earlier peppers.
    #[cold]
    fn fail(
        &self,
        mut error: VerifyError,
        presented: &[u8],
        facts: &dyn Fn() -> Facts,
    ) -> Verifying {
        let mut earlier = if is_unknown(&error) {
            self.0.other_digests(presented).into_iter()
        } else {
            Vec::new().into_iter()
        };
        while is_unknown(&error)
            && let Some(digest) = earlier.next()
        {
            let found = match self.0.find(&digest) {
                Lookup::Ready(found) => found,
                Lookup::Pending(found) => {
                    return self.wait_for(found, digest, earlier.collect(), presented, facts());
                }
            };
            match self.0.judge(found, &digest, facts) {
                Ok(key) => return Verifying::Done(Ok(key)),
                Err(other) => error = other,
            }
        }
        if is_unknown(&error)
            && let Some(asked) = self.question(presented)
        {
            return self.wait_within_bound(Box::pin(self.clone().ask(asked, facts())), |why| {
                VerifyError::store_unavailable(why)
            });
        }
        let error = error.claimed_by(|| self.0.format.id_of(presented));
        if self.answers_reuse(&error) {
            let (ring, verdict) = (self.clone(), error.clone());
            let answer = async move {
                ring.answer_reuse(&verdict).await;
                Err(verdict)
            };
            return self.wait_within_bound(Box::pin(answer), move |_| error);
        }
        Verifying::Done(Err(error))
    }

    #[cold]
    fn wait(
        &self,
        found: BoxFuture<'static, Found>,
        digest: KeyDigest,
        presented: &[u8],
        facts: Facts,
    ) -> Verifying {
        let earlier = self.0.other_digests(presented);
        self.wait_for(found, digest, earlier, presented, facts)
    }

    /// Waits for this look-up and, while the key is unknown, for those of the earlier digests,
    /// all together no longer than the ring's bound.
    fn wait_for(
        &self,
        found: BoxFuture<'static, Found>,
        digest: KeyDigest,
        earlier: Vec<KeyDigest>,
        presented: &[u8],
        facts: Facts,
    ) -> Verifying {
        let ring = self.clone();
        let claimed = self.0.format.id_of(presented);
        let question = self.question(presented);
        // A reused key is refused as such, whatever happens to its lineage: if its answer differed from
        // that to an unknown key, a client could tell them apart.
        let refused = Arc::new(OnceLock::new());
        let decided = Arc::clone(&refused);
        let verdict = async move {
            let mut verdict = ring.0.judge(found.await, &digest, || facts);
            for digest in earlier {
                if !verdict.as_ref().is_err_and(is_unknown) {
                    break;
                }
                let found = match ring.0.find(&digest) {
                    Lookup::Ready(found) => found,
                    Lookup::Pending(found) => found.await,
                };
                verdict = ring.0.judge(found, &digest, || facts);
            }
            if verdict.as_ref().is_err_and(is_unknown)
                && let Some(question) = question
            {
                verdict = ring.clone().ask(question, facts).await;
            }
            if let Err(error) = &verdict
                && ring.answers_reuse(error)
            {
                let _ = decided.set(error.clone());
                ring.answer_reuse(error).await;
            }
            verdict.map_err(|error| error.claimed_by(|| claimed))
        };
        self.wait_within_bound(Box::pin(verdict), move |why| {
            let unavailable = || VerifyError::store_unavailable(why).claimed_by(|| claimed);
            refused.get().cloned().unwrap_or_else(unavailable)
        })
    }

    /// Whether this refusal is of a replaced key, on a ring that then ends its lineage. A denial only
    /// because a clock was ahead is no proof of theft, and a revocation is permanent.
    fn answers_reuse(&self, error: &VerifyError) -> bool {
        self.0.revokes_on_reuse
            && error.kind() == VerifyErrorKind::Invalid(InvalidCause::Reuse)
            && error.record().is_some_and(|record| {
                let now = self.0.clock.now();
                now != Timestamp::MAX && record.is_replaced_at(now)
            })
    }

    async fn answer_reuse(&self, error: &VerifyError) {
        if let Some(record) = error.record() {
            // The key is refused in any case, and the next reuse tries again. A failure wakes no watch:
            // the holder of such a key could otherwise make all of them read the store at will.
            let lineage = Target::Lineage(record.lineage());
            let _ = self.end(&lineage, RevocationReason::KeyCompromise).await;
        }
    }
}

impl Inner {
    /// Asks the store. A panic in it counts as an outage.
    #[inline]
    pub(super) fn find(&self, digest: &KeyDigest) -> Lookup {
        if let Some(index) = &self.index
            && let Some(found) = index.find(&self.realm, digest)
        {
            return Lookup::Ready(Ok(found));
        }
        caught(|| self.store.find(&self.realm, digest))
            .unwrap_or_else(|| Lookup::Ready(Err(StoreError::unavailable("the store panicked"))))
    }

    /// The only function that turns a record into a verdict. The facts are collected only for a key with
    /// caveats.
    #[inline]
    pub(super) fn judge(
        &self,
        found: Found,
        digest: &KeyDigest,
        facts: impl Fn() -> Facts,
    ) -> Verdict {
        let record = match found {
            Ok(Some(record)) if record.digest() == digest => record,
            Ok(None) => return Err(VerifyError::invalid(InvalidCause::Unknown)),
            // A store that answers with another key's record is out of order.
            Ok(Some(_)) => {
                let answer = "the store answered with the record of another digest";
                let error = StoreError::new(StoreErrorKind::Corrupt, answer);
                return Err(VerifyError::store_unavailable(error));
            }
            Err(error) => return Err(VerifyError::store_unavailable(error)),
        };
        let at = self.reading();
        if record.is_live_between(at.now, at.latest) && *record.realm() == self.realm {
            if !record.caveats().is_empty()
                && let Err(unmet) = record.caveats().check(&facts())
            {
                return Err(unmet_by(unmet, record));
            }
            if let Some(uses) = &self.uses {
                uses.mark(record.id(), at.now);
            }
            return Ok(VerifiedKey::new(record));
        }
        Err(self.refused(record, at))
    }

    /// Why a record is not accepted. The end of a key that is denied for its age is remembered,
    /// so that a clock that is set back does not revive it.
    #[cold]
    fn refused(&self, record: Arc<KeyRecord>, at: Reading) -> VerifyError {
        if *record.realm() != self.realm {
            return VerifyError::invalid(InvalidCause::OtherRealm).claimed_by(|| Some(record.id()));
        }
        let state = record.state_at(at.latest);
        if matches!(state, KeyState::Expired | KeyState::Retired) {
            self.remember_end(&record);
        }
        let cause = match state {
            // Live, except that the clock was set back.
            KeyState::NotYetValid | KeyState::Live => InvalidCause::NotYetValid,
            KeyState::Expired | KeyState::Retired | KeyState::Revoked
                if record.is_replaced_at(at.latest) =>
            {
                self.observer
                    .tell(|| Event::about(EventKind::Reuse, &record));
                InvalidCause::Reuse
            }
            KeyState::Revoked => InvalidCause::Revoked,
            KeyState::Expired | KeyState::Retired => InvalidCause::Expired,
        };
        VerifyError::invalid(cause).of(record)
    }
}

#[cold]
fn unmet_by(unmet: Unmet, record: Arc<KeyRecord>) -> VerifyError {
    VerifyError::invalid(match unmet {
        Unmet::Unknown => InvalidCause::UnknownCaveat,
        Unmet::ByFacts => InvalidCause::CaveatNotMet,
    })
    .of(record)
}

pub(super) fn is_unknown(error: &VerifyError) -> bool {
    error.kind() == VerifyErrorKind::Invalid(InvalidCause::Unknown)
}
