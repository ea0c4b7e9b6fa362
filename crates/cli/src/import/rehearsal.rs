//! A store to which an import may write without a trace.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tower_api_key::store::{
    BoxFuture, Change, Found, KeyLimit, KeyStore, ListQuery, Lookup, Page, Revoked, StoreError,
    StoreErrorKind, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation, Subject, Timestamp};

/// How many new keys a rehearsal remembers: some 300 MB.
const MOST: usize = 1_000_000;

/// A store as it is, and on top of it what was imported since, in memory alone.
pub(super) struct Rehearsal {
    store: Arc<dyn KeyStore>,
    added: Mutex<Added>,
}

/// What was imported, by what is asked of it.
#[derive(Default)]
struct Added {
    by_digest: HashMap<KeyDigest, Arc<KeyRecord>>,
    of_subject: HashMap<Subject, Vec<Arc<KeyRecord>>>,
}

impl Rehearsal {
    pub(super) fn over(store: Arc<dyn KeyStore>) -> Self {
        Self {
            store,
            added: Mutex::default(),
        }
    }

    fn added(&self) -> MutexGuard<'_, Added> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, change: &Change) -> Result<(), StoreError> {
        let mut added = self.added();
        if added.by_digest.len() + change.writes().len() > MOST {
            return Err(StoreError::unavailable(format!(
                "a dry run can have at most {MOST} new keys; split the file"
            )));
        }
        for write in change.writes() {
            let record = &write.record;
            let of_subject = added.of_subject.entry(record.subject().clone());
            of_subject.or_default().push(Arc::clone(record));
            added.by_digest.insert(*record.digest(), Arc::clone(record));
        }
        Ok(())
    }

    /// The keys of a subject that would count if this change was applied.
    async fn lineages(
        &self,
        change: &Change,
        limit: &KeyLimit,
    ) -> Result<BTreeSet<KeyId>, StoreError> {
        let query = ListQuery::new()
            .subject(limit.subject().as_str())
            .unrevoked();
        let held = self.store.list(limit.realm(), &query).await?;
        let added = self.added().of_subject.get(limit.subject()).cloned();
        let added = added.unwrap_or_default();
        let written = change.writes().iter().map(|write| &write.record);
        let records = held.records().iter().chain(&added).chain(written);
        let counted = records.filter(|record| limit.counts(record));
        Ok(counted.map(|record| record.lineage()).collect())
    }
}

fn refused() -> StoreError {
    StoreErrorKind::ReadOnly.into()
}

impl KeyStore for Rehearsal {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        match self.added().by_digest.get(digest) {
            Some(record) if record.realm() == realm => Lookup::Ready(Ok(Some(Arc::clone(record)))),
            _ => self.store.find(realm, digest),
        }
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            for limit in change.limits() {
                if self.lineages(change, limit).await?.len() > limit.most() {
                    return Err(StoreErrorKind::TooManyKeys.into());
                }
            }
            self.add(change)
        })
    }

    fn revoke<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a Target,
        _: Revocation,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(async { Err(refused()) })
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
            let unreadable = page.unreadable().to_vec();
            let mut records = page.records().to_vec();
            let added = self.added();
            let asked =
                |record: &&Arc<KeyRecord>| record.realm() == realm && query.matches(record, None);
            records.extend(added.by_digest.values().filter(asked).map(Arc::clone));
            records.sort_unstable_by_key(|record| record.id());
            Ok(Page::new(records).with_unreadable(unreadable))
        })
    }

    fn purge<'a>(
        &'a self,
        _: &'a Realm,
        _: Timestamp,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async { Err(refused()) })
    }

    fn record_uses<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(refused()) })
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        self.store.last_uses(realm, ids)
    }
}
