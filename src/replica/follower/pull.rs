//! A pull: a question for changes, in pages.

use super::Follower;
use super::question::{Action, Question};
use super::state::{Pull, Purpose, State, Wish, is_after};
use crate::replica::Batch;
use crate::store::{Asked, StoreError, StoreErrorKind};

impl Follower {
    /// Asks for the next page of a pull.
    pub(super) fn pull(&mut self, pull: Pull, actions: &mut Vec<Action>) {
        let State::Following(position) = &self.state else {
            return;
        };
        let begins = pull.position.is_none();
        if begins {
            self.wish = Wish::None;
        }
        let with_sums = begins && pull.with_sums;
        let within = if with_sums {
            self.pace.audit_timeout()
        } else {
            self.pace.timeout()
        };
        let question = Question::Changes {
            since: position.clone(),
            after: pull.after,
            with_sums,
        };
        self.open(Purpose::Pull(pull), question, within, actions);
    }

    pub(super) fn batch(
        &mut self,
        mut pull: Pull,
        batch: Batch,
        now: Asked,
        actions: &mut Vec<Action>,
    ) {
        let Batch {
            head,
            records,
            gone,
            next,
        } = batch;
        if next.is_some() && !is_after(next.as_ref(), pull.after.as_ref()) {
            let error = StoreError::new(StoreErrorKind::Corrupt, "the page does not go on");
            return self.failed(Purpose::Pull(pull), error, now, actions);
        }
        let is_only_page = pull.position.is_none() && next.is_none();
        let position = pull.position.take().unwrap_or(head.position);
        pull.staleness = pull.staleness.min(head.staleness);
        pull.longest = pull.longest.max(head.longest_staleness);
        self.holds_records = true;
        actions.push(Action::Apply { records, gone });
        if next.is_some() {
            pull.position = Some(position);
            pull.after = next;
            return self.pull(pull, actions);
        }
        actions.push(Action::Renew {
            asked: pull.asked,
            lease: self.pace.lease(pull.staleness),
            longest: pull.longest,
        });
        self.due = self.pace.next_pull(pull.asked.at());
        let audited = head.sums.filter(|_| pull.with_sums && is_only_page);
        match (audited, self.audit_due) {
            (Some(sums), _) => {
                actions.push(Action::Compare(sums));
                self.audit_due = Some(self.pace.next_audit(now.at()));
            }
            (None, None) => self.audit_due = Some(self.pace.first_audit(now.at())),
            (None, Some(_)) => {}
        }
        self.positions.hold(&position, now.at());
        let old = self.positions.take_old(now.at());
        self.state = State::Following(position);
        if let Some(position) = old {
            let question = Question::Forget { position };
            self.open(Purpose::Forget, question, self.pace.timeout(), actions);
        }
    }
}
