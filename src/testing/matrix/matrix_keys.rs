//! The keys that a matrix presents: of a ring, which issues them, or given by the test.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;
use crate::record::KeyState;
use crate::ring::{KeyRing, Verifier};
use crate::store::BoxFuture;

/// A key in its presented form, `None` if there are no such keys, or why it could not be made.
type Given = Result<Option<String>, Box<dyn StdError + Send + Sync>>;

/// The keys of a [`Matrix`](super::Matrix). A [`KeyRing`] issues them, each to a subject of its own or all
/// [to one](Self::issued_to). For a [`Verifier`] over a table the test [gives](Self::given) them.
#[derive(Clone)]
pub struct MatrixKeys(pub(super) Supply);

#[derive(Clone)]
pub(super) enum Supply {
    /// A ring, and the subject that gets its keys.
    Ring(KeyRing, Option<String>),
    Given(
        Verifier,
        Arc<dyn Fn(WantedKey) -> BoxFuture<'static, Given> + Send + Sync>,
    ),
}

impl MatrixKeys {
    /// Keys that the ring issues to this subject, for a ring that knows its [owners](crate::KeyRingBuilder::owners). The
    /// ceiling of the owner has all scopes that the table names. Other keys of the subject stay as they are. Without it
    /// each key has a subject of its own.
    ///
    /// ```
    /// use tower_api_key::testing::{Matrix, MatrixKeys};
    /// use tower_api_key::{KeyRing, Owner, RouteTable, Subject, store::MemoryStore};
    ///
    /// let ring = KeyRing::builder("acme")
    ///     .owners(|subject: Subject| async move {
    ///         Ok((subject == "alice").then(Owner::unrestricted))
    ///     })
    ///     .build(MemoryStore::new())?;
    /// let table = RouteTable::builder().get("/orders", "orders:read").build()?;
    /// let matrix = Matrix::new(MatrixKeys::issued_to(ring, "alice"), table);
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn issued_to(ring: KeyRing, subject: &str) -> Self {
        Self(Supply::Ring(ring, Some(subject.to_owned())))
    }

    /// Keys that the test gives, because the verifier issues none. Each call makes another key that has exactly the scopes
    /// that are [wanted](WantedKey::scopes) and is in the state that is [wanted](WantedKey::state): a new row of the table. The
    /// answer is the text that a client presents. `None` is for a state that the table does not have, such as expired; the
    /// matrix leaves it out.
    ///
    /// The matrix changes one character of a key to make malformed and unknown ones. It revokes none of the given keys, so the
    /// table is one that was made for the test.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::{Arc, Mutex};
    ///
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Empty;
    /// use tower::{Layer, service_fn};
    /// use tower_api_key::store::TableKey;
    /// use tower_api_key::testing::{Matrix, MatrixKeys, WantedKey};
    /// use tower_api_key::{ApiKeyLayer, KeyDigest, KeyId, KeyState, RouteTable, Timestamp, Verifier};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// // In place of a database.
    /// let tokens = Arc::new(Mutex::new(HashMap::<KeyDigest, TableKey>::new()));
    /// let table = Arc::clone(&tokens);
    /// let verifier = Verifier::builder("registry").build(move |digest| {
    ///     let found = table.lock().unwrap().get(&digest).cloned();
    ///     async move { Ok(found) }
    /// })?;
    ///
    /// let keys = MatrixKeys::given(verifier.clone(), move |wanted: WantedKey| {
    ///     let mut tokens = tokens.lock().unwrap();
    ///     let token = format!("cio-{}-9f3A7b2C5d8E", tokens.len());
    ///     let digest = KeyDigest::sha256(token.as_bytes());
    ///     let row = TableKey::new(KeyId::from_number(tokens.len() as u64), digest, "alice");
    ///     let row = row.scopes(wanted.scopes());
    ///     let row = match wanted.state() {
    ///         KeyState::Expired => row.expires_at(Timestamp::from_unix(1)),
    ///         KeyState::Revoked => row.revoked_at(Timestamp::from_unix(1)),
    ///         _ => row,
    ///     };
    ///     tokens.insert(digest, row);
    ///     async move { Ok(Some(token)) }
    /// });
    ///
    /// let routes = RouteTable::builder().get("/packages", "publish").build()?;
    /// let inner = service_fn(|_: Request<()>| async {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    /// });
    /// let stack = ApiKeyLayer::new(verifier).routes(routes.clone()).layer(inner);
    /// Matrix::new(keys, routes).check(stack).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn given<F, Fut>(verifier: Verifier, give: F) -> Self
    where
        F: Fn(WantedKey) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<String>, Box<dyn StdError + Send + Sync>>>
            + Send
            + 'static,
    {
        let give = move |wanted| -> BoxFuture<'static, Given> { Box::pin(give(wanted)) };
        Self(Supply::Given(verifier, Arc::new(give)))
    }

    pub(super) fn realm(&self) -> &Realm {
        match &self.0 {
            Supply::Ring(ring, _) => ring.realm(),
            Supply::Given(verifier, _) => verifier.realm(),
        }
    }

    /// Whether a layer knows such a key by its shape.
    pub(super) fn have_a_shape(&self) -> bool {
        matches!(self.0, Supply::Ring(..))
    }
}

impl From<KeyRing> for MatrixKeys {
    fn from(ring: KeyRing) -> Self {
        Self(Supply::Ring(ring, None))
    }
}

impl fmt::Debug for MatrixKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatrixKeys")
            .field("realm", self.realm())
            .finish_non_exhaustive()
    }
}

/// A key that a [`Matrix`](super::Matrix) asks a test for, see [`MatrixKeys::given`].
#[derive(Debug, Clone)]
pub struct WantedKey {
    pub(super) scopes: ScopeSet,
    pub(super) state: KeyState,
}

impl WantedKey {
    /// The scopes of the key, no more and no fewer.
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// The state of the key: [`Live`](KeyState::Live), [`Expired`](KeyState::Expired) or
    /// [`Revoked`](KeyState::Revoked).
    pub fn state(&self) -> KeyState {
        self.state
    }
}
