//! A store in memory that can be watched at work, and that can let others in between its steps.

use std::sync::Arc;
use std::thread;

use tower_api_key::store::{
    BoxFuture, Change, Found, KeyStore, ListQuery, Lookup, MemoryStore, Page, Revoked, StoreError,
    StoreId, Target,
};
use tower_api_key::{KeyDigest, KeyId, KeyRecord, Realm, Revocation};

type BeforeCommit = Arc<dyn Fn(&Change) + Send + Sync>;
type BeforeRevoke = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Steps {
    store: MemoryStore,
    yields: bool,
    before_commit: BeforeCommit,
    before_revoke: BeforeRevoke,
}

impl Steps {
    /// A store that answers at once, and one that lets other threads in before and after each
    /// step; look-ups are pending first there.
    pub(crate) fn both() -> [Self; 2] {
        [false, true].map(|yields| Self {
            store: MemoryStore::new(),
            yields,
            before_commit: Arc::new(|_| {}),
            before_revoke: Arc::new(|| {}),
        })
    }

    /// Calls this with every change, before it is applied or refused.
    pub(crate) fn before_commit(mut self, hook: impl Fn(&Change) + Send + Sync + 'static) -> Self {
        self.before_commit = Arc::new(hook);
        self
    }

    /// Calls this right before every revocation.
    pub(crate) fn before_revoke(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.before_revoke = Arc::new(hook);
        self
    }

    /// What a look-up sees, without a ring.
    pub(crate) fn look_up(&self, realm: &Realm, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        match self.store.find(realm, digest) {
            Lookup::Ready(found) => found.unwrap(),
            Lookup::Pending(_) => panic!("memory answers at once"),
        }
    }

    async fn pause(&self) {
        if self.yields {
            thread::yield_now();
            tokio::task::yield_now().await;
        }
    }

    async fn between<T>(&self, step: impl Future<Output = T>) -> T {
        self.pause().await;
        let answer = step.await;
        self.pause().await;
        answer
    }
}

impl KeyStore for Steps {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        if !self.yields {
            return self.store.find(realm, digest);
        }
        let (steps, realm, digest) = (self.clone(), realm.clone(), *digest);
        Lookup::Pending(Box::pin(async move {
            let find = async { Ok(steps.look_up(&realm, &digest)) };
            steps.between(find).await
        }))
    }

    fn memory(&self) -> Option<&MemoryStore> {
        (!self.yields).then_some(&self.store)
    }

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.between(async move {
            (self.before_commit)(change);
            self.store.commit(change).await
        }))
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(self.between(async move {
            (self.before_revoke)();
            self.store.revoke(realm, target, revocation).await
        }))
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        Box::pin(self.between(async move { self.store.get(realm, id).await }))
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(self.between(async move { self.store.list(realm, query).await }))
    }

    crate::support::forward!(store: purge, record_uses, last_uses);
}
