//! What a layer leaves in the extensions of a request.

use std::error::Error as StdError;
use std::sync::Arc;

use http::HeaderName;

use super::at_once::at_once;
use crate::access::realm::Realm;
use crate::lifecycle::grant::Grant;
use crate::middleware::credential::Sources;
use crate::middleware::rejection::{Anonymous, Responses, StatusProfile};
use crate::ring::KeyRing;
use crate::store::MemoryStore;
use crate::verdict::VerifiedKey;

/// A key as a layer attaches it to a request: issued by a ring in memory, and verified by it. Its realm is `test`.
///
/// Insert it into the extensions of a request, or pass it to a handler that takes it as an argument.
///
/// ```
/// use tower_api_key::{Grant, VerifiedKey, testing};
///
/// async fn cancel(key: VerifiedKey) -> String {
///     format!("cancelled by {}", key.subject())
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let alice = testing::verified(Grant::new("alice").scopes(["orders:write"]));
/// assert_eq!(cancel(alice).await, "cancelled by alice");
/// # });
/// ```
///
/// If a handler reads the realm, issue and [verify](KeyRing::verify) a key with a ring of that realm.
///
/// # Panics
///
/// If a ring does not issue or does not accept such a key: if a text of the grant cannot be parsed, if the key begins
/// later, or if it has a caveat, because there is no client that could meet it.
#[track_caller]
pub fn verified(grant: Grant) -> VerifiedKey {
    match at_once(issued_and_verified(grant)) {
        Ok(key) => key,
        Err(error) => panic!("{error}"),
    }
}

async fn issued_and_verified(grant: Grant) -> Result<VerifiedKey, Box<dyn StdError>> {
    let ring = KeyRing::builder("test").unlimited_lifetime();
    let ring = ring.build(MemoryStore::new())?;
    let issued = ring.issue(grant).await?;
    let presented = issued.secret().expose().as_bytes();
    Ok(ring.verify(presented).await?)
}

/// What an [optional](crate::ApiKeyLayer::optional) layer leaves in the extensions of a request without a key. A
/// handler, an extractor or a guard that needs a key then refuses the request as
/// [`Missing`](crate::RejectionKind::Missing). Without it they refuse it as
/// [`NotAuthenticated`](crate::RejectionKind::NotAuthenticated).
///
/// ```
/// use tower_api_key::{RejectionKind, VerifiedKey, testing};
///
/// let mut request = http::Request::new(());
/// let rejection = VerifiedKey::of(request.extensions()).unwrap_err();
/// assert_eq!(rejection.kind(), RejectionKind::NotAuthenticated);
///
/// request.extensions_mut().insert(testing::anonymous());
/// let rejection = VerifiedKey::of(request.extensions()).unwrap_err();
/// assert_eq!(rejection.kind(), RejectionKind::Missing);
/// ```
#[must_use = "it is to be inserted into the extensions of a request"]
pub fn anonymous() -> impl Clone + Send + Sync + 'static {
    Anonymous::new(Arc::new(responses()))
}

/// Those of a layer with the defaults over a ring of the realm `test`.
pub(super) fn responses() -> Responses {
    let sources = Sources::from_header(HeaderName::from_static("x-api-key"));
    Responses::new(&realm(), &sources, StatusProfile::default(), None)
}

#[track_caller]
pub(super) fn realm() -> Realm {
    match Realm::new("test") {
        Ok(realm) => realm,
        Err(error) => panic!("{error}"),
    }
}
