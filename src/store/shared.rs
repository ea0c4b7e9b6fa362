//! The port through a pointer that is shared.

use std::any::Any;
use std::sync::{Arc, Weak};

use super::{
    BoxFuture, Change, ChangeListener, ExpiryClaims, ExpiryLadder, Found, HistoryPage,
    HistoryQuery, Index, KeyStore, KeyUsage, ListQuery, Lookup, Page, Revoked, StoreError, StoreId,
    Target,
};
use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::Revocation;
use crate::time::Timestamp;

/// A store that is shared, such as one `Arc<dyn KeyStore>` for the rings of several realms.
impl<S: KeyStore + ?Sized> KeyStore for Arc<S> {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        (**self).find(realm, digest)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        (**self).spawn(task)
    }

    fn index(&self, realm: &Realm) -> Option<&Index> {
        (**self).index(realm)
    }

    fn on_change(&self, listener: Weak<dyn ChangeListener>) {
        (**self).on_change(listener);
    }

    fn identity(&self) -> Option<StoreId> {
        (**self).identity().or_else(|| Some(StoreId::of(self)))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        (**self).as_any()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).commit(change)
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        (**self).revoke(realm, target, revocation, by)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        (**self).get(realm, id)
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        (**self).get_many(realm, ids)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        (**self).list(realm, query)
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        (**self).realms()
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        (**self).purge(realm, ended_by, by)
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        (**self).history(realm, query)
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        (**self).forget_history(realm, before, by)
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        (**self).claim_expiry_notices(realm, ladder, now, limit)
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).record_uses(realm, uses)
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        (**self).last_uses(realm, ids)
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).record_usage(realm, usages)
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        (**self).usages(realm, ids)
    }
}
