//! The extractor of what the application knows of a key's owner.

use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::Response;
use http::request::Parts;

use crate::middleware::rejection::{Rejection, not_authenticated, proof};

/// What the application knows of the owner of the request's key, as an argument of a handler of axum: the
/// [principal](crate::Owner::principal) that the ring's [`Owners`](crate::Owners) added.
///
/// It refuses a request without a key as [`VerifiedKey`](crate::VerifiedKey) does. If the key has no principal of this type, that is
/// a mistake in the stack, as if there were no layer: 500.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::{ApiKeyLayer, KeyRing, Owner, Principal, Subject, store::MemoryStore};
///
/// struct User {
///     name: String,
/// }
///
/// async fn me(Principal(user): Principal<User>) -> String {
///     user.name.clone()
/// }
///
/// let ring = KeyRing::builder("acme")
///     .owners(|subject: Subject| async move {
///         // In place of a look-up in the table of users.
///         let name = subject.to_string();
///         Ok(Some(Owner::unrestricted().principal(User { name })))
///     })
///     .build(MemoryStore::new())?;
/// let router: Router = Router::new().route("/me", get(me)).layer(ApiKeyLayer::new(ring));
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Principal<P>(pub Arc<P>);

impl<S: Send + Sync, P: Send + Sync + 'static> FromRequestParts<S> for Principal<P> {
    /// A response whose extensions hold the [`Rejection`].
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let key = proof(&parts.extensions, (&*parts).into());
        let key = key.map_err(|response| response.map(Body::from))?;
        key.shared_principal().map(Self).ok_or_else(|| {
            Rejection::of_a_guard(not_authenticated((&*parts).into())).map(Body::from)
        })
    }
}
