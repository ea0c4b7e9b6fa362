//! Where the connection of the feed is between two calls.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tower_api_key::replica::Realms;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::ahead::Asked;
use super::link::{Link, Opening};
use crate::authority::Authority;

/// The connection, while no call uses it. It is outside the pool, so that no other caller can hold up a replica.
#[derive(Default)]
pub(crate) struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Idle(Box<Link>),
    /// The call that began to open it is gone.
    Opening(Opening),
    /// A page comes over it that no call has asked for yet.
    Asked(Box<Asked>),
}

impl Slot {
    /// Takes the connection, or opens another one: if a new one is asked for, in any case.
    pub(super) async fn take(
        &self,
        authority: &Arc<Authority>,
        is_new: bool,
    ) -> Result<Link, StoreError> {
        let state = mem::take(&mut *self.lock());
        match state {
            State::Idle(link) if !is_new && link.age.counts(authority) => return Ok(*link),
            // The page is not wanted any more.
            State::Asked(asked) if !is_new && asked.age.counts(authority) => {
                if let (link, Ok(_)) = asked.answer().await {
                    return Ok(link);
                }
            }
            State::Opening(opening) => {
                let link = self.wait(opening).await?;
                if link.age.counts(authority) {
                    return Ok(link);
                }
            }
            State::Idle(_) | State::Asked(_) | State::Empty => {}
        }
        self.wait(Link::begin(authority)?).await
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(&self, link: Link) {
        *self.lock() = State::Idle(Box::new(link));
    }

    /// Takes this page, if it was asked for in advance.
    pub(super) fn take_page(
        &self,
        authority: &Authority,
        realms: &Realms,
        after: &[u8],
    ) -> Option<Asked> {
        let mut state = self.lock();
        match mem::take(&mut *state) {
            State::Asked(asked) if asked.is_for(realms, after) && asked.age.counts(authority) => {
                Some(*asked)
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Keeps a page that was asked for in advance.
    pub(super) fn put_page(&self, asked: Asked) {
        *self.lock() = State::Asked(Box::new(asked));
    }

    async fn wait(&self, opening: Opening) -> Result<Link, StoreError> {
        let mut waiting = Waiting {
            slot: self,
            opening: Some(opening),
        };
        let opened = poll_fn(|context| match &mut waiting.opening {
            Some(opening) => Pin::new(opening).poll(context),
            None => Poll::Pending,
        })
        .await;
        waiting.opening = None;
        opened.unwrap_or_else(|_| Err(StoreErrorKind::Unavailable.into()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for a connection. If it is dropped, the next call has it.
struct Waiting<'a> {
    slot: &'a Slot,
    opening: Option<Opening>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        if let (Some(opening), State::Empty) = (self.opening.take(), &*state) {
            *state = State::Opening(opening);
        }
    }
}
