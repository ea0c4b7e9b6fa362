//! A store whose claims a test counts, refuses and holds back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tower_api_key::store::{
    BoxFuture, ExpiryClaims, ExpiryLadder, KeyStore, StoreError, StoreErrorKind, StoreId,
};
use tower_api_key::{Actor, Realm, Timestamp};

/// A store whose claims a test counts, refuses and holds back.
#[derive(Clone)]
pub(super) struct Gated<S> {
    store: S,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    claims: AtomicUsize,
    failure: Mutex<Option<StoreErrorKind>>,
    panics: AtomicBool,
    /// After a turn, no claim is made: the process can be stopped without a loss.
    one_turn: AtomicBool,
    /// After its first claim, no answer comes: the process has died.
    dies: AtomicBool,
    is_over: AtomicBool,
}

impl<S> Gated<S> {
    pub(super) fn new(store: S) -> Self {
        Self {
            store,
            gate: Arc::default(),
        }
    }

    /// A store that lets claims pass until nothing is due, and then holds them back.
    pub(super) fn for_one_turn(store: S) -> Self {
        let gated = Self::new(store);
        gated.gate.one_turn.store(true, Ordering::SeqCst);
        gated
    }

    /// A store whose process dies between its first claim and the events.
    pub(super) fn that_dies(store: S) -> Self {
        let gated = Self::new(store);
        gated.gate.dies.store(true, Ordering::SeqCst);
        gated
    }

    /// Whether a claim was held back: everything that was claimed before has been told.
    pub(super) fn is_over(&self) -> bool {
        self.gate.is_over.load(Ordering::SeqCst)
    }

    pub(super) fn claims(&self) -> usize {
        self.gate.claims.load(Ordering::SeqCst)
    }

    pub(super) fn fail(&self, kind: Option<StoreErrorKind>) {
        *self.gate.failure.lock().unwrap() = kind;
        self.gate.panics.store(false, Ordering::SeqCst);
    }

    pub(super) fn panic(&self) {
        self.gate.panics.store(true, Ordering::SeqCst);
    }
}

impl<S: KeyStore> Gated<S> {
    async fn claim(
        &self,
        realm: &Realm,
        ladder: &ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> Result<ExpiryClaims, StoreError> {
        let gate = &self.gate;
        assert!(!gate.panics.load(Ordering::SeqCst), "the store panics");
        let failure = *gate.failure.lock().unwrap();
        if let Some(kind) = failure {
            return Err(kind.into());
        }
        let is_later = gate.claims.fetch_add(1, Ordering::SeqCst) > 0;
        if is_later && gate.one_turn.load(Ordering::SeqCst) {
            gate.is_over.store(true, Ordering::SeqCst);
            return std::future::pending().await;
        }
        let claimed = self
            .store
            .claim_expiry_notices(realm, ladder, now, limit)
            .await;
        if gate.dies.load(Ordering::SeqCst) {
            gate.is_over.store(true, Ordering::SeqCst);
            return std::future::pending().await;
        }
        claimed
    }
}

impl<S: KeyStore> KeyStore for Gated<S> {
    crate::support::forward!(store: find, commit, revoke, get, list, record_uses, last_uses);

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    /// Nothing is purged: the keys of the tests stay.
    fn purge<'a>(
        &'a self,
        _: &'a Realm,
        _: Timestamp,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        Box::pin(self.claim(realm, ladder, now, limit))
    }
}
