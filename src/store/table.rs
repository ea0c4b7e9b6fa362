//! A token table as it is: keys that another system mints, keeps and ends.

use std::error::Error as StdError;
use std::future::Future;

use super::{BoxFuture, StoreError, StoreErrorKind};
use crate::access::caveat::Caveats;
use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;
use crate::access::subject::Subject;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::lifecycle::grant::{kept, parsed};
use crate::record::{KeyRecord, KeyRecordParts, Revocation, RevocationReason};
use crate::time::Timestamp;

/// The result of a look-up in a [`KeyTable`]: the key, `None` if the table has no such row, or why there is
/// no answer.
pub type TableAnswer = Result<Option<TableKey>, Box<dyn StdError + Send + Sync>>;

/// A table of keys that another system mints, keeps and ends, to [verify](crate::Verifier) by. A closure is
/// one.
///
/// # Contract
///
/// - It finds the row whose digest is this one, all 32 bytes of it, and gives the digest of the row back. The digest is
///   the SHA-256 of the exact bytes that a client presents. If the table has the plaintext, ask it by a digest
///   that the database computes, in an index:
///   `CREATE UNIQUE INDEX ON tokens (sha256(convert_to(token, 'UTF8')))` in Postgres. A search for the
///   plaintext itself would take a time that depends on it.
/// - Each key has one [`KeyId`], the same at every look-up, and no other key has it.
/// - A row that has ended is found no more, or says so, at the next look-up.
/// - If the table cannot answer, that is an error, which is a 503, and never `None`, which is a 401.
/// - A look-up that is dropped half-way does not disturb others.
///
/// `tower_api_key_contract::table_contract` holds a table to it.
pub trait KeyTable: Send + Sync + 'static {
    /// The key with this digest.
    fn find(&self, digest: KeyDigest) -> BoxFuture<'static, TableAnswer>;
}

impl<F, Fut> KeyTable for F
where
    F: Fn(KeyDigest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = TableAnswer> + Send + 'static,
{
    fn find(&self, digest: KeyDigest) -> BoxFuture<'static, TableAnswer> {
        Box::pin(self(digest))
    }
}

/// A row of a [`KeyTable`]: a key that was minted elsewhere. It has no scope and no end unless they are set.
///
/// A part that cannot be parsed is an error of the table: every request with the key is a 503.
///
/// ```
/// use tower_api_key::store::TableKey;
/// use tower_api_key::{KeyDigest, KeyId, Timestamp};
///
/// let digest = KeyDigest::sha256(b"cio_9f3A7b2C5d8E1f4G6h0J");
/// let key = TableKey::new(KeyId::from_number(42), digest, "alice")
///     .scopes("publish")
///     .expires_at(Timestamp::from_unix(1_800_000_000));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct TableKey {
    id: KeyId,
    digest: KeyDigest,
    subject: Result<Subject, ErrorKind>,
    scopes: ScopeSet,
    caveats: Caveats,
    not_before: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    label: Option<Label>,
    metadata: Metadata,
    problem: Option<ErrorKind>,
}

impl TableKey {
    /// A key with the id and the digest of its row, whose owner has this subject. The id is
    /// [that of the row](KeyId::from_number), or else [of the digest](KeyId::from_digest).
    pub fn new<S>(id: KeyId, digest: KeyDigest, subject: S) -> Self
    where
        S: TryInto<Subject>,
        S::Error: Into<Error>,
    {
        Self {
            id,
            digest,
            subject: parsed(subject),
            scopes: ScopeSet::empty(),
            caveats: Caveats::none(),
            not_before: Timestamp::from_unix(0),
            expires_at: None,
            revoked_at: None,
            label: None,
            metadata: Metadata::none(),
            problem: None,
        }
    }

    /// Sets the scopes, as [`Grant::scopes`](crate::Grant::scopes).
    pub fn scopes<S>(mut self, scopes: S) -> Self
    where
        S: TryInto<ScopeSet>,
        S::Error: Into<Error>,
    {
        if let Some(scopes) = kept(&mut self.problem, parsed(scopes)) {
            self.scopes = scopes;
        }
        self
    }

    /// Sets the restrictions of the key, as [`Grant::caveats`](crate::Grant::caveats). One that this version
    /// does not know refuses the key.
    pub fn caveats<C>(mut self, caveats: C) -> Self
    where
        C: TryInto<Caveats>,
        C::Error: Into<Error>,
    {
        if let Some(caveats) = kept(&mut self.problem, parsed(caveats)) {
            self.caveats = caveats;
        }
        self
    }

    /// Keeps the key invalid before this moment.
    pub fn not_before(mut self, start: Timestamp) -> Self {
        self.not_before = start;
        self
    }

    /// Keeps the key invalid from this moment on.
    pub fn expires_at(mut self, end: Timestamp) -> Self {
        self.expires_at = Some(end);
        self
    }

    /// Refuses the key, which was revoked at this moment.
    pub fn revoked_at(mut self, at: Timestamp) -> Self {
        self.revoked_at = Some(at);
        self
    }

    /// Names the key for people.
    pub fn label<L>(mut self, label: L) -> Self
    where
        L: TryInto<Label>,
        L::Error: Into<Error>,
    {
        if let Some(label) = kept(&mut self.problem, parsed(label)) {
            self.label = Some(label);
        }
        self
    }

    /// Sets the application's own data about the key, as [`Grant::metadata`](crate::Grant::metadata).
    pub fn metadata<M>(mut self, metadata: M) -> Self
    where
        M: TryInto<Metadata>,
        M::Error: Into<Error>,
    {
        if let Some(metadata) = kept(&mut self.problem, parsed(metadata)) {
            self.metadata = metadata;
        }
        self
    }

    /// The record of this key in a realm.
    pub(crate) fn record(self, realm: &Realm) -> Result<KeyRecord, StoreError> {
        let corrupt = |kind: ErrorKind| StoreError::new(StoreErrorKind::Corrupt, Error::from(kind));
        if let Some(problem) = self.problem {
            return Err(corrupt(problem));
        }
        Ok(KeyRecord::from(KeyRecordParts {
            id: self.id,
            realm: realm.clone(),
            digest: self.digest,
            pepper_version: None,
            subject: self.subject.map_err(corrupt)?,
            scopes: self.scopes,
            caveats: self.caveats,
            issued_at: self.not_before,
            not_before: self.not_before,
            expires_at: self.expires_at,
            grace_ends_at: None,
            lineage: self.id,
            generation: 0,
            version: 1,
            revocation: self
                .revoked_at
                .map(|at| Revocation::new(at, RevocationReason::Unspecified)),
            label: self.label,
            metadata: self.metadata,
            prefix: None,
        }))
    }
}
