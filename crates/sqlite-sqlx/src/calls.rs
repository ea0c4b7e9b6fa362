//! The store of a ring in a transaction.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tower_api_key::store::{
    BoxFuture, Change, Found, HistoryPage, HistoryQuery, KeyStore, KeyUsage, ListQuery, Lookup,
    Page, Revoked, StoreError, StoreErrorKind, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation, Timestamp};

use super::place::because;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A call of a ring to its store.
pub(super) enum Call {
    Get(Realm, KeyId, Reply<Option<Arc<KeyRecord>>>),
    List(Realm, ListQuery, Reply<Page>),
    Commit(Change, Reply<()>),
    Revoke(Realm, Target, Revocation, Option<Actor>, Reply<Revoked>),
    History(Realm, HistoryQuery, Reply<HistoryPage>),
}

/// The store of a ring in a transaction: it sends every call to the connection.
#[derive(Clone)]
pub(super) struct Port(Arc<mpsc::UnboundedSender<Call>>);

impl Port {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (sender, calls) = mpsc::unbounded_channel();
        (Self(Arc::new(sender)), calls)
    }

    async fn ask<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let over = || because(StoreErrorKind::Unavailable, "the transaction is over");
        self.0.send(call(reply)).map_err(|_| over())?;
        answer.await.map_err(|_| over())?
    }
}

fn not_here() -> StoreError {
    let advice = "call the ring itself: a transaction cannot do this";
    because(StoreErrorKind::Unavailable, advice)
}

impl KeyStore for Port {
    fn find(&self, _: &Realm, _: &KeyDigest) -> Lookup {
        Lookup::Ready(Err(not_here()))
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.ask(|reply| Call::Commit(change.clone(), reply)))
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        let (realm, target, by) = (realm.clone(), target.clone(), by.cloned());
        Box::pin(self.ask(move |reply| Call::Revoke(realm, target, revocation, by, reply)))
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        Box::pin(self.ask(move |reply| Call::Get(realm.clone(), id, reply)))
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(self.ask(move |reply| Call::List(realm.clone(), query.clone(), reply)))
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        Box::pin(self.ask(move |reply| Call::History(realm.clone(), query.clone(), reply)))
    }

    fn forget_history<'a>(
        &'a self,
        _: &'a Realm,
        _: Timestamp,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async { Err(not_here()) })
    }

    fn purge<'a>(
        &'a self,
        _: &'a Realm,
        _: Timestamp,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async { Err(not_here()) })
    }

    fn record_uses<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(not_here()) })
    }

    fn record_usage<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(not_here()) })
    }

    fn usages<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        Box::pin(async { Err(not_here()) })
    }

    fn last_uses<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        Box::pin(async { Err(not_here()) })
    }
}
