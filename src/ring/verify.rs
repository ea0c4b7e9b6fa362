//! From presented bytes to a verdict.

use std::sync::{Arc, OnceLock};

use super::verifying::{Judged, Verifying};
use super::{Inner, KeyRing};
use crate::access::caveat::{Facts, Unmet};
use crate::key::digest::KeyDigest;
use crate::key::foreign::is_importable;
use crate::lifecycle::Reading;
use crate::observe::event::{Event, EventKind};
use crate::record::{Held, KeyRecord, KeyState, RevocationReason};
use crate::store::{BoxFuture, Found, Lookup, StoreError, StoreErrorKind, Target};
use crate::support::caught::caught;
use crate::time::Timestamp;
use crate::verdict::{InvalidCause, VerifyError, VerifyErrorKind};

impl KeyRing {
    /// Verifies as far as the store answers at once.
    ///
    /// If the records are in memory, the digest comes first: a record that it finds proves every byte.
    #[inline]
    pub(crate) fn begin(&self, presented: &[u8], facts: impl Fn() -> Facts) -> Verifying {
        let Some(index) = &self.0.index else {
            return self.begin_at_store(presented, &facts);
        };
        if !self.0.format.begins_as_key(presented) && !self.0.takes(presented) {
            return Verifying::Done(Err(VerifyError::invalid(InvalidCause::Malformed)));
        }
        // Before the hash, which the processor computes while the clock's reading is still on its way.
        let Some(proof) = index.proof() else {
            return self.begin_at_store(presented, &facts);
        };
        let digest = self.0.digester.current(presented);
        let Some(record) = index.look_up(&proof, &self.0.realm, &digest) else {
            return self.miss(presented, &facts);
        };
        let at = self.0.reading_by(&proof);
        match self.0.judge_record(record, &digest, at, &facts) {
            Ok(record) => self.accept(record),
            Err(error) => self.fail(error, presented, &facts),
        }
    }

    /// The same if a look-up costs a read of a database: only a well-formed key is worth one.
    fn begin_at_store(&self, presented: &[u8], facts: &dyn Fn() -> Facts) -> Verifying {
        if !self.is_well_formed(presented) {
            return Verifying::Done(Err(VerifyError::invalid(InvalidCause::Malformed)));
        }
        let digest = self.0.digester.current(presented);
        match self.0.find(&digest) {
            Lookup::Ready(found) => match self.0.judge(found, &digest, facts) {
                Ok(record) => self.accept(record),
                Err(error) => self.fail(error, presented, facts),
            },
            Lookup::Pending(found) => self.wait(found, digest, presented, facts()),
        }
    }

    /// The end of a look-up in memory that found nothing. Only now the shape and the checksum are read, to
    /// tell a key that is malformed from one that is unknown.
    #[cold]
    fn miss(&self, presented: &[u8], facts: &dyn Fn() -> Facts) -> Verifying {
        let claimed = self.0.format.id_of(presented);
        if claimed.is_none() && !self.0.takes(presented) {
            return Verifying::Done(Err(VerifyError::invalid(InvalidCause::Malformed)));
        }
        let unknown = VerifyError::invalid(InvalidCause::Unknown).claimed_by(|| claimed);
        self.fail(unknown, presented, facts)
    }

    fn is_well_formed(&self, presented: &[u8]) -> bool {
        self.0.format.id_of(presented).is_some() || self.0.takes(presented)
    }

    /// Looks a key up as [`begin`](Self::begin) does if no record has its digest, and never accepts it. It
    /// is the same work, without an effect.
    #[cold]
    pub(crate) fn look_up_in_vain(&self, presented: &[u8]) -> Verifying {
        let unknown = || Err(VerifyError::invalid(InvalidCause::Unknown));
        if !self.is_well_formed(presented) {
            return Verifying::Done(unknown());
        }
        let mut digests = vec![self.0.digester.current(presented)];
        digests.extend(self.0.other_digests(presented));
        let mut digests = digests.into_iter();
        while let Some(digest) = digests.next() {
            if let Lookup::Pending(found) = self.0.find(&digest) {
                let ring = self.clone();
                let later = async move {
                    let _ = found.await;
                    for digest in digests {
                        if let Lookup::Pending(found) = ring.0.find(&digest) {
                            let _ = found.await;
                        }
                    }
                    unknown()
                };
                return self.wait_within_bound(Box::pin(later), VerifyError::store_unavailable);
            }
        }
        Verifying::Done(unknown())
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
                Ok(record) => return self.accept(record),
                Err(other) => error = other,
            }
        }
        if is_unknown(&error)
            && let Some(asked) = self.question(presented)
        {
            let (ring, facts) = (self.clone(), facts());
            let verdict = async move { ring.owned(ring.ask(asked, facts).await?).await };
            return self.wait_within_bound(Box::pin(verdict), VerifyError::store_unavailable);
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
        // A replaced key is refused as such, whatever happens to its lineage: if its answer differed from
        // that to an unknown key, a client could tell them apart.
        let refused = Arc::new(OnceLock::new());
        let decided = Arc::clone(&refused);
        let verdict = async move {
            let mut judged = ring.0.judge(found.await, &digest, || facts);
            for digest in earlier {
                if !judged.as_ref().is_err_and(is_unknown) {
                    break;
                }
                let found = match ring.0.find(&digest) {
                    Lookup::Ready(found) => found,
                    Lookup::Pending(found) => found.await,
                };
                judged = ring.0.judge(found, &digest, || facts);
            }
            if judged.as_ref().is_err_and(is_unknown)
                && let Some(question) = question
            {
                judged = ring.ask(question, facts).await;
            }
            if let Err(error) = &judged
                && ring.answers_reuse(error)
            {
                let _ = decided.set(error.clone());
                ring.answer_reuse(error).await;
            }
            let record = judged.map_err(|error| error.claimed_by(|| claimed))?;
            ring.owned(record).await
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
            && error.kind() == VerifyErrorKind::Invalid(InvalidCause::Replaced)
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
    /// Whether these bytes can be a key that was minted elsewhere, on a ring that takes such keys.
    fn takes(&self, presented: &[u8]) -> bool {
        self.accepts_imports
            && is_importable(presented)
            && self.form.as_ref().is_none_or(|form| form.admits(presented))
    }

    /// Asks the store. A panic in it counts as an outage.
    #[inline]
    pub(super) fn find(&self, digest: &KeyDigest) -> Lookup {
        if let Some(index) = &self.index
            && let Some(found) = index.find(&self.realm, digest)
        {
            return Lookup::Ready(Ok(found));
        }
        let ask = || {
            let panicked = || StoreError::unavailable("the store panicked");
            caught(|| self.store.find(&self.realm, digest))
                .unwrap_or_else(|| Lookup::Ready(Err(panicked())))
        };
        #[cfg(feature = "metrics")]
        if let Some(meter) = &self.meter {
            return meter.measure(ask);
        }
        ask()
    }

    /// The verdict on what a look-up found.
    #[inline]
    pub(super) fn judge(
        &self,
        found: Found,
        digest: &KeyDigest,
        facts: impl Fn() -> Facts,
    ) -> Judged {
        match found {
            Ok(Some(record)) => self.judge_record(record.into(), digest, self.reading(), facts),
            Ok(None) => Err(VerifyError::invalid(InvalidCause::Unknown)),
            Err(error) => Err(VerifyError::store_unavailable(error)),
        }
    }

    /// The judgement of a record that was presented. The end of a lineage is reported as a reuse.
    #[inline]
    fn judge_record(
        &self,
        record: Held,
        digest: &KeyDigest,
        at: Reading,
        facts: impl Fn() -> Facts,
    ) -> Judged {
        self.judged(record, digest, at, facts)
            .inspect_err(|error| self.report_reuse(error))
    }

    #[cold]
    fn report_reuse(&self, error: &VerifyError) {
        if error.kind() == VerifyErrorKind::Invalid(InvalidCause::Replaced)
            && let Some(record) = error.record()
        {
            self.observer
                .tell(|| Event::about(EventKind::Reuse, record));
        }
    }

    /// The only function that judges a record. The facts are collected only for a key with caveats.
    #[inline]
    pub(super) fn judged(
        &self,
        record: Held,
        digest: &KeyDigest,
        at: Reading,
        facts: impl Fn() -> Facts,
    ) -> Judged {
        if record.digest() != digest {
            return Err(of_another_digest());
        }
        if record.is_live_between(at.now, at.latest) && *record.realm() == self.realm {
            if !record.caveats().is_empty()
                && let Err(unmet) = record.caveats().check(&facts())
            {
                return Err(unmet_by(unmet, record.into_record()));
            }
            // With owners, it is not used yet.
            if let Some(uses) = &self.uses
                && self.owners.is_none()
            {
                uses.mark(record.id(), at.now);
            }
            return Ok(record);
        }
        Err(self.refused(record.into_record(), at))
    }

    /// Why a record is not accepted. The end of a key that is denied for its age is remembered,
    /// so that a clock that is set back does not revive it.
    #[cold]
    fn refused(&self, record: Arc<KeyRecord>, at: Reading) -> VerifyError {
        if *record.realm() != self.realm {
            return VerifyError::invalid(InvalidCause::OtherRealm).claimed_by(|| Some(record.id()));
        }
        let state = record.state_at(at.latest);
        if matches!(state, KeyState::Expired | KeyState::Replaced) {
            self.remember_end(&record);
        }
        let cause = match state {
            // Live, except that the clock was set back.
            KeyState::NotYetValid | KeyState::Live => InvalidCause::NotYetValid,
            KeyState::Expired | KeyState::Replaced | KeyState::Revoked
                if record.is_replaced_at(at.latest) =>
            {
                InvalidCause::Replaced
            }
            KeyState::Revoked => InvalidCause::Revoked,
            KeyState::Expired | KeyState::Replaced => InvalidCause::Expired,
        };
        VerifyError::invalid(cause).of(record)
    }
}

/// A store that answers with another key's record is out of order.
#[cold]
fn of_another_digest() -> VerifyError {
    let answer = "the store returned the record of another digest";
    VerifyError::store_unavailable(StoreError::new(StoreErrorKind::Corrupt, answer))
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
