//! A store of your own, in two hundred lines that pass [`contract`](crate::contract).
//!
//! It keeps its records in a map behind one lock, so that the clauses of the contract are short to write. A
//! database has them as transactions and constraints: a unique index over the digests, a condition on the
//! version in each update, a lock for each subject. Its rows and lists are in
//! [`store::sql`](tower_api_key::store::sql), behind the feature `sql` of `tower-api-key`.
//!
//! - [`find`](KeyStore::find) is on the path of every request. A store that has to wait returns
//!   [`Lookup::Pending`](tower_api_key::store::Lookup::Pending).
//! - [`commit`](KeyStore::commit) checks every expectation of a change, and then applies all of it or nothing.
//!   It knows no rule of the lifecycle.
//! - [`revoke`](KeyStore::revoke) waits for others, and is never refused.
//!
//! ```
//! use std::collections::{BTreeMap, BTreeSet};
//! use std::future::ready;
//! use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
//!
//! use tower_api_key::store::{
//!     BoxFuture, Change, Ended, Expected, Found, KeyLimit, KeyStore, ListQuery, Lookup, Page, Revoked,
//!     StoreError, StoreErrorKind, StoreId, Target, Write,
//! };
//! use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation, Timestamp};
//!
//! /// All records under one lock, so that each call sees one state and changes it as a whole.
//! #[derive(Clone, Default)]
//! struct OwnStore(Arc<Mutex<State>>);
//!
//! #[derive(Default)]
//! struct State {
//!     records: BTreeMap<KeyId, Arc<KeyRecord>>,
//!     uses: BTreeMap<KeyId, Timestamp>,
//! }
//!
//! impl OwnStore {
//!     fn state(&self) -> MutexGuard<'_, State> {
//!         self.0.lock().unwrap_or_else(PoisonError::into_inner)
//!     }
//! }
//!
//! impl State {
//!     fn of<'a>(&'a self, realm: &'a Realm) -> impl Iterator<Item = &'a Arc<KeyRecord>> {
//!         self.records.values().filter(move |it| it.realm() == realm)
//!     }
//!
//!     /// Whether the place of a record is as the change expects it.
//!     fn check(&self, write: &Write) -> Result<(), StoreErrorKind> {
//!         let new = &write.record;
//!         match (self.records.get(&new.id()), write.expected) {
//!             (Some(_), Expected::Absent) => Err(StoreErrorKind::Duplicate),
//!             (None, Expected::Absent) => {
//!                 let is_taken = self.records.values().any(|it| it.digest() == new.digest());
//!                 if is_taken {
//!                     Err(StoreErrorKind::Duplicate)
//!                 } else {
//!                     Ok(())
//!                 }
//!             }
//!             // The same key, with no more authority: a version says nothing about another key.
//!             (Some(old), Expected::Version(version))
//!                 if old.version() == version =>
//!             {
//!                 match new.gain_over(old) {
//!                     None => Ok(()),
//!                     Some(gain) if gain.is_another_key() => Err(StoreErrorKind::Conflict),
//!                     Some(_) => Err(StoreErrorKind::Unavailable),
//!                 }
//!             }
//!             (_, Expected::Version(_)) => Err(StoreErrorKind::Conflict),
//!         }
//!     }
//!
//!     /// Whether a limit holds once the change has applied.
//!     fn is_within(&self, limit: &KeyLimit, change: &Change) -> bool {
//!         let writes = || change.writes().iter().map(|it| &it.record);
//!         let stays = |it: &&Arc<KeyRecord>| writes().all(|new| new.id() != it.id());
//!         let records = self.records.values().filter(stays).chain(writes());
//!         let counted = records.filter(|it| limit.counts(it));
//!         let lineages: BTreeSet<_> = counted.map(|it| it.lineage()).collect();
//!         lineages.len() <= limit.most()
//!     }
//!
//!     fn commit(&mut self, change: &Change) -> Result<(), StoreError> {
//!         // Everything is checked before the first write.
//!         let (mut ids, mut digests) = (BTreeSet::new(), BTreeSet::new());
//!         for write in change.writes() {
//!             self.check(write)?;
//!             let digest = *write.record.digest().as_bytes();
//!             if !ids.insert(write.record.id()) || !digests.insert(digest) {
//!                 return Err(StoreErrorKind::Duplicate.into());
//!             }
//!         }
//!         if !change.limits().iter().all(|it| self.is_within(it, change)) {
//!             return Err(StoreErrorKind::TooManyKeys.into());
//!         }
//!         for Write { record, .. } in change.writes() {
//!             self.records.insert(record.id(), Arc::clone(record));
//!         }
//!         Ok(())
//!     }
//!
//!     /// Reads nothing but ids, lineages, subjects and versions, and is never refused.
//!     fn revoke(&mut self, realm: &Realm, target: &Target, revocation: Revocation) -> Revoked {
//!         let lineage = match target {
//!             Target::Lineage(id) => self
//!                 .of(realm)
//!                 .find(|it| it.id() == *id)
//!                 .map_or(*id, |it| it.lineage()),
//!             Target::Key(id) => *id,
//!             Target::Subject(_) => KeyId::from_hash([0; 16]),
//!         };
//!         let is_named = |it: &&Arc<KeyRecord>| match target {
//!             Target::Key(id) => it.id() == *id,
//!             Target::Lineage(_) => it.lineage() == lineage,
//!             Target::Subject(subject) => it.subject() == subject,
//!         };
//!         let named: Vec<_> = self.of(realm).filter(is_named).cloned().collect();
//!         let mut ended = Vec::new();
//!         for record in named.iter().filter(|it| it.revocation().is_none()) {
//!             let write = Write::revoked(record, revocation.reason, revocation.at);
//!             self.records.insert(record.id(), write.record);
//!             let (id, subject) = (Some(record.id()), Some(record.subject().to_string()));
//!             ended.push(Ended::new(id, subject));
//!         }
//!         Revoked::new(!named.is_empty(), ended)
//!     }
//! }
//!
//! impl KeyStore for OwnStore {
//!     fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
//!         Lookup::Ready(Ok(self
//!             .state()
//!             .of(realm)
//!             .find(|it| it.digest() == digest)
//!             .cloned()))
//!     }
//!
//!     fn identity(&self) -> Option<StoreId> {
//!         Some(StoreId::of(&self.0))
//!     }
//!
//!     fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
//!         Box::pin(async { self.state().commit(change) })
//!     }
//!
//!     fn revoke<'a>(
//!         &'a self,
//!         realm: &'a Realm,
//!         target: &'a Target,
//!         revocation: Revocation,
//!         _: Option<&'a Actor>,
//!     ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
//!         Box::pin(async move { Ok(self.state().revoke(realm, target, revocation)) })
//!     }
//!
//!     fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
//!         let found = self.state().of(realm).find(|it| it.id() == id).cloned();
//!         Box::pin(ready(Ok(found)))
//!     }
//!
//!     fn list<'a>(
//!         &'a self,
//!         realm: &'a Realm,
//!         query: &'a ListQuery,
//!     ) -> BoxFuture<'a, Result<Page, StoreError>> {
//!         let state = self.state();
//!         let held = state
//!             .of(realm)
//!             .map(|it| (Arc::clone(it), state.uses.get(&it.id()).copied()));
//!         Box::pin(ready(Ok(Page::select(held, query))))
//!     }
//!
//!     fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
//!         let state = self.state();
//!         let realms: BTreeSet<Realm> = state
//!             .records
//!             .values()
//!             .map(|it| it.realm().clone())
//!             .collect();
//!         Box::pin(ready(Ok(realms
//!             .into_iter()
//!             .take(tower_api_key::store::MOST_REALMS)
//!             .collect())))
//!     }
//!
//!     fn purge<'a>(
//!         &'a self,
//!         realm: &'a Realm,
//!         ended_by: Timestamp,
//!         _: Option<&'a Actor>,
//!     ) -> BoxFuture<'a, Result<u64, StoreError>> {
//!         let mut state = self.state();
//!         let is_over = |it: &&Arc<KeyRecord>| it.ended_at().is_some_and(|end| end <= ended_by);
//!         let over: Vec<KeyId> = state.of(realm).filter(is_over).map(|it| it.id()).collect();
//!         for id in &over {
//!             state.records.remove(id);
//!             state.uses.remove(id);
//!         }
//!         Box::pin(ready(Ok(over.len() as u64)))
//!     }
//!
//!     fn record_uses<'a>(
//!         &'a self,
//!         realm: &'a Realm,
//!         uses: &'a [(KeyId, Timestamp)],
//!     ) -> BoxFuture<'a, Result<(), StoreError>> {
//!         let mut state = self.state();
//!         for &(id, at) in uses {
//!             if state.records.get(&id).is_some_and(|it| it.realm() == realm) {
//!                 let last = state.uses.entry(id).or_insert(at);
//!                 *last = at.max(*last);
//!             }
//!         }
//!         Box::pin(ready(Ok(())))
//!     }
//!
//!     fn last_uses<'a>(
//!         &'a self,
//!         realm: &'a Realm,
//!         ids: &'a [KeyId],
//!     ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
//!         let state = self.state();
//!         let is_here = |id: &KeyId| state.records.get(id).is_some_and(|it| it.realm() == realm);
//!         let uses = ids
//!             .iter()
//!             .map(|id| state.uses.get(id).copied().filter(|_| is_here(id)));
//!         Box::pin(ready(Ok(uses.collect())))
//!     }
//! }
//!
//! # // In a test: #[tokio::test(flavor = "multi_thread")]
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 4)]
//! # async fn main() {
//! let verdict = tower_api_key_contract::contract(async || OwnStore::default()).await;
//! assert!(verdict.is_ok(), "{verdict:?}");
//! # }
//! ```

#[cfg(doc)]
use tower_api_key::store::KeyStore;
