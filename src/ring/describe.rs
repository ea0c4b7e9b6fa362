//! Keys that get another label, or other metadata.

use std::sync::Arc;

use super::KeyRing;
use super::change::MAX_ATTEMPTS;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::lifecycle::{self, Description};
use crate::observe::event::{Event, EventKind};
use crate::record::KeyRecord;

impl KeyRing {
    /// Changes the label and the metadata of a key, in place. They are the application's own, and no
    /// authority: its scopes, its caveats, its end and its revocation stay as they are.
    ///
    /// A key that has expired, is revoked or has been replaced can be described too, because the record
    /// of a dead key is there for people. A key that was rotated or regranted has a record of its own:
    /// describe each.
    ///
    /// ```
    /// use tower_api_key::{Description, Grant, KeyRing, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let issued = ring.issue(Grant::new("alice").label("laptop")).await?;
    ///
    /// let description = Description::new().label("build server").metadata([("team", "blue")]);
    /// let record = ring.describe(issued.id(), description).await?;
    /// assert_eq!(record.label().unwrap(), "build server");
    /// assert_eq!(record.metadata().get("team"), Some("blue"));
    /// assert_eq!(record.scopes(), issued.record().scopes());
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidLabel`] and [`ErrorKind::InvalidMetadata`] for a text that is none,
    /// [`ErrorKind::NotFound`] for an id that this realm does not know; [`ErrorKind::Conflict`] and
    /// [`ErrorKind::Store`]. Nothing has changed then, as with [`rotate`](Self::rotate).
    pub async fn describe(
        &self,
        id: KeyId,
        description: Description,
    ) -> Result<Arc<KeyRecord>, Error> {
        let description = description.checked()?;
        for _ in 0..MAX_ATTEMPTS {
            let record = self.get(id).await?.ok_or(ErrorKind::NotFound)?;
            let Some((described, change)) = lifecycle::describe(&record, description) else {
                return Ok(record);
            };
            if self.commit(&change).await? {
                let event = || Event::about(EventKind::Described, &described);
                self.tell(event);
                return Ok(described);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}
