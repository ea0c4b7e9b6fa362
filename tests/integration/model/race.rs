//! Another writer that comes between the read and the commit of an operation. It commits first, and
//! the operation must end as if it had begun after it.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tower_api_key::{Error, Issued, KeyId, KeyRecord};

use super::operations::{At, Operation, Rival};
use super::run::Run;
use super::sets::Taken;
use super::{Check, now};

/// A waiting rival.
pub(super) struct Raced {
    rival: Rival,
    key: Option<usize>,
    id: KeyId,
    ring: usize,
    taken: Taken,
    done: Arc<Mutex<Option<Done>>>,
}

/// Its outcome, and the number of commits by then.
struct Done {
    outcome: Outcome,
    commits: usize,
}

enum Outcome {
    Rotated(Box<Result<Issued, Error>>),
    Narrowed(Result<Arc<KeyRecord>, Error>),
    Revoked(Result<(), Error>),
    LineageRevoked(Result<usize, Error>),
}

impl Run<'_> {
    pub(super) fn race(&mut self, rival: Rival, at: At, operation: &Operation) -> Check {
        let (key, id, ring) = self.resolve(at);
        let held = key.map(|key| self.reference.keys[key].parts.scopes.clone());
        let taken = match rival {
            Rival::Narrow(cut) => cut.of(held.as_ref(), ring),
            _ => Taken::default(),
        };
        let done = Arc::<Mutex<Option<Done>>>::default();
        let (code, log) = (self.world.rings[ring].clone(), Arc::clone(&self.world.log));
        let (narrowing, filled) = (taken.narrowing(), Arc::clone(&done));
        *self.world.rival.lock().unwrap() = Some(Box::new(move || {
            let outcome = match rival {
                Rival::Rotate(grace) => Outcome::Rotated(Box::new(now(code.rotate(id, grace)))),
                Rival::RotateAtOnce => Outcome::Rotated(Box::new(now(code.rotate_now(id)))),
                Rival::Narrow(_) => Outcome::Narrowed(now(code.narrow(id, narrowing))),
                Rival::Revoke(reason) => Outcome::Revoked(now(code.revoke(id, reason))),
                Rival::RevokeLineage(reason) => {
                    Outcome::LineageRevoked(now(code.revoke_lineage(id, reason)))
                }
            };
            let commits = log.lock().unwrap().len();
            *filled.lock().unwrap() = Some(Done { outcome, commits });
        }));
        self.raced = Some(Raced {
            rival,
            key,
            id,
            ring,
            taken,
            done,
        });
        self.perform(operation)
    }

    /// First records the rival's commits, if there was a rival and its turn came. Returns whether it came.
    pub(super) fn settle_the_rival(&mut self) -> Result<bool, TestCaseError> {
        let Some(raced) = self.raced.take() else {
            return Ok(false);
        };
        *self.world.rival.lock().unwrap() = None;
        let Some(Done { outcome, commits }) = raced.done.lock().unwrap().take() else {
            return Ok(false);
        };
        let before = self.ledger.commits;
        let later = self.world.log.lock().unwrap().split_off(commits);
        let commits = self.take_down(raced.ring)?;
        self.world.log.lock().unwrap().extend(later);
        let Raced { key, id, ring, .. } = raced;
        match (outcome, raced.rival) {
            (Outcome::Rotated(issued), rival) => {
                let grace = match rival {
                    Rival::Rotate(grace) => Some(grace),
                    _ => None,
                };
                self.rotated((key, id, ring), grace, *issued, before, commits)?;
            }
            (Outcome::Narrowed(record), _) => {
                self.narrowed((key, id, ring), &raced.taken, record, commits)?;
            }
            (Outcome::Revoked(done), Rival::Revoke(reason)) => {
                self.revoked((key, id, ring), reason, done, commits)?;
            }
            (Outcome::LineageRevoked(count), Rival::RevokeLineage(reason)) => {
                self.lineage_revoked((key, id, ring), reason, count, commits)?;
            }
            _ => prop_assert!(false, "another outcome than that of the rival"),
        }
        self.count("race");
        self.conflicts = self.world.conflicts() > 0;
        Ok(true)
    }
}
