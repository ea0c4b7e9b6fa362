//! Watches: none ends before its key does, and each ends soon after.

use std::task::Poll;

use proptest::prelude::*;
use tower_api_key::{ErrorKind, KeyId, KeyState, Watch};

use super::Check;
use super::operations::At;
use super::rings::WATCH_INTERVAL;
use super::run::Run;
use crate::support::poll_once;

pub(super) struct Watching {
    watch: Watch,
    pub(super) ring: usize,
    pub(super) id: KeyId,
    /// The elapsed time at the first poll that found the key over, and the watch going on. By then the
    /// rounds of its ring go on too, so that one of them is due an interval later.
    over_since: Option<u64>,
    /// Its ring has changed the key since the last poll, or has not looked at it yet.
    pub(super) told: bool,
}

impl Run<'_> {
    pub(super) fn watch(&mut self, at: At) {
        let (_, id, ring) = self.resolve(at);
        // A further watch of a key begins with the record as last seen.
        let is_first = !self
            .watches
            .iter()
            .any(|other| other.ring == ring && other.id == id);
        self.watches.push(Watching {
            watch: self.world.rings[ring].watch(id),
            ring,
            id,
            over_since: None,
            told: is_first,
        });
    }

    pub(super) fn poll_watches(&mut self) -> Check {
        let elapsed = self.reference.elapsed;
        let mut watches = std::mem::take(&mut self.watches);
        while let Some(mut watching) = watches.pop() {
            let polled = poll_once(&mut watching.watch);
            let polled = polled.map(|over| over.map_err(|error| error.kind()));
            let known = self
                .reference
                .by_id(watching.id)
                .filter(|&key| self.reference.knows(watching.ring, key));
            let over = match known {
                None => Some(Err(ErrorKind::NotFound)),
                Some(key) => {
                    let parts = &self.reference.keys[key].parts;
                    let horizon = self.reference.horizon(watching.ring);
                    match self.reference.state(horizon, parts) {
                        KeyState::Live | KeyState::NotYetValid => None,
                        over => Some(Ok(over)),
                    }
                }
            };
            match polled {
                Poll::Ready(ended) => {
                    prop_assert_eq!(Some(ended), over, "how the watch of {} ended", watching.id);
                    if let (Some(key), Ok(KeyState::Expired | KeyState::Replaced)) = (known, ended)
                    {
                        let parts = self.reference.keys[key].parts.clone();
                        self.reference.remember_end(watching.ring, &parts);
                    }
                    self.count(&format!("watch: {ended:?}"));
                }
                Poll::Pending => {
                    let due = watching.told
                        || watching
                            .over_since
                            .is_some_and(|at| elapsed - at >= WATCH_INTERVAL);
                    prop_assert!(
                        over.is_none() || !due,
                        "the watch of {} goes on, though the key is over: {over:?}",
                        watching.id
                    );
                    watching.told = false;
                    watching.over_since = match over {
                        Some(_) => watching.over_since.or(Some(elapsed)),
                        None => None,
                    };
                    self.watches.push(watching);
                }
            }
        }
        Ok(())
    }
}
