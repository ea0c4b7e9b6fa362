//! The storage port: the thread of each call.

use std::future::ready;
use std::sync::Arc;

use rusqlite::Connection;
use tower_api_key::store::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, HistoryPage, HistoryQuery, KeyStore,
    KeyUsage, ListQuery, Lookup, Page, Revoked, StoreError, StoreErrorKind, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, Realm, Revocation, Timestamp};

use super::checkpoint::{bring_into_file, forget_pages};
use super::place::Place;
use super::readers::SLOW;
use super::stopwatch::Moment;
use super::worker::Worker;
use super::{SqliteStore, expiring, history, list, purge, read, revoke, usage, write};

/// Up to this many records are read in the calling thread, as one is.
const FEW: usize = 16;

impl KeyStore for SqliteStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let found = self.at_once(|connection, place| read::find(connection, place, realm, digest));
        match found {
            Some(found) => Lookup::Ready(found),
            None => self.find_later(realm, digest),
        }
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        let change = change.clone();
        self.write(move |connection, place| write::commit(connection, place, &change))
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        let (realm, target, by) = (realm.clone(), target.clone(), by.cloned());
        self.write(move |connection, place| {
            revoke::revoke(connection, place, &realm, &target, revocation, by.as_ref())
        })
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        // At once, as `find` does: a watch bounds the wait.
        let got = self.at_once(|connection, place| read::get(connection, place, realm, id));
        if let Some(got) = got {
            return Box::pin(ready(got));
        }
        let realm = realm.clone();
        self.later(move |connection, place| read::get(connection, place, &realm, id))
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        let at_once =
            || self.at_once(|connection, place| Ok(read::get_some(connection, place, realm, ids)));
        let found = (ids.len() <= FEW).then(at_once).flatten();
        Box::pin(async move {
            let all: Arc<[KeyId]> = ids.into();
            let mut found = match found {
                Some(Ok(found)) => found,
                Some(Err(error)) => vec![Err(error); ids.len()],
                None => Vec::with_capacity(ids.len()),
            };
            while found.len() < all.len() {
                let (realm, ids, begin) = (realm.clone(), Arc::clone(&all), found.len());
                let some = self.later(move |connection, place| {
                    Ok(read::get_some(connection, place, &realm, &ids[begin..]))
                });
                match some.await {
                    Ok(some) => found.extend(some),
                    Err(error) => found.resize(all.len(), Err(error)),
                }
            }
            found
        })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let (realm, query) = (realm.clone(), query.clone());
        self.read(&self.0.management, move |connection, place| {
            list::list(connection, place, &realm, &query)
        })
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        self.read(&self.0.management, |connection, place| {
            list::realms(connection, place)
        })
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(purge::purge(self, realm, ended_by, by))
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        let (realm, query) = (realm.clone(), query.clone());
        self.read(&self.0.management, move |connection, place| {
            history::list(connection, place, &realm, &query)
        })
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(history::forget(self, realm, before, by))
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        let (realm, ladder) = (realm.clone(), ladder.clone());
        self.write(move |connection, place| {
            expiring::claim(connection, place, &realm, &ladder, (now, limit))
        })
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (realm, uses) = (realm.clone(), uses.to_vec());
        self.write(move |connection, place| write::record_uses(connection, place, &realm, &uses))
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (realm, usages) = (realm.clone(), usages.to_vec());
        self.write(move |connection, place| usage::record(connection, place, &realm, &usages))
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        let (realm, ids) = (realm.clone(), ids.to_vec());
        self.read(&self.0.management, move |connection, place| {
            usage::list(connection, place, &realm, &ids)
        })
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        let (realm, ids) = (realm.clone(), ids.to_vec());
        self.read(&self.0.management, move |connection, place| {
            read::last_uses(connection, place, &realm, &ids)
        })
    }
}

impl SqliteStore {
    /// Hands a look-up to a thread that can wait.
    #[cold]
    fn find_later(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        if self.0.place.state.has_fault() {
            return Lookup::Ready(Err(self.0.place.fault()));
        }
        let (realm, digest) = (realm.clone(), *digest);
        Lookup::Pending(
            self.later(move |connection, place| read::find(connection, place, &realm, &digest)),
        )
    }

    /// Reads in a thread that can wait, and checks whether reads are fast there.
    fn later<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection, &Place) -> Result<T, read::Unread> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let core = Arc::clone(&self.0.core);
        let timed = move |connection: &mut Connection, place: &Place| {
            let began = Moment::now();
            let answer = job(connection, place);
            if Moment::now().since(began) >= SLOW || core.readers.any_stands_still() {
                place.state.slow();
            } else {
                place.state.fast();
            }
            answer
        };
        let place = Arc::clone(&self.0.place);
        let read = answering(place, timed);
        Box::pin(self.0.waiting.run_in_turn(read))
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection, &Place) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let place = Arc::clone(&self.0.place);
        if let Some(writer) = &self.0.writer {
            Box::pin(writer.run(move |connection| {
                place.require_current()?;
                forget_pages(connection);
                let answer = job(connection, &place);
                // Another process may remove a log that it takes for its own, until it has noticed that
                // the file was replaced. The content of the file itself stays.
                if answer.is_ok() {
                    bring_into_file(connection, &place);
                }
                // A write to files that are no longer at the path has not happened.
                place.require_current()?;
                answer
            }))
        } else {
            let error = place.error(
                StoreErrorKind::ReadOnly,
                "the store was opened to read only; open it to write",
            );
            Box::pin(ready(Err(error)))
        }
    }

    fn read<T: Send + 'static>(
        &self,
        reader: &Worker,
        job: impl FnOnce(&mut Connection, &Place) -> Result<T, read::Unread> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        Box::pin(reader.run(answering(Arc::clone(&self.0.place), job)))
    }

    /// Reads in the calling thread. `None` if it would have to wait, or reads are slow.
    #[inline]
    fn at_once<T>(
        &self,
        read: impl FnOnce(&Connection, &Place) -> Result<T, read::Unread>,
    ) -> Option<Result<T, StoreError>> {
        let core = &*self.0.core;
        let state = &core.place.state;
        if !state.in_place() {
            return None;
        }
        let answer = core
            .readers
            .with(state, |connection| read(connection, &core.place))?;
        if state.has_fault() {
            return Some(Err(core.place.fault()));
        }
        match answer {
            Ok(found) => Some(Ok(found)),
            Err(error) if error.is_busy() => None,
            Err(error) => Some(Err(error.at(&core.place))),
        }
    }
}

/// A reading whose answer counts only if the files are still those at the path.
fn answering<T>(
    place: Arc<Place>,
    job: impl FnOnce(&mut Connection, &Place) -> Result<T, read::Unread> + Send + 'static,
) -> impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static {
    move |connection| {
        let answer = job(connection, &place).map_err(|error| error.at(&place));
        if place.state.has_fault() {
            return Err(place.fault());
        }
        answer
    }
}
