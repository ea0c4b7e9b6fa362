//! The storage port over the pool.

use std::any::Any;
use std::sync::Arc;

use futures_timer::Delay;
use tower_api_key::store::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, HistoryPage, HistoryQuery, KeyStore,
    KeyUsage, ListQuery, Lookup, Page, Revoked, StoreError, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, Realm, Revocation, Timestamp};
use tower_api_key_sqlite_schema::notices::Notices;
use tower_api_key_sqlite_schema::{history as history_steps, purges};

use super::task::{self, detached};
use super::{SqlxSqliteStore, expiring, history, list, read, usage, write};

impl KeyStore for SqlxSqliteStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let (connections, realm, digest) = (Arc::clone(&self.0), realm.clone(), *digest);
        let is_in_memory = connections.place.is_in_memory();
        let find = async move { read::find(&connections, &realm, &digest).await };
        // A look-up that is dropped half-way costs its connection, and a database in memory ends with its last one.
        Lookup::Pending(if is_in_memory {
            Box::pin(detached(find))
        } else {
            Box::pin(find)
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        task::spawn(task)
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut taken = self.0.taken().await?;
            let mut writing = self.0.writing(&mut taken).await?;
            write::commit(&mut writing, &self.0.place, change).await?;
            self.0.commit(writing).await
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
            let mut taken = self.0.taken().await?;
            let mut writing = self.0.writing(&mut taken).await?;
            let place = &self.0.place;
            let revoked = write::revoke(&mut writing, place, realm, target, revocation, by).await?;
            self.0.commit(writing).await?;
            Ok(revoked)
        })
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        Box::pin(detached(async move {
            let mut taken = connections.taken().await?;
            let mut reading = connections.reading(&mut taken).await?;
            let found = read::get(&mut reading, &connections.place, &realm, id).await;
            connections.read(reading, found).await
        }))
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        let (connections, realm, asked) = (Arc::clone(&self.0), realm.clone(), ids.to_vec());
        Box::pin(async move {
            let found = detached(async move {
                let mut taken = connections.taken().await?;
                let mut reading = connections.reading(&mut taken).await?;
                let mut found = Vec::with_capacity(asked.len());
                for id in asked {
                    found.push(read::get(&mut reading, &connections.place, &realm, id).await);
                }
                connections.read(reading, Ok(found)).await
            });
            match found.await {
                Ok(found) => found,
                Err(error) => vec![Err(error); ids.len()],
            }
        })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let connections = Arc::clone(&self.0);
        let (realm, query) = (realm.clone(), query.clone());
        Box::pin(detached(async move {
            let mut taken = connections.taken().await?;
            let mut reading = connections.reading(&mut taken).await?;
            let page = list::list(&mut reading, &connections.place, &realm, &query).await;
            connections.read(reading, page).await
        }))
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        let connections = Arc::clone(&self.0);
        Box::pin(detached(async move {
            let mut taken = connections.taken().await?;
            let mut reading = connections.reading(&mut taken).await?;
            let realms = list::realms(&mut reading, &connections.place).await;
            connections.read(reading, realms).await
        }))
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let ended_by = i64::try_from(ended_by.as_unix()).unwrap_or(i64::MAX);
            let mut purged = 0;
            loop {
                let mut taken = self.0.taken().await?;
                let mut writing = self.0.writing(&mut taken).await?;
                let place = &self.0.place;
                let removed = write::purge(&mut writing, place, realm, ended_by, by).await?;
                self.0.commit(writing).await?;
                // The rest is for others, of this pool too.
                drop(taken);
                purged += removed;
                if removed < purges::AT_ONCE as u64 {
                    return Ok(purged);
                }
                Delay::new(purges::REST).await;
            }
        })
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        let connections = Arc::clone(&self.0);
        let (realm, query) = (realm.clone(), query.clone());
        Box::pin(detached(async move {
            let mut taken = connections.taken().await?;
            let mut reading = connections.reading(&mut taken).await?;
            let page = history::list(&mut reading, &connections.place, &realm, &query).await;
            connections.read(reading, page).await
        }))
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let before = i64::try_from(before.as_unix()).unwrap_or(i64::MAX);
            let mut forgotten = 0;
            loop {
                let mut taken = self.0.taken().await?;
                let mut writing = self.0.writing(&mut taken).await?;
                let place = &self.0.place;
                let removed = history::forget(&mut writing, place, realm, before, by).await?;
                self.0.commit(writing).await?;
                drop(taken);
                forgotten += removed;
                if removed < history_steps::AT_ONCE as u64 {
                    return Ok(forgotten);
                }
                Delay::new(history_steps::REST).await;
            }
        })
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        let statements = Notices::new(ladder);
        Box::pin(detached(async move {
            let Some(statements) = statements else {
                return Ok(ExpiryClaims::default());
            };
            let mut taken = connections.taken().await?;
            let mut writing = connections.writing(&mut taken).await?;
            let (place, until) = (&connections.place, (now, limit));
            let claims = expiring::claim(&mut writing, place, &realm, &statements, until).await?;
            connections.commit(writing).await?;
            Ok(claims)
        }))
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut taken = self.0.taken().await?;
            let mut writing = self.0.writing(&mut taken).await?;
            write::record_uses(&mut writing, &self.0.place, realm, uses).await?;
            self.0.commit(writing).await
        })
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut taken = self.0.taken().await?;
            let mut writing = self.0.writing(&mut taken).await?;
            usage::record(&mut writing, &self.0.place, realm, usages).await?;
            self.0.commit(writing).await
        })
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        let (connections, realm, ids) = (Arc::clone(&self.0), realm.clone(), ids.to_vec());
        Box::pin(detached(async move {
            let mut taken = connections.taken().await?;
            let mut reading = connections.reading(&mut taken).await?;
            let usages = usage::list(&mut reading, &connections.place, &realm, &ids).await;
            connections.read(reading, usages).await
        }))
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        let (connections, realm, ids) = (Arc::clone(&self.0), realm.clone(), ids.to_vec());
        Box::pin(detached(async move {
            let mut taken = connections.taken().await?;
            let mut reading = connections.reading(&mut taken).await?;
            let uses = read::last_uses(&mut reading, &connections.place, &realm, &ids).await;
            connections.read(reading, uses).await
        }))
    }
}
