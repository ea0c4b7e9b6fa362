//! A key that was verified before, judged again.

use super::verifying::{Judged, Verifying};
use super::{Inner, KeyRing};
use crate::access::caveat::Facts;
use crate::key::digest::KeyDigest;
use crate::store::{Found, Lookup};
use crate::verdict::{VerifiedKey, VerifyError};

impl KeyRing {
    /// Verifies the key of an earlier verdict again: whether it is still valid, and with which scopes.
    ///
    /// For a connection that outlives its request and does more than one thing: a [`watch`](Self::watch) ends
    /// with the key, and does not end when the key loses scopes, by [`narrow`](Self::narrow) or by its
    /// [owner](crate::Owners). The [caveats](crate::Caveats) of the key are judged by these facts.
    ///
    /// ```
    /// use tower_api_key::{Facts, Grant, KeyRing, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let issued = ring.issue(Grant::new("alice").scopes("read write")).await?;
    /// let key = ring.verify(issued.secret().expose().as_bytes()).await?;
    ///
    /// ring.narrow(key.id(), &"read".parse()?).await?;
    /// assert_eq!(key.scopes().as_str(), "read write");
    /// let key = ring.verify_again(&key, Facts::none()).await?;
    /// assert_eq!(key.scopes().as_str(), "read");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`verify_with`](Self::verify_with). The observer is not notified of a
    /// [reuse](crate::EventKind::Reuse): no one has presented the key.
    pub async fn verify_again(
        &self,
        key: &VerifiedKey,
        facts: Facts,
    ) -> Result<VerifiedKey, VerifyError> {
        let digest = *key.record().digest();
        let verifying = match self.0.find(&digest) {
            Lookup::Ready(found) => match self.0.judge_again(found, &digest, facts) {
                Ok(record) => self.accept(record, &|| facts),
                Err(error) => Verifying::Done(Err(error)),
            },
            Lookup::Pending(found) => {
                let ring = self.clone();
                let verdict = async move {
                    let record = ring.0.judge_again(found.await, &digest, facts)?;
                    ring.owned(record, facts).await
                };
                self.wait_within_bound(Box::pin(verdict), VerifyError::store_unavailable)
            }
        };
        let verdict = match verifying {
            Verifying::Done(verdict) => verdict,
            Verifying::Pending(verdict) => verdict.await,
        };
        verdict.map(|again| again.presented_as(key.scheme()))
    }
}

impl Inner {
    fn judge_again(&self, found: Found, digest: &KeyDigest, facts: Facts) -> Judged {
        match found {
            Ok(Some(record)) => self.judged(record.into(), digest, self.reading(), || facts),
            other => self.judge(other, digest, || facts),
        }
    }
}
