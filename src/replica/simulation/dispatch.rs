//! Whose turn it is.

use std::time::Duration;

use super::database::{Answered, SECOND, STALENESS, incarnation_of};
use super::happening::{Happening, Request};
use super::keys::Key;
use super::mutant::Mutant;
use super::node::{INTERVAL, Returning};
use super::oracle::Acknowledged;
use super::world::World;
use crate::replica::Changes;
use crate::replica::follower::{Answer, Event, Number, Question};
use crate::store::StoreError;

impl World {
    /// Puts a happening off if its node is paused.
    fn is_put_off(&self, node: usize) -> Option<u64> {
        let until = self.nodes[node].paused_until;
        (until > self.now).then_some(until)
    }

    fn node_of(happening: &Happening) -> Option<usize> {
        match happening {
            Happening::Turn(node)
            | Happening::Hint(node)
            | Happening::Verify(node)
            | Happening::Write(node)
            | Happening::Ping(node)
            | Happening::Arrives { node, .. }
            | Happening::Late { node, .. }
            | Happening::Compared { node, .. }
            | Happening::Written { node, .. }
            | Happening::GivesUp { node, .. } => Some(*node),
            Happening::Settled { change, .. } => Some(change.node),
            Happening::Step(request) | Happening::Found { request, .. } => Some(request.node),
            _ => None,
        }
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        if let Some(node) = Self::node_of(&happening) {
            if let Some(until) = self.is_put_off(node) {
                return self.at(until, happening);
            }
            self.nodes[node].at(self.now);
        }
        match happening {
            Happening::Begin => self.begin(),
            Happening::Commit {
                xid,
                began_at,
                incarnation,
            } => self.commit(xid, began_at, incarnation),
            Happening::Acknowledge {
                key,
                record,
                visible_at,
                incarnation,
            } => {
                if incarnation == self.database.incarnation {
                    let at = self.now;
                    let change = Acknowledged {
                        at,
                        visible_at,
                        record,
                    };
                    self.oracle.acknowledge(key, change);
                }
            }
            Happening::Turn(node) => {
                self.nodes[node].due_at = None;
                self.event(node, Event::Due);
            }
            Happening::Hint(node) => self.event(node, Event::Hint),
            happening @ (Happening::AtDatabase { .. }
            | Happening::Arrives { .. }
            | Happening::Late { .. }) => self.message(happening),
            Happening::Compared {
                node,
                number,
                upto,
                differing,
            } => {
                if self.nodes[node].comparison != number {
                    return;
                }
                if self.nodes[node].follower.is_following() && !differing.is_empty() {
                    self.nodes[node].differs = true;
                    self.oracle.differing += 1;
                }
                self.event(node, Event::Compared(upto, differing));
            }
            Happening::Verify(node) => self.verify(node),
            Happening::Step(request) => self.step(request),
            Happening::Find { request, before } => self.find(request, before),
            Happening::Found {
                request,
                before,
                found,
            } => self.found(&request, before.as_deref(), found),
            Happening::Write(node) => self.write(node),
            Happening::Written { node, change } => self.written(node, change),
            Happening::GivesUp { node, change } => {
                let node = &mut self.nodes[node];
                let waits = |it: &Returning| it.number == change.number;
                if node.waiting.iter().chain(&node.covered).any(waits) {
                    node.waiting.retain(|it| it.number != change.number);
                    node.covered.retain(|it| it.number != change.number);
                    node.freshness().end();
                    node.proven = None;
                    self.returns(change.node, change);
                }
            }
            Happening::Settled {
                change,
                began_local,
            } => self.settled(change, began_local),
            other => self.fault(&other),
        }
    }

    /// Messages between a node and the database.
    fn message(&mut self, happening: Happening) {
        match happening {
            Happening::AtDatabase {
                node,
                number,
                question,
                began_at,
            } => {
                let answered = Box::new(self.database.answer(&question, self.now));
                debug_assert!(began_at <= self.now);
                if !self.is_lost(node) {
                    let wire = self.wire();
                    let arrives = Happening::Arrives {
                        node,
                        number,
                        question,
                        answered,
                    };
                    self.after(wire, arrives);
                }
            }
            Happening::Arrives {
                node,
                number,
                question,
                answered,
            } => self.arrives(node, number, &question, *answered),
            Happening::Late { node, number } => {
                let is_open = self.nodes[node].open.as_ref();
                if is_open.is_some_and(|(open, _)| *open == number) {
                    self.nodes[node].open = None;
                    let failure = StoreError::unavailable("late");
                    self.event(node, Event::Failed(number, failure));
                }
            }
            _ => unreachable!("it is no message"),
        }
    }

    fn fault(&mut self, happening: &Happening) {
        match *happening {
            Happening::Pause(node) => {
                let length = self.random.about(5 * SECOND / 2);
                if !self.is_calm() {
                    let until = (self.now + length).min(self.calm_from);
                    self.nodes[node].paused_until = self.nodes[node].paused_until.max(until);
                    if self.mutant == Some(Mutant::ClockStops) {
                        self.nodes[node].stopped_for += until - self.now;
                    }
                }
                let next = length + self.random.about(15 * SECOND);
                self.after(next, Happening::Pause(node));
            }
            Happening::Cut(node) => {
                let length = self.random.about(4 * SECOND);
                self.nodes[node].cut_until = (self.now + length).min(self.calm_from);
                let next = length + self.random.about(20 * SECOND);
                self.after(next, Happening::Cut(node));
            }
            Happening::FailOver => self.fail_over(),
            Happening::Prune => {
                self.database.prune(self.now);
                self.after(SECOND, Happening::Prune);
            }
            Happening::Ping(node) => {
                if self.mutant == Some(Mutant::PingRenews) && !self.is_lost(node) {
                    let node = &self.nodes[node];
                    if node.proven.is_some() {
                        let lease = Duration::from_micros(STALENESS / 10 * 9);
                        node.freshness().renew(node.ask(), lease);
                    }
                }
                self.after(INTERVAL, Happening::Ping(node));
            }
            _ => unreachable!("it is no fault"),
        }
    }

    fn verify(&mut self, node: usize) {
        let is_rare = self.nodes.len() > 100 || self.is_calm();
        let mean = if is_rare { 400_000 } else { 40_000 };
        let next = self.random.about(mean);
        self.after(next, Happening::Verify(node));
        let key = if self.random.per_mille(10) {
            Key::MAX
        } else {
            self.popular()
        };
        let request = Request {
            node,
            key,
            began: self.now,
            has_passed: None,
            read: None,
        };
        self.step_later(request);
    }

    fn arrives(&mut self, node: usize, number: Number, question: &Question, answered: Answered) {
        let open = self.nodes[node].open.as_ref().map(|(open, _)| *open);
        if open != Some(number) {
            self.nodes[node].strays.insert(number);
        }
        let mut number = number;
        if self.mutant == Some(Mutant::LateAnswer)
            && let Some(open) = open
        {
            number = open;
            self.nodes[node].strays.remove(&number);
        }
        if open == Some(number) {
            if let Question::Changes { since, .. } = question {
                let is_lost = matches!(answered.answer, Answer::Changes(Changes::Lost));
                let is_same = incarnation_of(since) == answered.incarnation;
                self.oracle.resets += u32::from(is_lost);
                self.oracle.require(
                    "s04_a_position_never_crosses_an_incarnation",
                    is_lost || is_same,
                    || format!("node {node}"),
                );
                self.oracle.require(
                    "s06_no_undelivered_change_is_pruned",
                    is_lost || !answered.has_missed,
                    || format!("node {node}"),
                );
            }
            let known = &mut self.nodes[node];
            known.open = None;
            known.answered.rows = answered.rows;
            known.answered.server_time = answered.server_time;
            known.answered.incarnation = answered.incarnation;
            if matches!(question, Question::Page { .. }) {
                known.last_page = Some(answered.position);
            }
        }
        self.event(node, Event::Answered(number, answered.answer));
    }
}
