//! From presented bytes to a verdict.

use std::sync::{Arc, OnceLock};

use super::acceptance::Acceptance;
use super::verifying::{Unfinished, Verifying};
use super::{Inner, KeyRing};
use crate::access::caveat::Facts;
use crate::key::digest::KeyDigest;
use crate::key::foreign::is_importable;
use crate::record::RevocationReason;
use crate::store::{BoxFuture, Found, Lookup, StoreError, Target};
use crate::support::caught::caught;
use crate::time::Timestamp;
use crate::verdict::{InvalidCause, VerifiedKey, VerifyError, VerifyErrorKind};

impl KeyRing {
    /// Verifies as far as the store answers at once.
    pub(crate) fn begin(&self, presented: &[u8], facts: impl Fn() -> Facts) -> Verifying {
        match self.accept_at_once(presented, &facts) {
            Ok(key) => Verifying::Done(Ok(key)),
            Err(unfinished) => self.go_on(unfinished, presented, &facts),
        }
    }

    /// The key, if the record in memory that most requests find accepts it.
    ///
    /// If the records are in memory, the digest comes first: a record that it finds proves every byte.
    #[inline]
    pub(crate) fn accept_at_once(
        &self,
        presented: &[u8],
        facts: impl Fn() -> Facts,
    ) -> Result<VerifiedKey, Unfinished> {
        let Some(index) = &self.0.index else {
            return Err(Unfinished::AtStore);
        };
        if !self.0.format.begins_as_key(presented) && !self.0.takes(presented) {
            return Err(Unfinished::Missed);
        }
        // Before the hash, which the processor computes while the clock's reading is still on its way.
        let Some(proof) = index.proof() else {
            return Err(Unfinished::AtStore);
        };
        let digest = self.0.digester.current(presented);
        let Some(record) = index.look_up(&proof, &self.0.realm, &digest) else {
            return Err(Unfinished::Missed);
        };
        let at = self.0.reading_by(&proof);
        if let Err(fault) = self.0.examine(&record, &digest, at, facts) {
            return Err(Unfinished::Refused(record, fault, at));
        }
        match self.0.acceptance {
            Acceptance::AsItIs => Ok(VerifiedKey::new(record)),
            Acceptance::Otherwise => Err(Unfinished::Accepted(record)),
        }
    }

    /// The way on of a key that was not [accepted at once](Self::accept_at_once).
    #[inline(never)]
    pub(crate) fn go_on(
        &self,
        unfinished: Unfinished,
        presented: &[u8],
        facts: &dyn Fn() -> Facts,
    ) -> Verifying {
        match unfinished {
            Unfinished::AtStore => self.begin_at_store(presented, facts),
            Unfinished::Missed => self.miss(presented, facts),
            Unfinished::Refused(record, fault, at) => {
                self.fail(self.0.refuse(record, fault, at), presented, facts)
            }
            Unfinished::Accepted(record) => self.accept_otherwise(record, facts),
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
                Ok(record) => self.accept(record, facts),
                Err(error) => self.fail(error, presented, facts),
            },
            Lookup::Pending(found) => self.wait(found, digest, presented, facts()),
        }
    }

    /// The end for bytes that found nothing in memory, or begin so that they need not be looked up. Only now the shape and the
    /// checksum are read, to tell a key that is malformed from one that is unknown.
    #[cold]
    fn miss(&self, presented: &[u8], facts: &dyn Fn() -> Facts) -> Verifying {
        let claimed = self.0.format.id_of(presented);
        if claimed.is_none() && !self.0.takes(presented) {
            return Verifying::Done(Err(VerifyError::invalid(InvalidCause::Malformed)));
        }
        let unknown = VerifyError::invalid(InvalidCause::Unknown).claimed_by(|| claimed);
        if self.0.has_one_digest() && self.0.unknown_keys.is_none() {
            return Verifying::Done(Err(unknown));
        }
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
                Ok(record) => return self.accept(record, facts),
                Err(other) => error = other,
            }
        }
        if is_unknown(&error)
            && let Some(asked) = self.question(presented)
        {
            let (ring, facts) = (self.clone(), facts());
            let verdict = async move { ring.owned(ring.ask(asked, facts).await?, facts).await };
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
            ring.owned(record, facts).await
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
}

pub(super) fn is_unknown(error: &VerifyError) -> bool {
    error.kind() == VerifyErrorKind::Invalid(InvalidCause::Unknown)
}
