//! Several rings on one route: the first ring that knows the key decides.

use std::task::{Context, Poll};

use zeroize::Zeroizing;

use crate::access::caveat::Facts;
use crate::ring::{KeyRing, Verifying};
use crate::store::BoxFuture;
use crate::verdict::{InvalidCause, VerifiedKey, VerifyError, VerifyErrorKind};

type Verdict = Result<VerifiedKey, VerifyError>;

/// The place among the other rings of the one that decided. `None` is the first ring of the layer.
pub(super) type By = Option<usize>;

/// A verdict, and the ring that gave it.
pub(super) type Decision = (Verdict, By);

/// An attempt at several rings, at its end or waiting for a store.
pub(super) enum Attempt {
    Done(Decision),
    Pending(BoxFuture<'static, Decision>),
}

/// What a request waits for.
pub(super) enum Waiting {
    OneRing(BoxFuture<'static, Verdict>),
    SeveralRings(BoxFuture<'static, Decision>),
}

impl Waiting {
    #[inline]
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Decision> {
        match self {
            Self::OneRing(verdict) => verdict
                .as_mut()
                .poll(context)
                .map(|verdict| (verdict, None)),
            Self::SeveralRings(decision) => decision.as_mut().poll(context),
        }
    }
}

/// Asks the other rings about a key after the first.
#[inline(never)]
pub(super) fn ask<'a>(
    others: impl Iterator<Item = &'a KeyRing>,
    first: Verifying,
    presented: &[u8],
    facts: &dyn Fn() -> Facts,
) -> Attempt {
    let mut search = Search::default();
    let (mut verifying, mut by) = (first, None);
    let mut others = others.enumerate();
    loop {
        let verdict = match verifying {
            Verifying::Done(verdict) => verdict,
            Verifying::Pending(verdict) => {
                let others = others.map(|(place, ring)| (place, ring.clone())).collect();
                let presented = Zeroizing::new(presented.to_vec());
                let later = search.go_on(verdict, by, others, presented, facts());
                return Attempt::Pending(Box::pin(later));
            }
        };
        if let Some(decision) = search.take(verdict, by) {
            return Attempt::Done(decision);
        }
        let Some((place, next)) = others.next() else {
            return Attempt::Done(search.refusal());
        };
        verifying = search.ask(next, presented, facts);
        by = Some(place);
    }
}

/// The answers of the rings so far.
#[derive(Default)]
struct Search {
    refused: Option<(VerifyError, By)>,
    /// Whether a ring knows the key and refuses it. Nothing that a later ring says can change that.
    is_known: bool,
}

impl Search {
    /// Takes the verdict of a ring. Returns the decision if it does not depend on later rings.
    fn take(&mut self, verdict: Verdict, by: By) -> Option<Decision> {
        if self.is_known {
            return None;
        }
        let error = match verdict {
            Ok(key) => return Some((Ok(key), by)),
            Err(error) => error,
        };
        match error.kind() {
            VerifyErrorKind::StoreUnavailable => return Some((Err(error), by)),
            VerifyErrorKind::Invalid(InvalidCause::Malformed) => {
                self.refused.get_or_insert((error, by));
            }
            VerifyErrorKind::Invalid(InvalidCause::Unknown) => {
                // The first ring whose keys have its shape.
                let is_first = self.refused.as_ref().is_none_or(|(earlier, _)| {
                    earlier.kind() == VerifyErrorKind::Invalid(InvalidCause::Malformed)
                });
                if is_first {
                    self.refused = Some((error, by));
                }
            }
            VerifyErrorKind::Invalid(_) => {
                self.is_known = true;
                self.refused = Some((error, by));
            }
        }
        None
    }

    /// Asks a ring. If an earlier ring has refused the key, the answer does not count, and the look-up is
    /// made all the same: otherwise the time of a refusal would say that a ring knows the key.
    fn ask(&self, ring: &KeyRing, presented: &[u8], facts: &dyn Fn() -> Facts) -> Verifying {
        if self.is_known {
            ring.look_up_in_vain(presented)
        } else {
            ring.begin(presented, facts)
        }
    }

    /// The rest of the search, after a look-up that waits.
    async fn go_on(
        mut self,
        verdict: BoxFuture<'static, Verdict>,
        mut by: By,
        others: Vec<(usize, KeyRing)>,
        presented: Zeroizing<Vec<u8>>,
        facts: Facts,
    ) -> Decision {
        let mut verdict = verdict.await;
        for (place, next) in others {
            if let Some(decision) = self.take(verdict, by) {
                return decision;
            }
            let verifying = self.ask(&next, &presented, &|| facts);
            verdict = match verifying {
                Verifying::Done(verdict) => verdict,
                Verifying::Pending(verdict) => verdict.await,
            };
            by = Some(place);
        }
        match self.take(verdict, by) {
            Some(decision) => decision,
            None => self.refusal(),
        }
    }

    fn refusal(self) -> Decision {
        match self.refused {
            Some((error, by)) => (Err(error), by),
            // Not reached: a verdict that decides nothing is a refusal.
            None => (Err(VerifyError::invalid(InvalidCause::Unknown)), None),
        }
    }
}
