//! The store in memory as a ring sees it.

use std::future::ready;
use std::sync::Arc;

use super::super::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, HistoryPage, HistoryQuery, Index,
    KeyStore, KeyUsage, ListQuery, Lookup, MOST_REALMS, Page, Revoked, StoreError, StoreErrorKind,
    StoreId, Target,
};
use super::MemoryStore;
use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::Revocation;
use crate::time::Timestamp;

impl KeyStore for MemoryStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        // It is always fresh.
        Lookup::Ready(Ok(self.0.index.find(realm, digest).flatten()))
    }

    fn index(&self, _: &Realm) -> Option<&Index> {
        Some(&self.0.index)
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(ready(self.apply(change)))
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(ready(Ok(self.end(
            realm,
            target,
            revocation,
            self.made(by),
        ))))
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        let found = self.records().get(realm, id).map(Arc::clone);
        Box::pin(ready(Ok(found)))
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(ready(Ok(self.records().list(realm, query))))
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        let realms = self.records().realms();
        Box::pin(ready(Ok(realms.into_iter().take(MOST_REALMS).collect())))
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(Ok(self.remove_ended(realm, ended_by, self.made(by)))))
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        let page = match self.records().history() {
            Some(history) => Ok(history.page(realm, query)),
            None => Err(StoreErrorKind::Unsupported.into()),
        };
        Box::pin(ready(page))
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let made = self.made(by);
        let forgotten = match self.records().history() {
            Some(history) => Ok(history.forget(realm, before, made)),
            None => Err(StoreErrorKind::Unsupported.into()),
        };
        Box::pin(ready(forgotten))
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        let at = self.made(None).at;
        let mut records = self.records();
        let claims = records.claim_expiry_notices((realm, ladder), (now, limit), at);
        Box::pin(ready(Ok(claims)))
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut records = self.records();
        for &(id, at) in uses {
            records.use_at(realm, id, at);
        }
        Box::pin(ready(Ok(())))
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut records = self.records();
        for (id, usage) in usages {
            records.use_for(realm, *id, usage);
        }
        Box::pin(ready(Ok(())))
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        let records = self.records();
        let usages = ids.iter().map(|&id| records.usage(realm, id)).collect();
        Box::pin(ready(Ok(usages)))
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        let records = self.records();
        let uses = ids.iter().map(|&id| records.last_use(realm, id)).collect();
        Box::pin(ready(Ok(uses)))
    }
}
