//! A store whose index does not follow it: the ring would read the index.

use tower_api_key::store::{
    BoxFuture, Change, Found, Freshness, Index, KeyStore, ListQuery, Lookup, MemoryStore, Page,
    Revoked, StoreError, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, Realm, Revocation};
use tower_api_key_contract::{Clause, contract_without};

use super::optional::OPTIONAL;

/// Its index follows each commit, and a revocation only if it is `followed`.
struct Indexed {
    store: MemoryStore,
    index: Index,
    followed: bool,
}

impl Indexed {
    fn new(freshness: Freshness, followed: bool) -> Self {
        Self {
            store: MemoryStore::new(),
            index: Index::new(freshness),
            followed,
        }
    }

    async fn follow(&self, realm: &Realm, revoked: &Revoked) {
        for id in revoked.ended.iter().filter_map(|ended| ended.id) {
            if let Ok(Some(record)) = self.store.get(realm, id).await {
                self.index.put(record);
            }
        }
    }
}

impl KeyStore for Indexed {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn index(&self, _: &Realm) -> Option<&Index> {
        Some(&self.index)
    }

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.store.commit(change).await?;
            for write in change.writes() {
                self.index.put(write.record.clone());
            }
            Ok(())
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
            let revoked = self.store.revoke(realm, target, revocation, by).await?;
            if self.followed {
                self.follow(realm, &revoked).await;
            }
            Ok(revoked)
        })
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.store.get(realm, id)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.store.list(realm, query)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_8_an_index_that_misses_revocations_is_caught() {
    let fresh = async || Indexed::new(Freshness::always(), false);
    let violation = contract_without(&OPTIONAL, fresh).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::Revocation);
    assert!(
        violation.seen().contains("the index"),
        "{}",
        violation.seen()
    );

    // No ring reads one that is stale.
    let stale = async || Indexed::new(Freshness::leased(), false);
    contract_without(&OPTIONAL, stale).await.unwrap();
    let follows = async || Indexed::new(Freshness::always(), true);
    contract_without(&OPTIONAL, follows).await.unwrap();
}
