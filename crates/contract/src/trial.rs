//! A store on trial: every call through here has its error turned into a violation.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tower_api_key::store::{
    Change, KeyStore, ListQuery, Lookup, Page, StoreError, StoreErrorKind, Write,
};
use tower_api_key::{
    Error, KeyDigest, KeyId, KeyRecord, KeyRecordParts, Realm, ScopeSet, Subject, Timestamp,
};

use super::clause::Clause;
use super::violation::Violation;

/// When the keys of the suite are issued.
pub(super) const ISSUED: Timestamp = Timestamp::from_unix(1_800_000_000);
/// When they expire, unless a check says otherwise.
pub(super) const EXPIRES: Timestamp = Timestamp::from_unix(1_807_776_000);

/// One store, and the clause that it is held to.
pub(super) struct Trial<S> {
    pub(super) store: Arc<S>,
    clause: Clause,
    ids: Arc<AtomicU64>,
}

impl<S> Clone for Trial<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            clause: self.clause,
            ids: Arc::clone(&self.ids),
        }
    }
}

impl<S: KeyStore> Trial<S> {
    pub(super) fn new(store: S, clause: Clause) -> Self {
        Self {
            store: Arc::new(store),
            clause,
            ids: Arc::new(AtomicU64::new(1)),
        }
    }

    /// A violation of the clause on trial.
    pub(super) fn broken<T>(&self, seen: impl Into<String>) -> Result<T, Violation> {
        Err(Violation::new(self.clause, seen))
    }

    /// A violation of the clause on trial, if `holds` is false.
    pub(super) fn require(&self, holds: bool, seen: impl Into<String>) -> Result<(), Violation> {
        if holds { Ok(()) } else { self.broken(seen) }
    }

    /// An id that no other key of this trial has.
    pub(super) fn id(&self) -> KeyId {
        numbered(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// A key of a lineage of its own, which the store does not hold yet.
    pub(super) fn key(&self, realm: &Realm, subject: &str) -> KeyRecordParts {
        key(self.id(), realm, subject)
    }

    /// A key that the store holds.
    pub(super) async fn held(
        &self,
        realm: &Realm,
        subject: &str,
    ) -> Result<Arc<KeyRecord>, Violation> {
        self.put(self.key(realm, subject)).await
    }

    /// Commits a new record.
    pub(super) async fn put(
        &self,
        record: impl Into<Arc<KeyRecord>>,
    ) -> Result<Arc<KeyRecord>, Violation> {
        let record = record.into();
        let change = Change::new(vec![Write::new(Arc::clone(&record))]);
        self.accepts(&change, "a new key").await?;
        Ok(record)
    }

    /// Commits the next version of a record.
    pub(super) async fn edit(
        &self,
        record: &KeyRecord,
        edit: impl FnOnce(&mut KeyRecordParts),
    ) -> Result<Arc<KeyRecord>, Violation> {
        let write = Write::next(record, edit);
        let next = Arc::clone(&write.record);
        self.accepts(&Change::new(vec![write]), "the next version of a record")
            .await?;
        Ok(next)
    }

    /// Commits a change that must apply.
    pub(super) async fn accepts(&self, change: &Change, what: &str) -> Result<(), Violation> {
        match self.store.commit(change).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                Err(failed(&format!("commit of {what}"), &error))
            }
            Err(error) => self.broken(format!("{what} was refused: {error}")),
        }
    }

    /// Commits a change that must be refused with this kind.
    pub(super) async fn refuses(
        &self,
        change: &Change,
        kind: StoreErrorKind,
        what: &str,
    ) -> Result<(), Violation> {
        match self.store.commit(change).await {
            Err(error) if error.kind() == kind => Ok(()),
            Ok(()) => self.broken(format!("{what} was committed; expected {kind:?}")),
            Err(error) => self.broken(format!(
                "{what} was refused as {:?}; expected {kind:?}: {}",
                error.kind(),
                chain(&error)
            )),
        }
    }

    pub(super) async fn find(
        &self,
        realm: &Realm,
        digest: &KeyDigest,
    ) -> Result<Option<Arc<KeyRecord>>, Violation> {
        let found = match self.store.find(realm, digest) {
            Lookup::Ready(found) => found,
            Lookup::Pending(found) => found.await,
        };
        found.map_err(|error| failed("find", &error))
    }

    pub(super) async fn get(
        &self,
        realm: &Realm,
        id: KeyId,
    ) -> Result<Option<Arc<KeyRecord>>, Violation> {
        let found = self.store.get(realm, id).await;
        found.map_err(|error| failed("get", &error))
    }

    pub(super) async fn get_many(
        &self,
        realm: &Realm,
        ids: &[KeyId],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, Violation> {
        let found = self.store.get_many(realm, ids).await;
        self.require(
            found.len() == ids.len(),
            format!("get_many of {} ids gave {} answers", ids.len(), found.len()),
        )?;
        found
            .into_iter()
            .map(|found| found.map_err(|error| failed("get_many", &error)))
            .collect()
    }

    pub(super) async fn list(
        &self,
        realm: &Realm,
        query: &ListQuery,
    ) -> Result<Vec<Arc<KeyRecord>>, Violation> {
        let complete = self.page(realm, query).await?.complete();
        complete.map_err(|error| failed("list", &error))
    }

    pub(super) async fn page(&self, realm: &Realm, query: &ListQuery) -> Result<Page, Violation> {
        let listed = self.store.list(realm, query).await;
        listed.map_err(|error| failed("list", &error))
    }

    pub(super) async fn purge(&self, realm: &Realm, by: Timestamp) -> Result<u64, Violation> {
        let purged = self.store.purge(realm, by, None).await;
        purged.map_err(|error| failed("purge", &error))
    }

    /// A call that the store does not support must say so, and is no empty answer.
    pub(super) fn unsupported<T>(
        &self,
        answer: Result<T, StoreError>,
        call: &str,
    ) -> Result<(), Violation> {
        match answer {
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(()),
            Err(error) => self.broken(format!("{call} failed, but not as unsupported: {error}")),
            Ok(_) => self.broken(format!(
                "{call} was left out of the suite, but the store supports it"
            )),
        }
    }

    pub(super) async fn record_uses(
        &self,
        realm: &Realm,
        uses: &[(KeyId, Timestamp)],
    ) -> Result<(), Violation> {
        let recorded = self.store.record_uses(realm, uses).await;
        recorded.map_err(|error| failed("record_uses", &error))
    }

    pub(super) async fn last_uses(
        &self,
        realm: &Realm,
        ids: &[KeyId],
    ) -> Result<Vec<Option<Timestamp>>, Violation> {
        let uses = self.store.last_uses(realm, ids).await;
        uses.map_err(|error| failed("last_uses", &error))
    }

    /// A violation, if these keys have other last uses.
    pub(super) async fn shows_uses(
        &self,
        realm: &Realm,
        ids: &[KeyId],
        due: &[Option<Timestamp>],
        when: &str,
    ) -> Result<(), Violation> {
        let uses = self.last_uses(realm, ids).await?;
        self.require(
            uses == due,
            format!("{when}, last_uses gave {uses:?}; expected {due:?}"),
        )
    }

    /// The answer of each way to a record, in its own realm.
    async fn ways_to(
        &self,
        record: &KeyRecord,
    ) -> Result<Vec<(&'static str, Option<Arc<KeyRecord>>)>, Violation> {
        let realm = record.realm();
        let found = self.find(realm, record.digest()).await?;
        let got = self.get(realm, record.id()).await?;
        let mut many = self.get_many(realm, &[record.id()]).await?;
        let mut listed = self.list(realm, &ListQuery::new()).await?;
        listed.retain(|other| other.id() == record.id());
        self.require(
            listed.len() <= 1,
            format!("list named the key {} twice", record.id()),
        )?;
        let mut ways = vec![
            ("find", found),
            ("get", got),
            ("get_many", many.pop().flatten()),
            ("list", listed.pop()),
        ];
        // A ring reads it in the place of `find`, while it is fresh.
        let index = self.store.index(realm);
        if let Some(in_memory) = index.and_then(|it| it.find(realm, record.digest())) {
            ways.push(("the index", in_memory));
        }
        Ok(ways)
    }

    /// Requires that the store shows exactly this record, in every way that it can be read.
    pub(super) async fn shows(&self, record: &KeyRecord, when: &str) -> Result<(), Violation> {
        for (way, seen) in self.ways_to(record).await? {
            let Some(seen) = seen else {
                return self.broken(format!("{when}, {way} did not show the record"));
            };
            self.require(
                *seen == *record,
                format!(
                    "{when}, {way} showed another record than the one committed: it differs in {}",
                    differences(&seen, record)
                ),
            )?;
        }
        Ok(())
    }

    /// Requires that the store shows nothing under this id and digest in this realm.
    pub(super) async fn hides(&self, record: &KeyRecord, when: &str) -> Result<(), Violation> {
        for (way, seen) in self.ways_to(record).await? {
            self.require(
                seen.is_none(),
                format!("{when}, {way} showed a record that must not be there"),
            )?;
        }
        Ok(())
    }
}

/// A key of a lineage of its own.
pub(super) fn key(id: KeyId, realm: &Realm, subject: &str) -> KeyRecordParts {
    let digest = KeyDigest::sha256(id.as_str().as_bytes());
    let mut parts = KeyRecordParts::new(id, realm.clone(), digest, self::subject(subject), ISSUED);
    parts.scopes = scopes("read write");
    parts.expires_at = Some(EXPIRES);
    parts
}

/// The id that `number` writes in base62. Greater numbers are later ids.
pub(super) fn numbered(number: u64) -> KeyId {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const LENGTH: u32 = 12;
    let digits = (0..LENGTH).rev().map(|place| {
        let digit = 62_u64
            .checked_pow(place)
            .map_or(0, |unit| number / unit % 62);
        char::from(ALPHABET[usize::try_from(digit).unwrap_or_default()])
    });
    valid(digits.collect::<String>().parse())
}

pub(super) fn realm(text: &str) -> Realm {
    valid(text.parse())
}

pub(super) fn scopes(text: &str) -> ScopeSet {
    valid(text.parse())
}

/// This subject.
pub(super) fn subject(text: &str) -> Subject {
    valid(Subject::new(text))
}

/// The suite's own texts are valid.
pub(super) fn valid<T>(parsed: Result<T, Error>) -> T {
    parsed.unwrap_or_else(|error| unreachable!("{error}"))
}

/// The moment `seconds` after [`ISSUED`].
pub(super) const fn after(seconds: u64) -> Timestamp {
    Timestamp::from_unix(ISSUED.as_unix() + seconds)
}

/// An error in the place of an answer.
pub(super) fn failed(call: &str, error: &StoreError) -> Violation {
    Violation::new(Clause::Honesty, format!("{call} failed: {}", chain(error)))
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a `String` cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

/// The names of the fields in which two records differ.
fn differences(seen: &KeyRecord, committed: &KeyRecord) -> String {
    let (seen, committed) = (seen.to_parts(), committed.to_parts());
    let fields = [
        ("id", seen.id == committed.id),
        ("realm", seen.realm == committed.realm),
        ("digest", seen.digest == committed.digest),
        (
            "pepper_version",
            seen.pepper_version == committed.pepper_version,
        ),
        ("prefix", seen.prefix == committed.prefix),
        ("subject", seen.subject == committed.subject),
        ("scopes", seen.scopes == committed.scopes),
        ("issued_at", seen.issued_at == committed.issued_at),
        ("not_before", seen.not_before == committed.not_before),
        ("expires_at", seen.expires_at == committed.expires_at),
        (
            "grace_ends_at",
            seen.grace_ends_at == committed.grace_ends_at,
        ),
        ("lineage", seen.lineage == committed.lineage),
        ("generation", seen.generation == committed.generation),
        ("version", seen.version == committed.version),
        ("revocation", seen.revocation == committed.revocation),
        ("label", seen.label == committed.label),
        ("metadata", seen.metadata == committed.metadata),
    ];
    let differing: Vec<&str> = fields
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect();
    differing.join(", ")
}
