//! Why a request was refused, and the response that says so.
//!
//! | kind | status | detail | challenge | gRPC |
//! |---|---|---|---|---|
//! | [`Missing`](RejectionKind::Missing) | 401 | API key missing | scheme and realm | 16 |
//! | [`Ambiguous`](RejectionKind::Ambiguous) | 400 | says which | – | 3 |
//! | [`KeyInUrl`](RejectionKind::KeyInUrl) | 400 | names the place, and those for keys | – | 3 |
//! | [`KeyMisplaced`](RejectionKind::KeyMisplaced) | 400 | names the place, and those for keys | – | 3 |
//! | [`Invalid`](RejectionKind::Invalid) | 401 | Invalid API key | `invalid_token` | 16 |
//! | [`InsufficientScope`](RejectionKind::InsufficientScope) | 403 | names what is required | `insufficient_scope` | 7 |
//! | [`UnknownRoute`](RejectionKind::UnknownRoute) | 403 | Unknown route | – | 7 |
//! | [`StoreUnavailable`](RejectionKind::StoreUnavailable) | 503 | Key store unavailable | – | 14 |
//! | [`NotAuthenticated`](RejectionKind::NotAuthenticated) | 500 | Authentication layer missing | – | 13 |
//!
//! Bodies are `application/problem+json` (RFC 9457) with `title`, `status` and `detail`. Every
//! rejection has `Cache-Control: no-store`, `Vary` and `Content-Length`. A response to `HEAD` has the same
//! headers and no body (RFC 9110 §9.3.2). The [`Rejection`] itself is in the response's extensions, for
//! outer layers to read.
//!
//! A gRPC client gets a trailers-only response, whose HTTP status is 200. A request counts as gRPC only
//! if it is what gRPC clients send: a `POST` over HTTP/2 with `te: trailers` and a content type of the
//! family `application/grpc`, or a `POST` with one of `application/grpc-web`. Any other request gets the
//! status in the table, whatever its content type. So if a proxy asks the service by a `GET` whether to
//! let a request pass, it reads a refusal as one.

mod answer;
mod deferred;
mod grpc;
mod head;
mod mark;
mod prepared;
mod profile;
mod proof;
mod response;
mod value;

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode};

pub(crate) use answer::Responder;
pub(crate) use deferred::Deferred;
pub(crate) use head::Head;
pub(crate) use prepared::Refused;
pub use profile::StatusProfile;
pub(crate) use proof::{passes_otherwise, proof};
pub(crate) use response::{Anonymous, Required, Responses, not_authenticated, without_layer};

use crate::access::requirement::Requirement;
use crate::key::KeyId;
use crate::store::StoreError;
use crate::verdict::Identity;
use crate::verdict::InvalidCause;
pub use crate::verdict::RejectionKind;

/// Why a request was refused. It is in the extensions of the response.
///
/// It holds no key material. The cause of an invalid key is here for logs and audit, and is not in the
/// response. The same holds for the [source](std::error::Error::source) of
/// [`StoreUnavailable`](RejectionKind::StoreUnavailable), which is the [`StoreError`].
///
/// ```
/// use tower_api_key::{Rejection, RejectionKind};
///
/// fn count_denials<B>(response: &http::Response<B>, denied: &mut u64) {
///     if let Some(rejection) = response.extensions().get::<Rejection>() {
///         if rejection.kind() == RejectionKind::InsufficientScope {
///             *denied += 1;
///         }
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    status: StatusCode,
    detail: Detail,
    cause: Option<InvalidCause>,
    identity: Identity,
    source: Option<Arc<StoreError>>,
    challenges: Challenges,
    requirement: Option<Arc<Requirement>>,
    /// Whether a guard, an extractor or a handler made it, and the layer further out has not notified
    /// its observer yet.
    untold: bool,
    /// Whether a responder has made the response.
    is_answered: bool,
}

impl Rejection {
    /// The kind of refusal.
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The HTTP status of the response, unless a responder chose another. A gRPC response has 200
    /// instead.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The detail in the response to the client.
    pub fn detail(&self) -> &str {
        self.detail.as_str()
    }

    /// Why the key is invalid, if [`kind`](Self::kind) is [`RejectionKind::Invalid`]. It must not reach
    /// the client: a client that can distinguish the causes has an oracle.
    pub fn cause(&self) -> Option<InvalidCause> {
        self.cause
    }

    /// The requirement that the key does not meet, if [`kind`](Self::kind) is
    /// [`RejectionKind::InsufficientScope`].
    pub fn requirement(&self) -> Option<&Requirement> {
        self.requirement.as_deref()
    }

    /// The code that a gRPC client gets, in [a status](Self::grpc_metadata) of a handler too.
    pub fn grpc_code(&self) -> i32 {
        grpc::code(self.kind)
    }

    /// The public id of the key in question, if a digest has proven that the client has it.
    pub fn key_id(&self) -> Option<KeyId> {
        self.identity.proven()
    }

    /// Marks the rejection of a response as made by a guard or an extractor.
    pub(crate) fn of_a_guard<B>(mut response: Response<B>) -> Response<B> {
        if let Some(rejection) = response.extensions_mut().get_mut::<Self>() {
            rejection.untold = true;
        }
        response
    }

    /// Marks a rejection as made inside a handler.
    pub(crate) fn of_a_handler(self) -> Self {
        Self {
            untold: true,
            ..self
        }
    }

    /// Whether the layer is to notify its observer of it. The layers further out are not.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_untold(&self) -> bool {
        self.untold
    }

    /// The same, for the one that does.
    pub(crate) fn take_untold(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }

    /// The public id that the request names, if nothing has proven it: that of an unknown key, of a key
    /// that the store gave no verdict on, or of a key in a wrong place. Anyone can name any id: never
    /// revoke by it alone.
    pub fn claimed_key_id(&self) -> Option<KeyId> {
        self.identity.claimed()
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind)
            .field("status", &self.status)
            .field("detail", &self.detail())
            .field("cause", &self.cause)
            .field("key", &self.identity)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref();
        source.map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[derive(Clone)]
enum Detail {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Detail {
    fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// The challenges of a 401 or 403.
#[derive(Clone)]
enum Challenges {
    Kept(&'static [HeaderValue]),
    One(HeaderValue),
}

impl Challenges {
    fn as_slice(&self) -> &[HeaderValue] {
        match self {
            Self::Kept(several) => several,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}
