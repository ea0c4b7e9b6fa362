//! The store that gets the records.

use std::sync::Arc;

use tower_api_key::store::{
    Change, Expected, KeyStore, StoreError, StoreErrorKind, Target as Of, Write,
};
use tower_api_key::{Actor, KeyId, KeyRecord, Realm, Revocation};

use super::report::{Outcome, Report};
use super::step::{Step, step};
use crate::failure::Failure;

/// How often a record is tried again if other writers of the target are first.
const ATTEMPTS: u32 = 10;

/// How many records a target refuses one after the other, and no other, until it counts as out of order.
const MOST_REFUSED: usize = 20;

pub(super) struct Target {
    store: Arc<dyn KeyStore>,
    actor: Option<Actor>,
}

/// A record of the source on its way.
struct Pending {
    source: Arc<KeyRecord>,
    /// What this run has done to the record of the target.
    done: Option<Outcome>,
    /// Whether the target has less than it had.
    is_shrunk: bool,
    /// Whether the target has another label or other metadata than it had.
    is_described: bool,
    /// How often another writer was first.
    lost: u32,
}

/// The writes of a round, each with the record that it is for.
type Writes = Vec<(Pending, Write)>;

impl Target {
    pub(super) fn new(store: Arc<dyn KeyStore>, actor: Option<Actor>) -> Self {
        Self { store, actor }
    }

    pub(super) fn store(&self) -> &dyn KeyStore {
        &*self.store
    }

    fn change(&self, writes: Vec<Write>) -> Change {
        Change::new(writes).by(self.actor.as_ref())
    }

    /// Revokes the record of this id, if there is one.
    pub(super) async fn revoke(
        &self,
        realm: &Realm,
        id: KeyId,
        revocation: Revocation,
    ) -> Result<(), Failure> {
        let (target, by) = (Of::Key(id), self.actor.as_ref());
        let revoked = self.store.revoke(realm, &target, revocation, by).await;
        Ok(revoked.map(drop)?)
    }

    /// Brings the target to the state of these records, as far as that widens no key. Returns the ids of
    /// those that it has now.
    pub(super) async fn settle(
        &self,
        realm: &Realm,
        records: &[Arc<KeyRecord>],
        is_file: bool,
        report: &mut Report,
    ) -> Result<Vec<KeyId>, Failure> {
        let mut pending: Vec<_> = records.iter().map(Pending::new).collect();
        let mut settled = Vec::with_capacity(pending.len());
        // A round is a commit. It ends: a version rises by one each time, and attempts are counted.
        while !pending.is_empty() {
            let ids: Vec<KeyId> = pending.iter().map(|it| it.source.id()).collect();
            let found = self.store.get_many(realm, &ids).await;
            let mut writes = Writes::new();
            let mut again = Vec::new();
            for (mut it, found) in pending.into_iter().zip(found) {
                let id = it.source.id();
                let there = match found {
                    Ok(there) => there,
                    Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                        if let Some(revocation) = it.source.revocation() {
                            self.revoke(realm, id, revocation).await?;
                        }
                        let why = "the record of the target cannot be read";
                        report.conflict(realm, id, why);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let source = match &there {
                    Some(there) if is_file => &dated(&it.source, there),
                    _ => &*it.source,
                };
                match step(source, there.as_deref(), it.is_shrunk) {
                    Step::There => {
                        report.count(it.done.unwrap_or(Outcome::There), it.is_described);
                        settled.push(id);
                    }
                    Step::Differs(why) => report.conflict(realm, id, why),
                    Step::Write(write) => writes.push((it, *write)),
                    Step::Revoke(revocation) => {
                        self.revoke(realm, id, revocation).await?;
                        it.done.get_or_insert(Outcome::Updated);
                        again.push(it);
                    }
                }
            }
            again.extend(self.write(realm, writes, report).await?);
            pending = again;
        }
        Ok(settled)
    }

    /// Commits the writes, all at once or, if that fails because of one of them, each by itself. Returns
    /// the records to look at again.
    async fn write(
        &self,
        realm: &Realm,
        writes: Writes,
        report: &mut Report,
    ) -> Result<Vec<Pending>, Failure> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.change(writes.iter().map(|(_, write)| write.clone()).collect());
        match self.store.commit(&all).await {
            Ok(()) => {
                let written = writes.into_iter().map(|(it, write)| it.written(&write));
                return Ok(written.collect());
            }
            Err(error) if !is_about_a_record(&error) => return Err(error.into()),
            Err(_) => {}
        }
        let (count, mut refused) = (writes.len(), 0);
        let mut again = Vec::with_capacity(count);
        for (mut it, write) in writes {
            let id = it.source.id();
            let change = self.change(vec![write.clone()]);
            let Err(error) = self.store.commit(&change).await else {
                again.push(it.written(&write));
                continue;
            };
            it.lost += 1;
            let why = match error.kind() {
                StoreErrorKind::Duplicate if it.lost > 1 => {
                    "another record of the target has its id or its digest".to_owned()
                }
                StoreErrorKind::Conflict if it.lost >= ATTEMPTS => {
                    "other writers keep changing the record of the target".to_owned()
                }
                StoreErrorKind::Conflict | StoreErrorKind::Duplicate => {
                    again.push(it);
                    continue;
                }
                StoreErrorKind::Unavailable => {
                    refused += 1;
                    if refused >= MOST_REFUSED && refused == count {
                        return Err(error.into());
                    }
                    self.require_answer(realm, id).await?;
                    Failure::from(error).message()
                }
                _ => return Err(error.into()),
            };
            report.conflict(realm, id, &why);
        }
        Ok(again)
    }

    /// Fails if the target cannot even be read: then it has not refused a record.
    async fn require_answer(&self, realm: &Realm, id: KeyId) -> Result<(), Failure> {
        match self.store.get(realm, id).await {
            Err(error) if error.kind() != StoreErrorKind::Corrupt => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Whether a commit may have failed because of one of its records: it is taken, has changed meanwhile, or
/// holds what the database refuses.
fn is_about_a_record(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        StoreErrorKind::Conflict | StoreErrorKind::Duplicate | StoreErrorKind::Unavailable
    )
}

/// The record of a keys file, with the time of issue and the label of the record that the target has: a
/// file has no time of issue, and a label is for people.
fn dated(source: &KeyRecord, there: &KeyRecord) -> KeyRecord {
    let mut parts = source.to_parts();
    parts.issued_at = there.issued_at();
    parts.label = there.label().cloned();
    parts.into()
}

impl Pending {
    fn new(source: &Arc<KeyRecord>) -> Self {
        Self {
            source: Arc::clone(source),
            done: None,
            is_shrunk: false,
            is_described: false,
            lost: 0,
        }
    }

    /// After its write was committed.
    fn written(mut self, write: &Write) -> Self {
        self.done.get_or_insert(match write.expected {
            Expected::Absent => Outcome::Copied,
            Expected::Version(_) => Outcome::Updated,
        });
        let is_update = write.expected != Expected::Absent;
        self.is_shrunk |= is_update;
        self.is_described |= is_update && write.describes();
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tower_api_key::store::{BoxFuture, MemoryStore};
    use tower_api_key::{KeyDigest, KeyRecordParts, ScopeSet, Timestamp};
    use tower_api_key_test_support::forward;

    use super::*;
    use crate::output::Output;

    /// A target in which another writer is first, as often as this says.
    struct Raced {
        store: MemoryStore,
        times: AtomicU32,
    }

    impl KeyStore for Raced {
        forward!(store: find, revoke, get, list, purge, record_uses, last_uses);

        fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async move {
                let left = self.times.load(Ordering::Relaxed);
                if left > 0 {
                    self.times.store(left - 1, Ordering::Relaxed);
                    let write = &change.writes()[0];
                    let first = match write.expected {
                        Expected::Absent => Write::new(write.record.clone()),
                        Expected::Version(_) => {
                            let (realm, id) = (write.record.realm(), write.record.id());
                            let there = self.store.get(realm, id).await?.unwrap();
                            Write::next(&there, |_| {})
                        }
                    };
                    self.store.commit(&Change::new(vec![first])).await?;
                }
                self.store.commit(change).await
            })
        }
    }

    fn record(number: u8, version: u64, scopes: &str) -> Arc<KeyRecord> {
        let id = format!("{number:012}").parse().unwrap();
        let (realm, at) = (Realm::new("orders").unwrap(), Timestamp::from_unix(1));
        let digest = KeyDigest::sha256(&[number]);
        let mut parts = KeyRecordParts::new(id, realm, digest, "alice".parse().unwrap(), at);
        parts.scopes = scopes.parse::<ScopeSet>().unwrap();
        parts.version = version;
        Arc::new(parts.into())
    }

    /// The scopes of the second record, the ids that were settled, and the state of the report.
    async fn raced(times: u32) -> (String, usize, String) {
        let realm = Realm::new("orders").unwrap();
        let store = MemoryStore::new();
        let held = Write::new(KeyRecord::clone(&record(2, 1, "r w")));
        store.commit(&Change::new(vec![held])).await.unwrap();
        let raced = Raced {
            store: store.clone(),
            times: AtomicU32::new(times),
        };
        let target = Target::new(Arc::new(raced), None);
        let mut report = Report::new(Output::new(false));
        let records = [record(1, 1, "r"), record(2, 2, "r")];
        let settled = target.settle(&realm, &records, false, &mut report).await;
        let second = store.get(&realm, records[1].id()).await.unwrap().unwrap();
        let ended = report.end(Ok(())).err();
        let said = ended.map(|failure| failure.message()).unwrap_or_default();
        (
            second.scopes().as_str().to_owned(),
            settled.unwrap().len(),
            said,
        )
    }

    #[tokio::test]
    async fn a_record_that_another_writer_changes_first_is_looked_at_again() {
        for times in 0..10 {
            assert_eq!(raced(times).await, ("r".to_owned(), 2, String::new()));
        }
        let (scopes, settled, said) = raced(u32::MAX).await;
        assert_eq!((scopes.as_str(), settled), ("r w", 1));
        assert_eq!(said, "1 record was not copied; see the warning");
    }
}
