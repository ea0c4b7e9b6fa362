//! A store of your own, in a hundred lines that pass the [contract](crate::contract_without).
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
//! - What it does not have is refused: [`purge`](KeyStore::purge), which removes the records that
//!   [ended](tower_api_key::KeyRecord::ended_at) by a time, [last uses](KeyStore::record_uses), [usage](KeyStore::record_usage), the
//!   [history](KeyStore::history), and the list of its
//!   [realms](KeyStore::realms). A store that has them passes [`contract`](crate::contract).
//!
//! ```
//! use std::collections::{BTreeMap, BTreeSet};
//! use std::future::ready;
//! use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
//!
//! use tower_api_key::store::{
//!     BoxFuture, Change, Ended, Expected, Found, KeyLimit, KeyStore, ListQuery, Lookup, Page, Revoked, StoreError,
//!     StoreErrorKind, StoreId, Target, Write,
//! };
//! use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation};
//!
//! /// All records under one lock, so that each call sees one state and changes it as a whole.
//! #[derive(Clone, Default)]
//! struct OwnStore(Arc<Mutex<Records>>);
//!
//! #[derive(Default)]
//! struct Records(BTreeMap<KeyId, Arc<KeyRecord>>);
//!
//! impl Records {
//!     fn of<'a>(&'a self, realm: &'a Realm) -> impl Iterator<Item = &'a Arc<KeyRecord>> {
//!         self.0.values().filter(move |it| it.realm() == realm)
//!     }
//!
//!     /// Whether the place of a record is as the change expects it.
//!     fn check(&self, write: &Write) -> Result<(), StoreErrorKind> {
//!         let new = &write.record;
//!         match (self.0.get(&new.id()), write.expected) {
//!             (None, Expected::Absent) if self.0.values().all(|it| it.digest() != new.digest()) => Ok(()),
//!             (_, Expected::Absent) => Err(StoreErrorKind::Duplicate),
//!             // The same key, with no more authority: a version says nothing about another key.
//!             (Some(old), Expected::Version(version)) if old.version() == version => match new.gain_over(old) {
//!                 None => Ok(()),
//!                 Some(gain) if gain.is_another_key() => Err(StoreErrorKind::Conflict),
//!                 Some(_) => Err(StoreErrorKind::Unavailable),
//!             },
//!             (_, Expected::Version(_)) => Err(StoreErrorKind::Conflict),
//!         }
//!     }
//!
//!     /// Whether a limit holds once the change has applied.
//!     fn is_within(&self, limit: &KeyLimit, change: &Change) -> bool {
//!         let writes = || change.writes().iter().map(|it| &it.record);
//!         let stays = |it: &&Arc<KeyRecord>| writes().all(|new| new.id() != it.id());
//!         let counted = self.0.values().filter(stays).chain(writes()).filter(|it| limit.counts(it));
//!         counted.map(|it| it.lineage()).collect::<BTreeSet<_>>().len() <= limit.most()
//!     }
//!
//!     /// Everything is checked before the first write.
//!     fn commit(&mut self, change: &Change) -> Result<(), StoreError> {
//!         let (mut ids, mut digests) = (BTreeSet::new(), BTreeSet::new());
//!         for write in change.writes() {
//!             self.check(write)?;
//!             if !ids.insert(write.record.id()) || !digests.insert(*write.record.digest().as_bytes()) {
//!                 return Err(StoreErrorKind::Duplicate.into());
//!             }
//!         }
//!         if !change.limits().iter().all(|it| self.is_within(it, change)) {
//!             return Err(StoreErrorKind::TooManyKeys.into());
//!         }
//!         let writes = change.writes().iter().map(|it| (it.record.id(), Arc::clone(&it.record)));
//!         self.0.extend(writes);
//!         Ok(())
//!     }
//!
//!     /// Reads nothing but ids, lineages, subjects and versions, and is never refused.
//!     fn revoke(&mut self, realm: &Realm, target: &Target, revocation: Revocation) -> Revoked {
//!         let lineage = |id| self.of(realm).find(|it| it.id() == id).map_or(id, |it| it.lineage());
//!         let is_named = |it: &&Arc<KeyRecord>| match target {
//!             Target::Key(id) => it.id() == *id,
//!             Target::Lineage(id) => it.lineage() == lineage(*id),
//!             Target::Subject(subject) => it.subject() == subject,
//!         };
//!         let named: Vec<_> = self.of(realm).filter(is_named).cloned().collect();
//!         let mut ended = Vec::new();
//!         for record in named.iter().filter(|it| it.revocation().is_none()) {
//!             let write = Write::revoked(record, revocation.reason, revocation.at);
//!             self.0.insert(record.id(), write.record);
//!             ended.push(Ended::new(Some(record.id()), Some(record.subject().to_string())));
//!         }
//!         Revoked::new(!named.is_empty(), ended)
//!     }
//! }
//!
//! impl OwnStore {
//!     fn records(&self) -> MutexGuard<'_, Records> {
//!         self.0.lock().unwrap_or_else(PoisonError::into_inner)
//!     }
//! }
//!
//! impl KeyStore for OwnStore {
//!     fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
//!         Lookup::Ready(Ok(self.records().of(realm).find(|it| it.digest() == digest).cloned()))
//!     }
//!
//!     fn identity(&self) -> Option<StoreId> {
//!         Some(StoreId::of(&self.0))
//!     }
//!
//!     fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
//!         Box::pin(async { self.records().commit(change) })
//!     }
//!
//!     fn revoke<'a>(
//!         &'a self, realm: &'a Realm, target: &'a Target, revocation: Revocation, _: Option<&'a Actor>,
//!     ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
//!         Box::pin(async move { Ok(self.records().revoke(realm, target, revocation)) })
//!     }
//!
//!     fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
//!         Box::pin(ready(Ok(self.records().of(realm).find(|it| it.id() == id).cloned())))
//!     }
//!
//!     fn list<'a>(&'a self, realm: &'a Realm, query: &'a ListQuery) -> BoxFuture<'a, Result<Page, StoreError>> {
//!         let records = self.records();
//!         // With no last uses.
//!         let page = Page::select(records.of(realm).map(|it| (Arc::clone(it), None)), query);
//!         Box::pin(ready(Ok(page)))
//!     }
//! }
//!
//! # // In a test: #[tokio::test(flavor = "multi_thread")]
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 4)]
//! # async fn main() {
//! use tower_api_key_contract::{Clause, contract_without};
//!
//! let left_out = [Clause::Purge, Clause::LastUse, Clause::Usage, Clause::ExpiryNotices, Clause::History];
//! let verdict = contract_without(&left_out, async || OwnStore::default()).await;
//! assert!(verdict.is_ok(), "{verdict:?}");
//! # }
//! ```

#[cfg(doc)]
use tower_api_key::store::KeyStore;
