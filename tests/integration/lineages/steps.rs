//! A store whose work can be watched, and that can let others run between its steps.

use std::sync::Arc;
use std::thread;

use tower_api_key::store::{
    BoxFuture, Change, Found, Index, KeyStore, ListQuery, Lookup, MemoryStore, Page, Revoked,
    StoreError, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation};

use {crate::folder::Folder, tower_api_key_sqlite::SqliteStore};

type BeforeCommit = Arc<dyn Fn(&Change) + Send + Sync>;
type BeforeRevoke = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Steps {
    store: Arc<dyn KeyStore>,
    /// Removed when the store is closed.
    _folder: Option<Arc<Folder>>,
    yields: bool,
    reads_twice: bool,
    before_commit: BeforeCommit,
    before_revoke: BeforeRevoke,
}

impl Steps {
    /// A store in memory that answers at once, one that lets other threads in before and after each
    /// step, in which look-ups are pending first, and one in a file of SQLite.
    pub(crate) fn all() -> Vec<Self> {
        let yielding = Self {
            yields: true,
            ..Self::in_memory()
        };
        vec![Self::in_memory(), yielding, Self::in_a_file()]
    }

    pub(crate) fn in_memory() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            _folder: None,
            yields: false,
            reads_twice: false,
            before_commit: Arc::new(|_| {}),
            before_revoke: Arc::new(|| {}),
        }
    }

    fn in_a_file() -> Self {
        let folder = Folder::new();
        let options = SqliteStore::options().danger_lose_commits_at_power_failure();
        let store = options.open(folder.keys()).unwrap();
        Self {
            store: Arc::new(store),
            _folder: Some(Arc::new(folder)),
            ..Self::in_memory()
        }
    }

    /// With look-ups that take the scopes from a second read, of the newest key of the lineage.
    pub(crate) fn reading_twice(mut self) -> Self {
        self.yields = true;
        self.reads_twice = true;
        self
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

    /// The result of a look-up, without a ring.
    pub(crate) fn look_up(&self, realm: &Realm, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        match self.store.find(realm, digest) {
            Lookup::Ready(found) => found.unwrap(),
            // Every connection is in use.
            Lookup::Pending(found) => super::block_on(found).unwrap(),
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
            let found = steps.between(find).await;
            match found {
                Ok(Some(record)) if steps.reads_twice => {
                    let query = ListQuery::new().lineage(record.lineage());
                    let lineage = steps.store.list(&realm, &query).await?;
                    let newest = lineage.iter().max_by_key(|record| record.generation());
                    let mut parts = record.to_parts();
                    parts.scopes = newest.expect("itself").scopes().clone();
                    Ok(Some(Arc::new(parts.into())))
                }
                found => found,
            }
        }))
    }

    fn index(&self, realm: &Realm) -> Option<&Index> {
        if self.yields {
            None
        } else {
            self.store.index(realm)
        }
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
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(self.between(async move {
            (self.before_revoke)();
            self.store.revoke(realm, target, revocation, by).await
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
