//! From a record to a verdict.

use std::sync::Arc;

use super::Inner;
use super::verifying::{Fault, Judged};
use crate::access::caveat::{Facts, Unmet};
use crate::key::digest::KeyDigest;
use crate::lifecycle::Reading;
use crate::observe::event::{Event, EventKind};
use crate::record::{Held, KeyRecord, KeyState};
use crate::store::{Found, StoreError, StoreErrorKind};
use crate::verdict::{InvalidCause, VerifyError, VerifyErrorKind};

impl Inner {
    /// The verdict on what a look-up found.
    #[inline]
    pub(super) fn judge(
        &self,
        found: Found,
        digest: &KeyDigest,
        facts: impl Fn() -> Facts,
    ) -> Judged {
        match found {
            Ok(Some(record)) => self
                .judged(record.into(), digest, self.reading(), facts)
                .inspect_err(|error| self.report_reuse(error)),
            Ok(None) => Err(VerifyError::invalid(InvalidCause::Unknown)),
            Err(error) => Err(VerifyError::store_unavailable(error)),
        }
    }

    /// The refusal of a key that was presented. The end of a lineage is reported as a reuse.
    #[cold]
    pub(super) fn refuse(&self, record: Held, fault: Fault, at: Reading) -> VerifyError {
        let error = self.refusal(record, fault, at);
        self.report_reuse(&error);
        error
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

    /// The judgement of a record, which tells no observer.
    #[inline]
    pub(super) fn judged(
        &self,
        record: Held,
        digest: &KeyDigest,
        at: Reading,
        facts: impl Fn() -> Facts,
    ) -> Judged {
        match self.examine(&record, digest, at, facts) {
            Ok(()) => Ok(record),
            Err(fault) => Err(self.refusal(record, fault, at)),
        }
    }

    /// The only function that judges a record. The facts are collected only for a key with caveats.
    #[inline]
    pub(super) fn examine(
        &self,
        record: &KeyRecord,
        digest: &KeyDigest,
        at: Reading,
        facts: impl Fn() -> Facts,
    ) -> Result<(), Fault> {
        if record.digest() != digest {
            return Err(Fault::OfAnotherDigest);
        }
        if !record.is_live_between(at.now, at.latest) || *record.realm() != self.realm {
            return Err(Fault::NotLive);
        }
        if !record.caveats().is_empty() {
            record.caveats().check(&facts()).map_err(Fault::Unmet)?;
        }
        // With owners, it is not used yet.
        if let Some(uses) = &self.uses
            && self.owners.is_none()
        {
            uses.note(record, at.now);
        }
        Ok(())
    }

    #[cold]
    fn refusal(&self, record: Held, fault: Fault, at: Reading) -> VerifyError {
        let record = record.into_record();
        match fault {
            Fault::OfAnotherDigest => of_another_digest(),
            Fault::Unmet(unmet) => unmet_by(unmet, record),
            Fault::NotLive => self.not_live(record, at),
        }
    }

    /// Why a record is not accepted. The end of a key that is denied for its age is remembered,
    /// so that a clock that is set back does not revive it.
    fn not_live(&self, record: Arc<KeyRecord>, at: Reading) -> VerifyError {
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
fn of_another_digest() -> VerifyError {
    let answer = "the store returned the record of another digest";
    VerifyError::store_unavailable(StoreError::new(StoreErrorKind::Corrupt, answer))
}

fn unmet_by(unmet: Unmet, record: Arc<KeyRecord>) -> VerifyError {
    VerifyError::invalid(match unmet {
        Unmet::Unknown => InvalidCause::UnknownCaveat,
        Unmet::ByFacts => InvalidCause::CaveatNotMet,
    })
    .of(record)
}
