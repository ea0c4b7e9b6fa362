//! Who called, for layers further out.

use std::fmt;

use super::VerifiedKey;
use crate::access::realm::Realm;
use crate::access::subject::Subject;
use crate::key::KeyId;

/// Who called: in the extensions of a response, for layers further out such as an access log.
///
/// A layer that is [told to](crate::ApiKeyLayer::caller_in_response) puts it there. It is in the response to every
/// request with a valid key, also if the key lacks a scope. The response to any other request has none.
///
/// It describes the past. It is no proof of authentication, and no guard or extractor accepts it. If several layers of
/// a stack are told to, it is that of the outermost.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt};
/// use tower_api_key::{ApiKeyLayer, Caller, Grant, KeyRing, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::builder("acme").realm("orders").build(MemoryStore::new())?;
/// let issued = ring.issue(Grant::new("alice")).await?;
/// let service = ApiKeyLayer::new(ring)
///     .caller_in_response()
///     .layer(tower::service_fn(|_: Request<()>| async {
///         Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
///     }));
///
/// let mut request = Request::new(());
/// request.headers_mut().insert("x-api-key", issued.secret().expose().parse()?);
/// let response = service.oneshot(request).await?;
/// let caller: &Caller = response.extensions().get().expect("a valid key");
/// assert_eq!(caller.id(), issued.record().id());
/// assert_eq!((caller.realm().as_str(), caller.subject().as_str()), ("orders", "alice"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Caller(VerifiedKey);

impl Caller {
    pub(crate) fn of(key: VerifiedKey) -> Self {
        Self(key)
    }

    /// The public id of the key.
    pub fn id(&self) -> KeyId {
        self.0.id()
    }

    /// The realm in which the key was verified.
    pub fn realm(&self) -> &Realm {
        self.0.realm()
    }

    /// Whose key it is.
    pub fn subject(&self) -> &Subject {
        self.0.subject()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("id", &self.id())
            .field("realm", self.realm())
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}
