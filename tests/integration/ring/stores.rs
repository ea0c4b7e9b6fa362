//! Stores that misbehave in one way, over one that does not.

use std::sync::{Arc, Mutex};

use tower_api_key::store::{
    BoxFuture, Change, KeyStore, ListQuery, Lookup, MemoryStore, Page, Revoked, StoreError, Target,
};
use tower_api_key::{Actor, KeyDigest, Realm, Revocation};

type Find = dyn Fn(&MemoryStore, &Realm, &KeyDigest) -> Lookup + Send + Sync;
type AfterList = dyn Fn() + Send + Sync;
type Commit = dyn Fn(&Change) -> Result<(), StoreError> + Send + Sync;
type BeforeRevoke = dyn Fn(&Target) -> Result<(), StoreError> + Send + Sync;

/// A [`MemoryStore`] whose look-ups and commits a test can take over.
pub(crate) struct Tapped {
    store: MemoryStore,
    find: Box<Find>,
    before_commit: Box<Commit>,
    before_revoke: Box<BeforeRevoke>,
    after_list: Box<AfterList>,
}

impl Tapped {
    pub(crate) fn new(store: &MemoryStore) -> Self {
        Self {
            store: store.clone(),
            find: Box::new(KeyStore::find),
            before_commit: Box::new(|_| Ok(())),
            before_revoke: Box::new(|_| Ok(())),
            after_list: Box::new(|| {}),
        }
    }

    /// Every look-up is answered by this.
    pub(crate) fn on_find(
        mut self,
        find: impl Fn(&MemoryStore, &Realm, &KeyDigest) -> Lookup + Send + Sync + 'static,
    ) -> Self {
        self.find = Box::new(find);
        self
    }

    /// Every look-up is answered as the store below does, but later.
    pub(crate) fn pending(self) -> Self {
        self.on_find(|store, realm, digest| match store.find(realm, digest) {
            Lookup::Ready(found) => Lookup::Pending(Box::pin(async {
                tokio::task::yield_now().await;
                found
            })),
            pending @ Lookup::Pending(_) => pending,
        })
    }

    /// A commit succeeds only if this function allows it.
    pub(crate) fn before_commit(
        mut self,
        check: impl Fn(&Change) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        self.before_commit = Box::new(check);
        self
    }

    /// A revocation succeeds only if this function allows it.
    pub(crate) fn before_revoke(
        mut self,
        check: impl Fn(&Target) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        self.before_revoke = Box::new(check);
        self
    }

    /// Calls this function after a list was read, before its answer is used.
    pub(crate) fn after_list(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.after_list = Box::new(hook);
        self
    }

    /// Keeps a copy of every change that is committed.
    pub(crate) fn recording(self, changes: &Arc<Mutex<Vec<Change>>>) -> Self {
        let changes = Arc::clone(changes);
        self.before_commit(move |change| {
            changes.lock().unwrap().push(change.clone());
            Ok(())
        })
    }
}

impl KeyStore for Tapped {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        (self.find)(&self.store, realm, digest)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            (self.before_commit)(change)?;
            self.store.commit(change).await
        })
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(async move {
            (self.before_revoke)(target)?;
            self.store.revoke(realm, target, revocation, by).await
        })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let records = self.store.list(realm, query).await;
            (self.after_list)();
            records
        })
    }

    crate::support::forward!(store: get, purge, record_uses, last_uses);
}
