//! Notices of keys that expire soon.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use super::KeyRing;
use crate::error::Error;
use crate::observe::event::Event;
use crate::store::{ExpiryClaims, StoreError, StoreErrorKind};
use crate::support::caught::caught_in;
use crate::time::Timestamp;

/// As many as are lost if a process dies between a claim and its events.
const PAGE: usize = 100;
/// So that the many keys of a store that is asked for the first time have their notices over minutes, and its writers go on.
const PAUSE: Duration = Duration::from_millis(50);

impl KeyRing {
    /// Tells the observer of the keys that expire soon, at each turn.
    pub(super) async fn notify_for_ever(self) -> Infallible {
        // Without an observer, a claim would keep others from telling it.
        if self.0.expiry_notices.is_empty() || !self.0.observer.is_set() {
            return pending().await;
        }
        let mut told = None;
        loop {
            let panicked = || Err(StoreErrorKind::Unavailable.into());
            let noticed = caught_in(self.notify()).await;
            let failed = noticed.unwrap_or_else(panicked).err();
            let lasting = failed
                .as_ref()
                .map(StoreError::kind)
                .filter(|kind| is_lasting(*kind));
            if let Some(failure) = failed
                && (lasting.is_none() || lasting != told)
            {
                self.report_failure(&Error::from(failure));
            }
            told = lasting;
            self.0.clock.sleep(self.0.upkeep_interval).await;
        }
    }

    async fn notify(&self) -> Result<(), StoreError> {
        loop {
            let claims = self.claim().await?;
            for notice in &claims.notices {
                let key = (notice.id, notice.subject.as_deref());
                let expiry = (notice.expires_at, notice.step);
                let event = || Event::expires_soon(&self.0.realm, key, expiry);
                self.0.observer.tell(event);
            }
            if !claims.more {
                return Ok(());
            }
            self.0.clock.sleep(PAUSE).await;
        }
    }

    async fn claim(&self) -> Result<ExpiryClaims, StoreError> {
        // By a clock that fails, and reads MAX, every key is over.
        if self.0.clock.now() == Timestamp::MAX {
            return Ok(ExpiryClaims::default());
        }
        let (now, ladder) = (self.0.reading().latest, &self.0.expiry_notices);
        let store = &self.0.store;
        let claimed = store.claim_expiry_notices(&self.0.realm, ladder, now, PAGE);
        claimed.await
    }
}

/// Whether a failure stays until somebody acts: it is reported once.
fn is_lasting(kind: StoreErrorKind) -> bool {
    matches!(
        kind,
        StoreErrorKind::ReadOnly | StoreErrorKind::Unsupported | StoreErrorKind::Schema
    )
}
