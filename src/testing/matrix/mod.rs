//! A whole stack, tried with every wrong request to each of its routes.

mod answer;
mod case;
mod detours;
mod error;
mod judge;
mod keys;
mod matrix_keys;
mod plan;
mod presented;
mod row;
mod settings;
mod wrong_keys;

use std::fmt;
use std::future::poll_fn;

use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use tower_service::Service;

use answer::Answer;
use case::Case;
pub use error::{Fault, MatrixError};
use keys::Keys;
pub use matrix_keys::{MatrixKeys, WantedKey};
use plan::Plan;
pub use row::Row;
use settings::Settings;

use crate::middleware::credential::source::{Kind, Source};
use crate::middleware::guard::routes::RouteTable;

/// Sends every route of a stack each wrong request, and the right one, and says which were answered otherwise than
/// its [`RouteTable`] says.
///
/// The stack is any service that is `Clone`: layers and handlers together, as they run. It need not have the table
/// itself. The table says what is expected, so a stack of guards is tried against a table that is written for the
/// test.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use tower::{Layer, service_fn};
/// use tower_api_key::{ApiKeyLayer, KeyRing, RouteTable, store::MemoryStore, testing::{Matrix, Row}};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
/// let table = RouteTable::builder().get("/orders/{id}", "orders:read").build()?;
/// let inner = service_fn(|_: Request<()>| async {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
/// });
///
/// let stack = ApiKeyLayer::new(ring.clone()).routes(table.clone()).layer(inner);
/// let requests = Matrix::new(ring.clone(), table.clone()).check(stack).await?;
/// assert!(requests > 50);
///
/// // The layer authenticates, and nothing requires the scope.
/// let forgotten = ApiKeyLayer::new(ring.clone()).layer(inner);
/// let error = Matrix::new(ring, table).check(forgotten).await.unwrap_err();
/// assert!(error.faults().iter().any(|fault| fault.row() == Row::MissingScope));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # What is sent
///
/// [`Row`] lists the requests. The keys are issued by the ring of the stack, which has to grant the scopes that the table
/// names, and are revoked at the end. They live for an hour at most, in case the check is dropped before. A
/// [`Verifier`](crate::Verifier) over a table issues none, so the test [gives](MatrixKeys::given) them. The right requests reach
/// the handlers, each with a key of its own, so give the stack a state that is made for the test.
///
/// Requests have an empty body (`B::default()`) and no other headers, except for [`grpc`](Self::grpc). A service that needs
/// more is wrapped, with [`map_request`] of tower. So is a server that the test reaches over a client, which needs the
/// authority in the target.
///
/// A router of axum takes bodies of many types: `router.into_service::<axum::body::Body>()` names one.
///
/// # What is seen
///
/// The matrix reads statuses and the [`Rejection`](crate::Rejection) in the extensions of a response. It does not see
/// whether a service was called for a request that was refused all the same. Over a client there are no extensions, and
/// the statuses alone count.
///
/// A right request may be answered with any status that is not 401, 403, 405 or a 5xx, nor 404 if its pattern has no
/// parameter. A handler that answers 400 to an empty body passes.
///
/// [`map_request`]: https://docs.rs/tower/latest/tower/trait.ServiceExt.html#method.map_request
#[derive(Clone)]
#[must_use = "a matrix does nothing until it checks a service"]
pub struct Matrix(Settings);

impl Matrix {
    /// The routes of a stack with these keys, presented in `x-api-key`. The keys are those of a [`KeyRing`](crate::KeyRing), or
    /// [given](MatrixKeys::given).
    pub fn new(keys: impl Into<MatrixKeys>, table: RouteTable) -> Self {
        let x_api_key = HeaderName::from_static("x-api-key");
        Self(Settings {
            keys: vec![keys.into()],
            table,
            sources: vec![Source(Kind::Header(x_api_key))],
            parameters: Vec::new(),
            answers_preflights: false,
            is_grpc: false,
        })
    }

    /// Tries the keys of another ring too, for a layer that [accepts](crate::ApiKeyLayer::or) them.
    pub fn or(mut self, keys: impl Into<MatrixKeys>) -> Self {
        self.0.keys.push(keys.into());
        self
    }

    /// Presents keys in each of these places instead, as the [sources](crate::ApiKeyLayer::sources) of the layer are.
    pub fn sources(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        self.0.sources = sources.into_iter().collect();
        self
    }

    /// Sets the value of a parameter in patterns. Default: `1`. The text has to be as it is in a path.
    ///
    /// ```
    /// # use tower_api_key::{KeyRing, RouteTable, store::MemoryStore, testing::Matrix};
    /// # let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let table = RouteTable::builder().get("/orders/{id}", "orders:read").build()?;
    /// let matrix = Matrix::new(ring, table).parameter("id", "42"); // GET /orders/42
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.0.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Expects that a layer outside answers `OPTIONS`, as a `CorsLayer` does. Without it an `OPTIONS` request that
    /// succeeds without a key is a fault, unless the table has a public route for it.
    pub fn with_cors(mut self) -> Self {
        self.0.answers_preflights = true;
        self
    }

    /// Sends requests as gRPC clients do, for the services of a tonic server: over HTTP/2, with `te: trailers` and
    /// `content-type: application/grpc`. A method that misses its message in the empty body is a handler that answers. If methods
    /// require scopes by themselves, give them a message of five zeros with `map_request`.
    ///
    /// ```
    /// # use tower_api_key::{KeyRing, RouteTable, store::MemoryStore, testing::Matrix};
    /// # let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let table = RouteTable::builder().grpc("shop.Orders", "List", "orders:read").build()?;
    /// let matrix = Matrix::new(ring, table).grpc();
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn grpc(mut self) -> Self {
        self.0.is_grpc = true;
        self
    }

    /// Sends the requests, each through a clone of the service. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`MatrixError`] if any was answered otherwise than expected. It names them all. It is also returned
    /// if the ring does not issue the keys or the test does not give them, and if the table is empty.
    pub async fn check<S, B, R>(&self, service: S) -> Result<usize, MatrixError>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        S::Error: fmt::Debug,
        B: Default,
    {
        let mut keys = Keys::new(&self.0.keys)?;
        let tried = self.try_all(&mut keys, service).await;
        let ended = keys.revoke_all().await;
        let tried = tried?;
        ended?;
        judge::judge(&self.0.table, tried)
    }

    async fn try_all<S, B, R>(
        &self,
        keys: &mut Keys<'_>,
        service: S,
    ) -> Result<Vec<(Case, Answer)>, MatrixError>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        S::Error: fmt::Debug,
        B: Default,
    {
        let mut tried = Vec::new();
        for case in Plan::new(&self.0, keys).cases().await? {
            let mut request = Request::new(B::default());
            *request.method_mut() = case.method.clone();
            *request.uri_mut() = case.target.clone();
            *request.headers_mut() = case.headers.clone();
            if self.0.is_grpc {
                as_grpc(&mut request);
            }
            let mut service = service.clone();
            let response = match poll_fn(|context| service.poll_ready(context)).await {
                Ok(()) => service.call(request).await,
                Err(error) => Err(error),
            };
            tried.push((case, Answer::of(response, keys.given())));
        }
        Ok(tried)
    }
}

fn as_grpc<B>(request: &mut Request<B>) {
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let content_type = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, content_type);
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix")
            .field("keys", &self.0.keys)
            .field("table", &self.0.table)
            .finish_non_exhaustive()
    }
}
