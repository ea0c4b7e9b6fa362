//! Rings that say who uses them.

use super::KeyRing;
use crate::access::actor::Actor;
use crate::error::Error;

impl KeyRing {
    /// The same ring, whose operations say who does them: the person at a console, or the name of a job. The
    /// [events](crate::Event::actor) of its changes carry it, and a store that keeps a history records it.
    ///
    /// The actor is what the caller says. Take it from the session of the person who asked, and not from a field
    /// of the request. An operation of a ring without an actor is recorded as one of nobody.
    ///
    /// ```
    /// use tower_api_key::{Event, EventKind, Grant, KeyRing, RevocationReason};
    /// use tower_api_key::{observer_fn, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let log = |event: &Event<'_>| {
    ///     if matches!(event.kind(), EventKind::Revoked { .. }) {
    ///         assert_eq!(event.actor().unwrap(), "ops@example.com");
    ///     }
    /// };
    /// let ring = KeyRing::builder("acme").observer(observer_fn(log)).build(MemoryStore::new())?;
    /// let issued = ring.issue(Grant::new("alice")).await?;
    ///
    /// let ops = ring.acting_as("ops@example.com")?;
    /// ops.revoke(issued.id(), RevocationReason::KeyCompromise).await?;
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidActor`](crate::ErrorKind::InvalidActor) for a text that is none.
    pub fn acting_as<A>(&self, actor: A) -> Result<Self, Error>
    where
        A: TryInto<Actor>,
        A::Error: Into<Error>,
    {
        let actor = actor.try_into().map_err(Into::into)?;
        Ok(Self(self.0.clone(), Some(actor)))
    }

    /// Who [acts](Self::acting_as) through this ring, if that was said.
    pub fn actor(&self) -> Option<&Actor> {
        self.1.as_ref()
    }
}
