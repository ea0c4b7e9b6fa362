//! Watching a key for as long as a connection lasts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::KeyRing;
use super::bounded::Bounded;
use crate::error::{Error, ErrorKind};
use crate::format::KeyId;
use crate::record::KeyState;
use crate::store::BoxFuture;

impl KeyRing {
    /// A future that completes when the key is over, and says how: it expired, its grace ended,
    /// or it was revoked. Race it against a WebSocket or a stream, which was authenticated once
    /// and would otherwise never end.
    ///
    /// A change made through this ring or a clone of it is seen at once. For what other rings and
    /// processes do, it reads the record again at the ring's
    /// [`watch_interval`](crate::RingBuilder::watch_interval): each watch costs the store one
    /// `get` then.
    ///
    /// ```
    /// use tower_api_key::{Grant, KeyRing, KeyState, RevocationReason, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let id = ring.issue(Grant::new("alice")).await?.record().id();
    ///
    /// let over = ring.watch(id);
    /// ring.revoke(id, RevocationReason::KeyCompromise).await?;
    /// assert_eq!(over.await?, KeyState::Revoked);
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The watch is over too when the key cannot be seen any more, so that a connection ends
    /// whose key is in doubt: [`ErrorKind::NotFound`] for an id that this realm does not know,
    /// [`ErrorKind::Store`] when the store fails, or takes longer than the ring's
    /// [`lookup_timeout`](crate::RingBuilder::lookup_timeout).
    pub fn watch(&self, id: KeyId) -> Watch {
        let ring = self.clone();
        let ticket = self.0.watchers.enter(id);
        Watch(Box::pin(async move {
            loop {
                let record = ring.get_in_time(id).await?.ok_or(ErrorKind::NotFound)?;
                let latest = ring.0.reading().latest;
                match record.state_at(latest) {
                    KeyState::Live | KeyState::NotYetValid => {}
                    over => {
                        ring.0.remember_end(&record);
                        return Ok(over);
                    }
                }
                let end = record.valid_until().as_unix();
                let left = end.saturating_sub(latest.as_unix());
                let pause = ring.0.watch_interval.min(Duration::from_secs(left));
                ticket.wait(ring.0.clock.sleep(pause)).await;
            }
        }))
    }

    /// The record, within the bound that a look-up has.
    async fn get_in_time(
        &self,
        id: KeyId,
    ) -> Result<Option<std::sync::Arc<crate::record::KeyRecord>>, Error> {
        let ring = self.clone();
        Bounded::new(
            Box::pin(async move { ring.get(id).await }),
            self.0.clock.sleep(self.0.lookup_timeout),
            || Err(ErrorKind::Store.into()),
        )
        .await
    }
}

/// Completes when a key is over; from [`KeyRing::watch`].
#[must_use = "a watch does nothing unless it is awaited"]
pub struct Watch(BoxFuture<'static, Result<KeyState, Error>>);

impl Future for Watch {
    type Output = Result<KeyState, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
