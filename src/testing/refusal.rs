//! Refusals of each kind.

use std::sync::Arc;

use http::Request;

use super::proof::{responses, verified};
use crate::access::requirement::Requirement;
use crate::lifecycle::grant::Grant;
use crate::middleware::rejection::{Rejection, RejectionKind, Required, not_authenticated};
use crate::store::StoreError;
use crate::verdict::{Ambiguity, InvalidCause, KeyPlace, Refusal, VerifiedKey, VerifyError};

/// A rejection of this kind, as a layer with the default settings makes it. Its realm is `test`.
///
/// ```
/// use bytes::Bytes;
/// use http::Response;
/// use tower_api_key::{Rejection, RejectionKind, testing};
///
/// fn responder(rejection: &Rejection) -> Response<Bytes> {
///     let mut response = Response::new(format!("no: {rejection}").into());
///     *response.status_mut() = rejection.status();
///     response
/// }
///
/// let response = responder(&testing::rejection(RejectionKind::StoreUnavailable));
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.body(), "no: Key store unavailable");
/// ```
///
/// The requirement of [`InsufficientScope`](RejectionKind::InsufficientScope) is the scope `test`.
/// [`VerifiedKey::require`] makes a rejection with another one:
///
/// ```
/// use tower_api_key::{Grant, Requirement, testing};
///
/// let write = Requirement::scope("orders:write")?;
/// let rejection = testing::verified(Grant::new("alice")).require(&write).unwrap_err();
/// assert_eq!(rejection.detail(), "Insufficient scope: expected orders:write");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
///
/// The cause of [`Invalid`](RejectionKind::Invalid) is [`Unknown`](InvalidCause::Unknown), and [`invalid`] makes one
/// with another cause.
pub fn rejection(kind: RejectionKind) -> Rejection {
    let head = Request::new(());
    let response = match refusal(kind) {
        None => not_authenticated((&head).into()),
        Some(refusal) => {
            let required = Required::new(test_scope(), None);
            responses().refuse(&refusal, Some(&required), (&head).into())
        }
    };
    taken(&response)
}

/// A rejection of an invalid key with this cause. The response to the client is the same for all causes.
///
/// ```
/// use tower_api_key::{InvalidCause, RejectionKind, testing};
///
/// let rejection = testing::invalid(InvalidCause::Revoked);
/// assert_eq!(rejection.kind(), RejectionKind::Invalid);
/// assert_eq!(rejection.cause(), Some(InvalidCause::Revoked));
/// assert!(rejection.key_id().is_some());
/// ```
pub fn invalid(cause: InvalidCause) -> Rejection {
    let head = Request::new(());
    taken(&responses().refuse(&invalid_key(cause), None, (&head).into()))
}

fn taken<B>(response: &http::Response<B>) -> Rejection {
    match response.extensions().get::<Rejection>() {
        Some(rejection) => rejection.clone(),
        None => panic!("a refusal has its rejection with it"),
    }
}

/// A refusal of this kind by a layer. `None` if only a guard or an extractor without a layer refuses in this way.
pub(super) fn refusal(kind: RejectionKind) -> Option<Refusal> {
    Some(match kind {
        RejectionKind::Missing => Refusal::Missing,
        RejectionKind::Ambiguous => Refusal::Ambiguous(Ambiguity::RepeatedHeader),
        RejectionKind::KeyInUrl => Refusal::Misplaced(KeyPlace::Uri, alice().id()),
        RejectionKind::KeyMisplaced => Refusal::Misplaced(KeyPlace::Authorization, alice().id()),
        RejectionKind::Invalid => invalid_key(InvalidCause::Unknown),
        RejectionKind::InsufficientScope => Refusal::InsufficientScope(alice()),
        RejectionKind::UnknownRoute => Refusal::UnknownRoute(alice()),
        RejectionKind::StoreUnavailable => {
            Refusal::Unverified(VerifyError::store_unavailable(outage()))
        }
        RejectionKind::NotAuthenticated => return None,
    })
}

/// The refusal of a key that is invalid for this cause.
pub(super) fn invalid_key(cause: InvalidCause) -> Refusal {
    let error = VerifyError::invalid(cause);
    Refusal::Unverified(match cause {
        InvalidCause::Malformed => error,
        InvalidCause::Unknown | InvalidCause::OtherRealm => error.claimed_by(|| Some(alice().id())),
        InvalidCause::NotYetValid
        | InvalidCause::Expired
        | InvalidCause::Replaced
        | InvalidCause::Revoked
        | InvalidCause::CaveatNotMet
        | InvalidCause::UnknownCaveat
        | InvalidCause::OwnerRefused => error.of(Arc::new(alice().record().clone())),
    })
}

/// A key that some subject holds.
pub(super) fn alice() -> VerifiedKey {
    verified(Grant::new("alice"))
}

pub(super) fn outage() -> StoreError {
    StoreError::unavailable("the store is not there")
}

fn test_scope() -> Requirement {
    match Requirement::scope("test") {
        Ok(requirement) => requirement,
        Err(error) => panic!("{error}"),
    }
}
