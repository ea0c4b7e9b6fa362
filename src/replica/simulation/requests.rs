//! Requests, by the paths of the product, with pauses between their steps.

use std::sync::Arc;

use super::database::{SECOND, STALENESS};
use super::happening::{Happening, Read, Request};
use super::keys::{START, digest, realm};
use super::mutant::Mutant;
use super::node::{Returning, Seen};
use super::world::World;
use crate::record::KeyRecord;

impl World {
    /// Threads lose the processor between two steps, and sometimes for long.
    pub(super) fn step_later(&mut self, request: Request) {
        let gap = if !self.is_calm() && self.random.per_mille(8) {
            self.random.about(3 * SECOND)
        } else {
            self.random.below(3)
        };
        self.after(gap, Happening::Step(request));
    }

    pub(super) fn step(&mut self, mut request: Request) {
        let mutant = self.mutant;
        let node = &self.nodes[request.node];
        let digest = digest(request.key);
        if mutant == Some(Mutant::ReadFirst) && request.read.is_none() {
            request.read = Some(Read(node.memory.held(&digest)));
            return self.step_later(request);
        }
        let Some(has_passed) = request.has_passed else {
            let is_fresh = node.is_fresh(mutant);
            let (proven, local) = (node.proven, node.local_time(self.now));
            self.oracle.require(
                "s03_no_lease_before_the_first_catch_up",
                !is_fresh || proven.is_some(),
                || format!("node {}", request.node),
            );
            let has_proof = proven.is_some_and(|(_, until)| local < until);
            self.oracle
                .require("s10_503_only_without_proof", is_fresh || !has_proof, || {
                    format!("node {}", request.node)
                });
            if is_fresh && mutant.is_none() && self.random.per_mille(500) {
                // The function that does both at once.
                let index = self.nodes[request.node].memory.index();
                let read = index.find(&realm(), &digest);
                return self.verdict(&request, read.expect("the clock stands"));
            }
            request.has_passed = Some(is_fresh);
            return self.step_later(request);
        };
        if !has_passed {
            return self.stale(request);
        }
        let read = match request.read.take() {
            Some(Read(read)) => read,
            None => node.memory.held(&digest),
        };
        if read.is_none() && mutant == Some(Mutant::AsksForUnknown) {
            return self.stale(request);
        }
        self.verdict(&request, read);
    }

    /// What [`Replica::find`](crate::replica::Replica) does.
    fn stale(&mut self, request: Request) {
        let has_passed = request.has_passed == Some(true);
        self.oracle
            .require("s12_unknown_keys_ask_nobody", !has_passed, || {
                format!("node {}, key {}", request.node, request.key)
            });
        let node = &self.nodes[request.node];
        let before = node.memory.held(&digest(request.key));
        if self.is_lost(request.node) {
            self.oracle.unavailable += 1;
            return;
        }
        let wire = self.wire();
        self.after(wire, Happening::Find { request, before });
    }

    pub(super) fn find(&mut self, request: Request, before: Option<Arc<KeyRecord>>) {
        let found = self.database.rows.get(digest(request.key).as_bytes());
        let found = found.cloned();
        if self.is_lost(request.node) {
            self.oracle.unavailable += 1;
            return;
        }
        let wire = self.wire();
        let found = Happening::Found {
            request,
            before,
            found,
        };
        self.after(wire, found);
    }

    pub(super) fn found(
        &mut self,
        request: &Request,
        before: Option<&KeyRecord>,
        found: Option<Arc<KeyRecord>>,
    ) {
        let mutant = self.mutant;
        let memory = &self.nodes[request.node].memory;
        let believes = matches!(mutant, Some(Mutant::Revives | Mutant::Forgets));
        let found = if believes {
            found
        } else {
            memory.met(&realm(), &digest(request.key), before, found)
        };
        self.verdict(request, found);
    }

    fn verdict(&mut self, request: &Request, record: Option<Arc<KeyRecord>>) {
        let Request {
            node: index,
            key,
            began,
            ..
        } = *request;
        let is_held = self.nodes[index].memory.held(&digest(key)).is_some();
        let seen = self.nodes[index].seen.get(&key).cloned();
        let Some(record) = record else {
            self.oracle.denials += 1;
            if seen.is_some() && !is_held {
                self.nodes[index].seen.insert(key, Seen::Dead);
            }
            return;
        };
        let is_live = record.is_live_between(START, START);
        let gains = match &seen {
            Some(Seen::Dead) => is_live,
            Some(Seen::Held(before)) => !record.is_within(before),
            None => false,
        };
        self.oracle
            .require("s07_dead_stays_dead_on_a_node", !gains, || {
                format!("node {index}, key {key}, at {began}")
            });
        if !matches!(seen, Some(Seen::Dead)) {
            let next = if is_live {
                is_held.then(|| Seen::Held(Arc::clone(&record)))
            } else {
                Some(Seen::Dead)
            };
            if let Some(next) = next {
                self.nodes[index].seen.insert(key, next);
            }
        }
        if !is_live {
            self.oracle.denials += 1;
            return;
        }
        self.oracle.accept(index, key, began, &record);
        if let Some(change) = self.nodes[index].returned.get(&key) {
            let is_seen = change.returned_at > began
                || (change.record.as_ref()).is_some_and(|changed| record.is_within(changed));
            self.oracle
                .require("a_node_sees_its_own_changes", is_seen, || {
                    format!("node {index}, key {key}, at {began}")
                });
        }
    }

    /// Whether a change is on the branch that lives.
    pub(super) fn is_acknowledged(&self, change: &Returning) -> bool {
        self.oracle.has(change.key, change.visible_at)
    }

    /// A node has waited until what it revoked must be refused everywhere.
    pub(super) fn settled(&mut self, change: Returning, began_local: u64) {
        let waited = self.nodes[change.node].local_time(self.now) - began_local;
        if waited < STALENESS / 9 * 10 {
            let length = self.nodes[change.node].true_length(STALENESS / 9 * 10 - waited);
            let settled = Happening::Settled {
                change,
                began_local,
            };
            return self.after(length, settled);
        }
        if !self.is_acknowledged(&change) {
            return;
        }
        self.oracle.settled += 1;
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            node.at(self.now);
            let held = node.memory.held(&digest(change.key));
            let is_refused = match (&held, &change.record) {
                (None, _) => true,
                (Some(held), Some(changed)) => held.is_within(changed),
                (Some(_), None) => false,
            };
            let holds = is_refused || !node.is_fresh(self.mutant);
            self.oracle
                .require("s08_settled_means_refused_everywhere", holds, || {
                    format!("node {index}, key {}", change.key)
                });
        }
    }
}
