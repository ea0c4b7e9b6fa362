//! The future that keeps a replica up to date.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use super::comparison::Comparison;
use super::follower::{Action, Answer, Event, Follower, Notice, Number, Question};
use super::memory::{Roster, Steps};
use super::shared::Shared;
use crate::observe::event::EventKind;
use crate::store::{BoxFuture, StoreError};
use crate::support::caught::{caught, caught_in};
use crate::support::oneshot::Sender;

/// Keeps a [`Replica`](super::Replica) up to date, from [`ReplicaOptions::follow`](super::ReplicaOptions::follow).
///
/// The service runs it for as long as it serves requests. Give it a thread of its own, because in a runtime whose
/// workers are busy it would come too late, and the replica would be stale:
///
/// ```no_run
/// # fn spawn(follow: tower_api_key::replica::Follow) -> std::io::Result<()> {
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// std::thread::Builder::new()
///     .name("api-key-replica".into())
///     .spawn(move || runtime.block_on(follow))?;
/// # Ok(())
/// # }
/// ```
///
/// It has no end. A panic of the source is a failed pull. If this is dropped, the replica is stale from then on, and
/// every look-up asks the database.
#[must_use = "a replica is stale unless this is polled"]
pub struct Follow(BoxFuture<'static, Infallible>);

impl Follow {
    pub(super) fn new(shared: Arc<Shared>, follower: Follower) -> Self {
        let driver = Driver::new(shared, follower);
        Self(Box::pin(driver.run()))
    }
}

impl Future for Follow {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Infallible> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").finish_non_exhaustive()
    }
}

/// How long to wait for a clock that fails.
const CLOCK_PAUSE: Duration = Duration::from_millis(100);

/// Does what the follower says.
struct Driver {
    shared: Arc<Shared>,
    follower: Follower,
    steps: Steps,
    open: Option<Open>,
    /// One for each pull at the most, so that a source that always hints is not asked always.
    hint: Option<BoxFuture<'static, ()>>,
    /// Of the comparisons of all buckets, of which one is open at the most.
    roster: Option<Roster>,
    comparison: Option<Comparison>,
    /// They wait for the next pull.
    waiting: Vec<Sender<()>>,
    /// They wait for the pull that is open.
    covered: Vec<Sender<()>>,
    /// When the proof ends.
    lease_end: Option<Duration>,
}

/// The call that is open, and the end of the wait for it.
struct Open {
    number: Number,
    answer: BoxFuture<'static, Result<Answer, StoreError>>,
    timeout: BoxFuture<'static, ()>,
    within: Duration,
}

impl Driver {
    fn new(shared: Arc<Shared>, follower: Follower) -> Self {
        Self {
            hint: None,
            shared,
            follower,
            steps: Steps::default(),
            open: None,
            roster: None,
            comparison: None,
            waiting: Vec::new(),
            covered: Vec::new(),
            lease_end: None,
        }
    }

    async fn run(mut self) -> Infallible {
        let mut event = Event::Due;
        loop {
            // Before a question is sent: the proof counts from here. A clock that fails proves nothing, and no event
            // is lost by it.
            let Some(now) = self.shared.freshness().ask() else {
                self.shared.note_freshness();
                self.shared.clock.sleep(CLOCK_PAUSE).await;
                continue;
            };
            for action in self.follower.on(event, now) {
                self.act(action);
            }
            let is_following = self.follower.is_following();
            self.shared
                .is_following
                .store(is_following, Ordering::Relaxed);
            self.shared.note_freshness();
            event = self.next_event().await;
        }
    }

    fn act(&mut self, action: Action) {
        let memory = &self.shared.memory;
        match action {
            Action::Ask {
                number,
                question,
                within,
                begins,
            } => {
                if begins {
                    self.steps.begin();
                    self.covered.append(&mut self.waiting);
                    self.hint.get_or_insert_with(|| hint(&self.shared));
                }
                self.ask(number, question, within);
            }
            Action::Compare(buckets, theirs) => {
                let roster = self.roster.get_or_insert_with(|| memory.roster());
                let records = memory.records(roster, &buckets);
                self.comparison = Some(Comparison::new(records, *buckets.end(), theirs));
            }
            Action::EndComparisons => {
                self.comparison = None;
                if let Some(roster) = self.roster.take() {
                    memory.forget(roster);
                }
            }
            Action::StartOver => self.steps.start_over(),
            Action::Replace(buckets) => self.steps.replace(memory, &buckets),
            Action::Load { records, is_last } => {
                let changed = self.steps.load(memory, &records, is_last);
                self.shared.announce(&changed);
            }
            Action::Apply { records, gone } => {
                let changed = self.steps.apply(memory, records, &gone);
                self.shared.announce(&changed);
            }
            Action::Renew {
                asked,
                lease,
                longest,
            } => {
                let changed = self.steps.complete(memory);
                self.shared.announce(&changed);
                self.lease_end = Some(asked.at().saturating_add(lease));
                self.shared.renew(asked, lease, longest);
                for waiting in self.covered.drain(..) {
                    waiting.send(());
                }
            }
            Action::Miss => {
                self.covered.clear();
                self.waiting.clear();
            }
            Action::Tell(notice) => self.tell(notice),
        }
    }

    fn tell(&self, notice: Notice) {
        match notice {
            Notice::Reset => self.shared.tell(EventKind::ReplicaReset, None),
            Notice::Diverged(buckets) => {
                let why = StoreError::unavailable(format!(
                    "the checksums of {buckets} of 256 parts differ from those of the database, which are loaded anew"
                ));
                self.shared.tell(EventKind::ReplicaDiverged, Some(&why));
            }
            Notice::Failed(failure) => self.shared.tell(EventKind::UpkeepFailed, Some(&failure)),
        }
    }

    fn ask(&mut self, number: Number, question: Question, within: Duration) {
        let (source, realms) = (Arc::clone(&self.shared.source), self.shared.realms.clone());
        let asking = async move {
            Ok(match question {
                Question::Head => Answer::Head(source.head().await?),
                Question::Page { after } => {
                    Answer::Page(source.page(&realms, after.as_ref()).await?)
                }
                Question::Changes {
                    since,
                    after,
                    sums_of,
                } => {
                    let changes = source.changes(&realms, &since, after.as_ref(), sums_of);
                    Answer::Changes(changes.await?)
                }
                Question::Forget { position } => {
                    source.forget(&position).await?;
                    Answer::Forgotten
                }
            })
        };
        let panicked = || Err(StoreError::unavailable("the store panicked"));
        self.open = Some(Open {
            number,
            answer: Box::pin(async move { caught_in(asking).await.unwrap_or_else(panicked) }),
            timeout: self.shared.clock.sleep(within),
            within,
        });
    }

    async fn next_event(&mut self) -> Event {
        let mut due = self.sleep_until_due();
        poll_fn(|context| self.poll_event(&mut due, context)).await
    }

    /// Until the next question is due, or the proof ends, which an observer hears of.
    fn sleep_until_due(&self) -> Option<BoxFuture<'static, ()>> {
        let now = self.shared.clock.elapsed()?;
        let lease_end = self.lease_end.filter(|end| *end > now);
        let due = [self.follower.due(), lease_end].into_iter().flatten().min();
        Some(self.shared.clock.sleep(due?.saturating_sub(now)))
    }

    fn poll_event(
        &mut self,
        due: &mut Option<BoxFuture<'static, ()>>,
        context: &mut Context<'_>,
    ) -> Poll<Event> {
        let wanted = self.shared.inbox.take_pulls(context);
        if !wanted.is_empty() {
            self.waiting.extend(wanted);
            return Poll::Ready(Event::Wanted);
        }
        if let Some(open) = &mut self.open {
            let answered = match open.answer.as_mut().poll(context) {
                Poll::Ready(answered) => Some(answered),
                Poll::Pending => {
                    let is_late = open.timeout.as_mut().poll(context).is_ready();
                    is_late.then(|| Err(late(open.within)))
                }
            };
            let number = open.number;
            if let Some(answered) = answered {
                // Dropped with it is what a late answer would be to.
                self.open = None;
                return Poll::Ready(match answered {
                    Ok(answer) => Event::Answered(number, answer),
                    Err(failure) => {
                        self.shared.fail(Some(failure.clone()));
                        Event::Failed(number, failure)
                    }
                });
            }
        }
        if let Some(hint) = &mut self.hint
            && caught(|| hint.as_mut().poll(context)).is_none_or(|polled| polled.is_ready())
        {
            self.hint = None;
            return Poll::Ready(Event::Hint);
        }
        if let Some(comparison) = &mut self.comparison {
            if let Some((upto, differing)) = comparison.step() {
                self.comparison = None;
                return Poll::Ready(Event::Compared(upto, differing));
            }
            // The rest has its turn after others.
            context.waker().wake_by_ref();
        }
        match due {
            Some(due) => due.as_mut().poll(context).map(|()| Event::Due),
            None => Poll::Pending,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.freshness().end();
        self.shared.is_following.store(false, Ordering::Relaxed);
        let why = StoreError::unavailable("the future `Follow` was dropped");
        self.shared.fail(Some(why));
        self.shared.inbox.close();
        self.shared.note_freshness();
    }
}

/// The next hint of the source.
fn hint(shared: &Shared) -> BoxFuture<'static, ()> {
    let source = Arc::clone(&shared.source);
    Box::pin(async move { source.hint().await })
}

fn late(within: Duration) -> StoreError {
    let within = within.as_millis();
    StoreError::unavailable(format!("the store gave no answer within {within} ms"))
}
