//! Parts of the port that a store may leave out: it then refuses them.

use std::sync::Arc;

use tower_api_key::store::{
    BoxFuture, Change, Found, KeyStore, ListQuery, Lookup, MemoryStore, Page, Revoked, StoreError,
    StoreErrorKind, StoreId, Target,
};
use tower_api_key::{
    Actor, Error, ErrorKind, Grant, KeyDigest, KeyId, KeyRing, Realm, Revocation, Timestamp,
};
use tower_api_key_contract::{Clause, contract, contract_without};

/// A store in memory with the defaults of the port.
#[derive(Clone)]
struct Plain {
    store: MemoryStore,
    /// Whether it answers that it has removed nothing, although it removes nothing ever.
    pretends: bool,
    /// Whether its lists show that no key was ever used, although it does not know.
    lists_uses: bool,
}

impl Plain {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            pretends: false,
            lists_uses: false,
        }
    }
}

impl KeyStore for Plain {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.commit(change)
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        self.store.revoke(realm, target, revocation, by)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.store.get(realm, id)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let page = self.store.list(realm, query).await?;
            let uses = vec![None; page.len()];
            Ok(if self.lists_uses {
                page.with_last_uses(uses)
            } else {
                page
            })
        })
    }

    fn purge<'a>(
        &'a self,
        _: &'a Realm,
        _: Timestamp,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let purged = if self.pretends {
            Ok(0)
        } else {
            Err(StoreErrorKind::Unsupported.into())
        };
        Box::pin(std::future::ready(purged))
    }
}

pub(super) const OPTIONAL: [Clause; 5] = [
    Clause::Purge,
    Clause::LastUse,
    Clause::Usage,
    Clause::ExpiryNotices,
    Clause::History,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_may_leave_out_what_is_optional() {
    let plain = async || Plain::new();
    contract_without(&OPTIONAL, plain).await.unwrap();

    // The whole suite asks for them.
    let violation = contract(plain).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::Honesty);
    let violation = contract_without(&[Clause::Purge], plain).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::Honesty);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_leaves_a_part_out_says_so() {
    let pretends = async || Plain {
        pretends: true,
        ..Plain::new()
    };
    let violation = contract_without(&OPTIONAL, pretends).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::Purge);
    assert_eq!(
        violation.seen(),
        "purge was left out of the suite, but the store supports it"
    );
    let lists = async || Plain {
        lists_uses: true,
        ..Plain::new()
    };
    let violation = contract_without(&OPTIONAL, lists).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::LastUse);
    assert_eq!(
        violation.seen(),
        "list gave last uses, which the store does not keep"
    );
    let whole = contract_without(&OPTIONAL, async || MemoryStore::new()).await;
    assert_eq!(whole.unwrap_err().clause(), Clause::Purge);
}

#[tokio::test]
#[should_panic(
    expected = "only the clauses purge, last use, usage, expiry notices and history can be left out"
)]
async fn no_other_clause_can_be_left_out() {
    let _ = contract_without(&[Clause::Revocation], async || MemoryStore::new()).await;
}

/// What a ring over such a store answers.
#[tokio::test]
async fn a_ring_denies_what_its_store_does_not_do() {
    let ring = KeyRing::builder("acme").build(Plain::new()).unwrap();
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let refused = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Store);
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<StoreError>().unwrap();
        assert_eq!(source.kind(), StoreErrorKind::Unsupported);
    };
    refused(ring.purge().await.unwrap_err());
    refused(ring.last_used(issued.id()).await.unwrap_err());
    refused(ring.usages(&[issued.id()]).await.unwrap_err());
    // A list of keys has no use to show.
    let record = Arc::clone(issued.record());
    assert_eq!(ring.views(&[record]).await.unwrap().len(), 1);
}
