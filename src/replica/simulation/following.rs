//! The follower of a node, as the driver of the product does what it says, with interruptions.

use std::time::Duration;

use super::database::STALENESS;
use super::happening::Happening;
use super::mutant::Mutant;
use super::node::Returning;
use super::world::World;
use crate::record::KeyRecord;
use crate::replica::comparison::Comparison;
use crate::replica::follower::{Action, Event, Question};

impl World {
    /// An event of the follower, which waits until what the last one wants is done.
    pub(super) fn event(&mut self, node: usize, event: Event) {
        let is_due = matches!(event, Event::Due);
        let of_node = &mut self.nodes[node];
        if !is_due || of_node.todo.is_empty() {
            of_node.events.push_back(event);
        }
        if of_node.busy_until <= self.now {
            self.go_on(node);
        }
    }

    fn go_on(&mut self, index: usize) {
        loop {
            if self.nodes[index].todo.is_empty() {
                let Some(event) = self.nodes[index].events.pop_front() else {
                    break;
                };
                let node = &mut self.nodes[index];
                let now = node.ask();
                let is_stray = match &event {
                    Event::Answered(number, _) => node.strays.remove(number),
                    _ => false,
                };
                let mut actions = node.follower.on(event, now);
                let is_taken = actions.iter().any(|action| {
                    use Action::{Apply, Load, Renew};

                    matches!(action, Load { .. } | Apply { .. } | Renew { .. })
                });
                self.oracle.require(
                    "s05_an_answer_belongs_to_the_last_question",
                    !(is_stray && is_taken),
                    || format!("node {index}"),
                );
                let node = &mut self.nodes[index];
                if self.mutant == Some(Mutant::DeadlineFirst) {
                    actions.sort_by_key(|action| !matches!(action, Action::Renew { .. }));
                }
                node.heard_at = self.now;
                node.todo = actions.into();
                continue;
            }
            // The process may lose the processor between any two steps.
            if !self.is_calm() && self.random.per_mille(20) {
                let length = self.random.about(1_500_000);
                self.nodes[index].busy_until = self.now + length;
                return self.turn_in(index, length);
            }
            if let Some(action) = self.nodes[index].todo.pop_front() {
                self.act(index, action);
            }
        }
        self.wait_until_due(index);
    }

    fn turn_in(&mut self, node: usize, length: u64) {
        let at = self.now + length;
        self.nodes[node].due_at = Some(at);
        self.at(at, Happening::Turn(node));
    }

    fn wait_until_due(&mut self, index: usize) {
        let node = &self.nodes[index];
        let Some(due) = node.follower.due() else {
            return;
        };
        let local = node.local_time(self.now);
        let due = u64::try_from(due.as_micros())
            .unwrap()
            .saturating_sub(local);
        let at = self.now + node.true_length(due);
        if node.due_at.is_none_or(|earlier| at < earlier) {
            self.turn_in(index, at - self.now);
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        let mutant = self.mutant;
        let node = &mut self.nodes[index];
        match action {
            Action::Ask {
                number,
                question,
                within,
                begins,
            } => {
                if begins {
                    node.pull_asked = node.heard_at;
                    node.steps.begin();
                    node.covered.append(&mut node.waiting);
                }
                self.ask(index, number, question, within);
            }
            Action::Compare(buckets, theirs) => {
                let roster = node.roster.get_or_insert_with(|| node.memory.roster());
                let records = node.memory.records(roster, &buckets);
                let mut comparison = Comparison::new(records, *buckets.end(), theirs);
                let (upto, differing) = loop {
                    if let Some(compared) = comparison.step() {
                        break compared;
                    }
                };
                node.comparison += 1;
                let number = node.comparison;
                let later = self.random.about(20_000);
                let compared = Happening::Compared {
                    node: index,
                    number,
                    upto,
                    differing,
                };
                self.after(later, compared);
            }
            Action::EndComparisons => {
                node.comparison += 1;
                if let Some(roster) = node.roster.take() {
                    node.memory.forget(roster);
                }
            }
            Action::StartOver if mutant == Some(Mutant::OldSteps) => {}
            Action::StartOver => node.steps.start_over(),
            Action::Replace(buckets) => node.steps.replace(&node.memory, &buckets),
            Action::Load { records, is_last } => {
                if mutant == Some(Mutant::Revives) {
                    self.revive(index, &records);
                }
                let node = &mut self.nodes[index];
                let is_last = is_last && mutant != Some(Mutant::NoSweep);
                node.steps.load(&node.memory, &records, is_last);
            }
            Action::Apply { records, gone } => {
                if mutant == Some(Mutant::Revives) {
                    self.revive(index, &records);
                }
                let node = &mut self.nodes[index];
                if mutant == Some(Mutant::Forgets) {
                    for digest in &gone {
                        node.memory.index().remove(digest, u64::MAX);
                    }
                }
                node.steps.apply(&node.memory, records, &gone);
            }
            Action::Renew { asked, lease, .. } => {
                node.steps.complete(&node.memory);
                let (mut asked, mut lease) = (asked, lease);
                match mutant {
                    Some(Mutant::FromAnswer) => asked = node.ask(),
                    Some(Mutant::WholeLease) => lease = Duration::from_micros(STALENESS),
                    Some(Mutant::ServerClock) => {
                        asked = node.ask();
                        let age = self.now - node.answered.server_time;
                        let believed = age.saturating_add_signed(node.wall_skew);
                        let believed = Duration::from_micros(believed.min(STALENESS));
                        lease = lease.saturating_sub(believed);
                    }
                    _ => {}
                }
                node.freshness().renew(asked, lease);
                self.renewed(index, lease);
            }
            Action::Miss => self.miss(index),
            Action::Tell(_) => {}
        }
    }

    /// What the database says replaces what is held.
    fn revive(&self, node: usize, records: &[std::sync::Arc<KeyRecord>]) {
        let index = self.nodes[node].memory.index();
        for record in records {
            if index.remove(record.digest(), u64::MAX) {
                index.put(std::sync::Arc::clone(record));
            }
        }
    }

    fn ask(&mut self, index: usize, number: u64, question: Question, within: Duration) {
        let mut question = question;
        let node = &mut self.nodes[index];
        if let Question::Changes { since, .. } = &mut question
            && let Some(last) = node.last_page.take()
        {
            let is_of_audit = std::mem::take(&mut node.differs);
            match self.mutant {
                Some(Mutant::PositionAfterPages) => *since = last,
                Some(Mutant::AuditSkips) if is_of_audit => *since = last,
                _ => {}
            }
        }
        node.open = Some((number, question.clone()));
        let within = node.true_length(u64::try_from(within.as_micros()).unwrap());
        let late = Happening::Late {
            node: index,
            number,
        };
        self.after(within, late);
        if !self.is_lost(index) {
            let wire = self.wire();
            let at_database = Happening::AtDatabase {
                node: index,
                number,
                question,
                began_at: self.now,
            };
            self.after(wire, at_database);
        }
    }

    /// The changes that wait for a pull return, and look-ups ask the database.
    fn miss(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let mut missed = std::mem::take(&mut node.waiting);
        missed.append(&mut node.covered);
        if !missed.is_empty() && self.mutant != Some(Mutant::ReturnsEarly) {
            node.freshness().end();
            node.proven = None;
        }
        for change in missed {
            self.returns(index, change);
        }
    }

    pub(super) fn returns(&mut self, node: usize, change: Returning) {
        let change = Returning {
            returned_at: self.now,
            ..change
        };
        let began_local = self.nodes[node].local_time(self.now);
        self.nodes[node].returned.insert(change.key, change.clone());
        let length = self.nodes[node].true_length(STALENESS / 9 * 10 + 10);
        let settled = Happening::Settled {
            change,
            began_local,
        };
        self.after(length, settled);
    }

    /// A change of this node was committed.
    pub(super) fn written(&mut self, index: usize, change: Returning) {
        if !self.is_acknowledged(&change) {
            return;
        }
        let node = &mut self.nodes[index];
        if !node.follower.is_following() {
            node.freshness().end();
            node.proven = None;
            return self.returns(index, change);
        }
        node.waiting.push(change.clone());
        let patience = node.true_length(node.patience);
        self.after(
            patience,
            Happening::GivesUp {
                node: index,
                change,
            },
        );
        self.event(index, Event::Wanted);
    }

    /// The proof is renewed: what it promises must be held.
    fn renewed(&mut self, index: usize, lease: Duration) {
        let asked = self.nodes[index].pull_asked;
        self.oracle.renewals += 1;
        let node = &mut self.nodes[index];
        let local = node.local_time(asked) + u64::try_from(lease.as_micros()).unwrap();
        // It is not if a change has ended the proof since the question.
        node.proven = node.freshness().is_fresh().then_some((asked, local));
        let covered = std::mem::take(&mut node.covered);
        for change in covered {
            self.returns(index, change);
        }
        // An answer of a history that is lost since is not about the branch that lives.
        let lives = self.nodes[index].answered.incarnation == self.database.incarnation;
        if self.random.per_mille(250) && lives {
            self.check_promise(index, asked);
        }
    }

    fn check_promise(&mut self, index: usize, asked: u64) {
        let node = &self.nodes[index];
        let (mut missing, mut unlike) = (Vec::new(), Vec::new());
        for (key, change) in self.oracle.all_by(asked) {
            let digest = super::keys::digest(key);
            let held = node.memory.held(&digest);
            let is_right = match (&held, &change.record) {
                (None, None) => true,
                // It may be gone since the question.
                (None, Some(_)) => {
                    let row = self.database.rows.get(digest.as_bytes());
                    row.is_none() || node.memory.is_gone(&digest)
                }
                // A look-up in the database may have found it, revoked, before it was gone.
                (Some(held), None) => held.revocation().is_some(),
                (Some(held), Some(record)) => held.is_within(record),
            };
            missing.extend((!is_right).then_some(key));
        }
        if let Some(rows) = &node.answered.rows {
            // Of what no trigger has logged, nothing is promised before an audit.
            let logged = rows.values().filter(|row| !self.database.is_hidden(row));
            for row in logged {
                let held = node.memory.held(row.digest());
                let is_right = held.map_or(node.memory.is_gone(row.digest()), |held| {
                    held.is_within(row)
                });
                unlike.extend((!is_right).then(|| row.id()));
            }
            let held = node.memory.index().records();
            let ghosts = held.iter().filter(|record| {
                !rows.contains_key(record.digest().as_bytes()) && record.revocation().is_none()
            });
            unlike.extend(ghosts.map(|record| record.id()));
        }
        self.oracle.require(
            "s02_a_lease_covers_only_what_memory_holds",
            missing.is_empty(),
            || format!("node {index} lacks {missing:?}"),
        );
        self.oracle.require(
            "s11_memory_equals_the_table_at_its_position",
            unlike.is_empty(),
            || format!("node {index} differs in {unlike:?}"),
        );
    }
}
