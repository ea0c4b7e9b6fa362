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
        let sums_of = pull.sums_of.clone().filter(|_| begins);
        let within = match sums_of {
            Some(_) => self.pace.audit_timeout(),
            None => self.pace.timeout(),
        };
        let question = Question::Changes {
            since: position.clone(),
            after: pull.after,
            sums_of,
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
            sums,
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
        // After several pages, what is held is a later state than that of the first one's checksums.
        if let Some(buckets) = pull.sums_of
            && let Some(sums) = sums
            && is_only_page
        {
            self.audit.is_comparing = true;
            actions.push(Action::Compare(buckets, sums));
        }
        if self.audit_due.is_none() {
            self.audit_due = Some(self.pace.first_audit(now.at()));
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
