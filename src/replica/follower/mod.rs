//! How a replica follows a history: a machine of states without I/O, clock or task.
//!
//! It hears of [`Event`]s, each with the moment, and says what is to be [done](Action). The rules that a proof of
//! freshness rests on are here:
//!
//! - A lease counts from the moment *before* the first question of a pull, and is renewed *after* all that the pull
//!   brought is held.
//! - There is no lease before the first pull that begins at the position that the pages were read after.
//! - The position after a pull is that of its first page.
//! - An answer to a former question is thrown away.
//! - Only a pull renews a lease, not any other answer.

mod load;
mod pace;
mod positions;
mod pull;
mod question;
mod state;
mod walk;

use std::mem;
use std::time::Duration;

pub(crate) use pace::Pace;
use pace::{BUCKETS_AT_RESET, HEAD_TIMEOUT, PAGE_TIMEOUT, SUMS_TIMEOUT};
use positions::Positions;
pub(crate) use question::{Action, Answer, Event, Notice, Number, Question};
use state::{Comparing, Open, Pull, Purpose, State, Wish};
use walk::Walk;

use crate::replica::Changes;
use crate::store::{Asked, StoreError, StoreErrorKind};

/// One replica's way through a history.
#[derive(Debug)]
pub(crate) struct Follower {
    pace: Pace,
    state: State,
    /// The question that is open.
    open: Option<Open>,
    last_number: Number,
    /// When the next question is due, if none is open.
    due: Duration,
    /// When the last pull was asked for.
    last_pull: Duration,
    wish: Wish,
    /// Whether anything is held, that checksums can be compared of.
    holds_records: bool,
    /// When the next part of the audit is due.
    audit_due: Option<Duration>,
    audit: Walk,
    /// The buckets in which an audit has found a difference.
    differing: Vec<u8>,
    positions: Positions,
    has_told_failure: bool,
    /// How often a database that answered otherwise has failed to compute checksums.
    failed_sums: u32,
}

impl Follower {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            state: State::Beginning,
            open: None,
            last_number: 0,
            due: Duration::ZERO,
            last_pull: Duration::ZERO,
            wish: Wish::None,
            holds_records: false,
            audit_due: None,
            audit: Walk::default(),
            differing: Vec::new(),
            positions: Positions::default(),
            has_told_failure: false,
            failed_sums: 0,
        }
    }

    /// When to come back, if nothing else happens. `None` while a question is open or checksums are compared.
    pub(crate) fn due(&self) -> Option<Duration> {
        let waits = match &self.state {
            State::Comparing(comparing) => comparing.walk.is_comparing,
            _ => false,
        };
        (self.open.is_none() && !waits).then_some(self.due)
    }

    /// Whether the next pull can prove that the records are fresh.
    pub(crate) fn is_following(&self) -> bool {
        matches!(self.state, State::Following(_))
    }

    /// What to do about an event. The moment is before anything is done.
    pub(crate) fn on(&mut self, event: Event, now: Asked) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Due => {}
            Event::Hint => self.wish = self.wish.max(Wish::Hinted),
            Event::Wanted => match self.state {
                State::Following(_) => self.wish = Wish::Wanted,
                _ => actions.push(Action::Miss),
            },
            Event::Answered(number, answer) => {
                if let Some(purpose) = self.close(number) {
                    self.answered(purpose, answer, now, &mut actions);
                }
            }
            Event::Failed(number, error) => {
                if let Some(purpose) = self.close(number) {
                    self.failed(purpose, error, now, &mut actions);
                }
            }
            Event::Compared(upto, differing) => self.compared(upto, differing, now, &mut actions),
        }
        if self.open.is_none() && self.is_following() {
            self.due = match self.wish {
                Wish::None => self.due,
                Wish::Hinted => self.due.min(Pace::after_hint(self.last_pull)),
                Wish::Wanted => now.at(),
            };
        }
        if self.due().is_some_and(|due| now.at() >= due) {
            self.ask(now, &mut actions);
        }
        actions
    }

    /// What the open question was for, if this is its number.
    fn close(&mut self, number: Number) -> Option<Purpose> {
        let open = self.open.take_if(|open| open.number == number)?;
        Some(open.purpose)
    }

    fn ask(&mut self, now: Asked, actions: &mut Vec<Action>) {
        let is_wanted = self.wish == Wish::Wanted;
        if !is_wanted
            && !self.differing.is_empty()
            && let State::Following(since) = &self.state
        {
            // From the position that is held: of the other buckets, nothing is loaded that has changed since.
            let since = since.clone();
            let differing = mem::take(&mut self.differing);
            self.load(since, &differing, now, actions);
        }
        let (purpose, question, within) = match &self.state {
            State::Beginning => (Purpose::Head, Question::Head, HEAD_TIMEOUT),
            State::Comparing(Comparing { since, walk }) => {
                let buckets = walk.next(BUCKETS_AT_RESET);
                let question = Question::Changes {
                    since: since.clone(),
                    after: None,
                    sums_of: Some(buckets.clone()),
                };
                (Purpose::Sums(buckets), question, SUMS_TIMEOUT)
            }
            State::Loading(load) => {
                let after = load.after;
                (Purpose::Page, Question::Page { after }, PAGE_TIMEOUT)
            }
            State::Following(_) => {
                let is_audit_due = self.audit_due.is_some_and(|due| now.at() >= due);
                let audits = is_audit_due && !is_wanted && !self.audit.is_comparing;
                let sums_of = audits.then(|| self.audit.next(self.pace.buckets_of_audit()));
                self.last_pull = now.at();
                let pull = Pull {
                    asked: now,
                    sums_of,
                    position: None,
                    after: None,
                    staleness: Duration::MAX,
                    longest: Duration::ZERO,
                };
                return self.pull(pull, actions);
            }
        };
        self.open(purpose, question, within, actions);
    }

    fn open(
        &mut self,
        purpose: Purpose,
        question: Question,
        within: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.last_number += 1;
        let begins = matches!(&purpose, Purpose::Pull(pull) if pull.position.is_none());
        let number = self.last_number;
        self.open = Some(Open { number, purpose });
        actions.push(Action::Ask {
            number,
            question,
            within,
            begins,
        });
    }

    fn answered(
        &mut self,
        purpose: Purpose,
        answer: Answer,
        now: Asked,
        actions: &mut Vec<Action>,
    ) {
        match (purpose, answer) {
            (Purpose::Head, Answer::Head(head)) => self.head(head.position, now, actions),
            (Purpose::Sums(buckets), Answer::Changes(Changes::Since(batch))) => {
                self.sums(buckets, batch, now, actions);
            }
            (Purpose::Sums(_), Answer::Changes(Changes::Lost)) => {
                actions.push(Action::EndComparisons);
                self.state = State::Beginning;
                self.due = self.pace.after_loss(now.at());
            }
            (Purpose::Page, Answer::Page(records)) => self.page(records, now, actions),
            (Purpose::Pull(pull), Answer::Changes(Changes::Since(batch))) => {
                self.batch(pull, batch, now, actions);
            }
            (Purpose::Pull(_), Answer::Changes(Changes::Lost)) => self.lost(now, actions),
            (Purpose::Forget, Answer::Forgotten) => self.has_told_failure = false,
            (purpose, _) => {
                let error =
                    StoreError::new(StoreErrorKind::Corrupt, "the answer is to another call");
                self.failed(purpose, error, now, actions);
            }
        }
    }

    fn lost(&mut self, now: Asked, actions: &mut Vec<Action>) {
        actions.extend([
            Action::EndComparisons,
            Action::Tell(Notice::Reset),
            Action::Miss,
        ]);
        // All buckets are compared now.
        (self.audit, self.audit_due) = (Walk::default(), None);
        self.wish = Wish::None;
        self.differing.clear();
        self.positions.clear();
        self.state = State::Beginning;
        self.due = self.pace.after_loss(now.at());
    }

    fn failed(
        &mut self,
        purpose: Purpose,
        error: StoreError,
        now: Asked,
        actions: &mut Vec<Action>,
    ) {
        match purpose {
            // The next pull is due as before.
            Purpose::Forget => return self.tell_failure(error, actions),
            Purpose::Sums(_) => {
                self.failed_sums += 1;
                actions.push(Action::EndComparisons);
                self.state = State::Beginning;
            }
            Purpose::Head | Purpose::Page => {}
            Purpose::Pull(pull) => {
                if pull.sums_of.is_some() {
                    self.stop_audit(now, actions);
                    self.tell_failure(error, actions);
                }
                actions.push(Action::Miss);
                self.wish = Wish::None;
            }
        }
        self.due = self.pace.after_failure(now.at());
    }

    /// Once, until it succeeds again.
    fn tell_failure(&mut self, error: StoreError, actions: &mut Vec<Action>) {
        if !self.has_told_failure {
            self.has_told_failure = true;
            actions.push(Action::Tell(Notice::Failed(error)));
        }
    }
}
