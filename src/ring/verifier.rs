//! A ring that only verifies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::form::Form;
use super::owners::Owners;
use super::{KeyRing, KeyRingBuilder};
use crate::access::actor::Actor;
use crate::access::caveat::Facts;
use crate::access::realm::Realm;
use crate::error::Error;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::observe::observer::Observer;
use crate::record::Revocation;
use crate::store::{
    BoxFuture, Change, Found, KeyStore, KeyTable, ListQuery, Lookup, Page, Revoked, StoreError,
    StoreErrorKind, Target,
};
use crate::time::Clock;
use crate::verdict::{VerifiedKey, VerifyError};

/// A ring that only verifies: of a [`KeyRing`], whose other operations it does not have, or over a
/// [`KeyTable`] whose keys another system mints and ends. Both serve an [`ApiKeyLayer`](crate::ApiKeyLayer).
///
/// ```
/// use tower_api_key::store::TableKey;
/// use tower_api_key::{ApiKeyLayer, KeyDigest, KeyId, Verifier};
///
/// # #[derive(Clone)]
/// # struct Database;
/// # struct Row { id: u64, token_hash: [u8; 32], owner: String }
/// # impl Database {
/// #     async fn token(&self, hash: &[u8; 32]) -> Result<Option<Row>, std::io::Error> {
/// #         let row = Row {
/// #             id: 42,
/// #             token_hash: *KeyDigest::sha256(b"cio9f3A7b2C5d8E1f4G6h0J").as_bytes(),
/// #             owner: "alice".to_owned(),
/// #         };
/// #         Ok((row.token_hash == *hash).then_some(row))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let database = Database;
/// let verifier = Verifier::builder("registry").build(move |digest: KeyDigest| {
///     let database = database.clone();
///     async move {
///         let row = database.token(digest.as_bytes()).await?;
///         Ok(row.map(|row| {
///             TableKey::new(KeyId::from_number(row.id), KeyDigest::from_bytes(row.token_hash), row.owner)
///                 .scopes("publish")
///         }))
///     }
/// })?;
///
/// let key = verifier.verify(b"cio9f3A7b2C5d8E1f4G6h0J").await?;
/// assert_eq!((key.subject().as_str(), key.id().as_str()), ("alice", "00000000000g"));
/// assert!(verifier.verify(b"cio9f3A7b2C5d8E1f4G6h0K").await.is_err());
/// let layer = ApiKeyLayer::new(verifier);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// It issues, lists and revokes nothing, whatever it is made of:
///
/// ```compile_fail,E0599
/// # use tower_api_key::{Grant, Verifier};
/// async fn issue(verifier: Verifier) {
///     verifier.issue(Grant::new("alice")).await;
/// }
/// ```
///
/// The keys of a table have no shape of their own, as [imported](crate::KeyRingBuilder::accept_imports) ones: 1 to 512
/// visible ASCII characters without commas are digested and looked up, unless the [form](VerifierBuilder::form) of the keys
/// is known. A key that has leaked into a URL is not
/// recognised.
#[derive(Clone)]
pub struct Verifier(KeyRing);

impl Verifier {
    /// Begins a verifier over a table, in this realm: 1 to 64 printable ASCII characters without `"` and `\`.
    pub fn builder<R>(realm: R) -> VerifierBuilder
    where
        R: TryInto<Realm>,
        R::Error: Into<Error>,
    {
        VerifierBuilder {
            ring: KeyRing::builder("external").accept_imports().realm(realm),
            tasks: None,
        }
    }

    /// As [`KeyRing::verify`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::verify`].
    pub async fn verify(&self, presented: &[u8]) -> Result<VerifiedKey, VerifyError> {
        self.0.verify(presented).await
    }

    /// As [`KeyRing::verify_with`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::verify_with`].
    pub async fn verify_with(
        &self,
        presented: &[u8],
        facts: Facts,
    ) -> Result<VerifiedKey, VerifyError> {
        self.0.verify_with(presented, facts).await
    }

    /// As [`KeyRing::verify_again`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::verify_again`].
    pub async fn verify_again(
        &self,
        key: &VerifiedKey,
        facts: Facts,
    ) -> Result<VerifiedKey, VerifyError> {
        self.0.verify_again(key, facts).await
    }

    /// The realm of the keys.
    pub fn realm(&self) -> &Realm {
        self.0.realm()
    }

    pub(crate) fn into_ring(self) -> KeyRing {
        self.0
    }
}

impl From<KeyRing> for Verifier {
    fn from(ring: KeyRing) -> Self {
        Self(ring)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("realm", self.realm())
            .finish_non_exhaustive()
    }
}

type Tasks = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// Builds a [`Verifier`] over a table, from [`Verifier::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct VerifierBuilder {
    ring: KeyRingBuilder,
    tasks: Option<Tasks>,
}

impl VerifierBuilder {
    /// Looks up only texts that have the form of the keys, which the table's own system knows. Every other text is refused
    /// without a question, so that made-up ones cost the database nothing. Default: every text that can be a key.
    ///
    /// ```
    /// use tower_api_key::Verifier;
    ///
    /// let builder = Verifier::builder("registry")
    ///     .form(|text| text.len() == 35 && text.starts_with("cio"));
    /// ```
    pub fn form(mut self, form: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.ring.form = Some(Form::new(form));
        self
    }

    /// As [`KeyRingBuilder::owners`].
    pub fn owners(mut self, owners: impl Owners) -> Self {
        self.ring = self.ring.owners(owners);
        self
    }

    /// As [`KeyRingBuilder::observer`].
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.ring = self.ring.observer(observer);
        self
    }

    /// As [`KeyRingBuilder::lookup_timeout`].
    pub fn lookup_timeout(mut self, longest: Duration) -> Self {
        self.ring = self.ring.lookup_timeout(longest);
        self
    }

    /// As [`KeyRingBuilder::max_pending_lookups`].
    pub fn max_pending_lookups(mut self, most: usize) -> Self {
        self.ring = self.ring.max_pending_lookups(most);
        self
    }

    /// As [`KeyRingBuilder::clock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.ring = self.ring.clock(clock);
        self
    }

    /// Runs each look-up as a task, so that a client that hangs up ends none half-way: with tokio,
    /// `.tasks(|task| { tokio::spawn(task); })`. Without it, the request drives the look-up, and drops it if its
    /// client hangs up. A pool that loses a connection by that needs tasks.
    pub fn tasks(mut self, spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        self.tasks = Some(Arc::new(spawn));
        self
    }

    /// Builds the verifier.
    ///
    /// # Errors
    ///
    /// [`InvalidRealm`](crate::ErrorKind::InvalidRealm), or [`InvalidPolicy`](crate::ErrorKind::InvalidPolicy) for a
    /// limit of zero.
    pub fn build(self, table: impl KeyTable) -> Result<Verifier, Error> {
        let over = OverTable {
            table,
            tasks: self.tasks,
        };
        self.ring.build(over).map(Verifier)
    }
}

impl fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder").finish_non_exhaustive()
    }
}

/// The port over a table. What is no look-up has no caller, because a [`Verifier`] has no such operation.
struct OverTable<T> {
    table: T,
    tasks: Option<Tasks>,
}

impl<T: KeyTable> KeyStore for OverTable<T> {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let (found, realm) = (self.table.find(*digest), realm.clone());
        Lookup::Pending(Box::pin(async move {
            match found.await {
                Ok(Some(key)) => key.record(&realm).map(|record| Some(Arc::new(record))),
                Ok(None) => Ok(None),
                Err(why) => Err(StoreError::unavailable(why)),
            }
        }))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        match &self.tasks {
            Some(spawn) => {
                spawn(task);
                Ok(())
            }
            None => Err(task),
        }
    }

    fn commit<'a>(&'a self, _: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        unsupported()
    }

    fn revoke<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a Target,
        _: Revocation,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        unsupported()
    }

    fn get<'a>(&'a self, _: &'a Realm, _: KeyId) -> BoxFuture<'a, Found> {
        unsupported()
    }

    fn list<'a>(
        &'a self,
        _: &'a Realm,
        _: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        unsupported()
    }
}

fn unsupported<'a, A: Send + 'a>() -> BoxFuture<'a, Result<A, StoreError>> {
    Box::pin(async { Err(StoreErrorKind::Unsupported.into()) })
}
