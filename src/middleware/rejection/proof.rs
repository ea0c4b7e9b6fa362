//! The proof of a request's authentication, or the response to a request without one.

use bytes::Bytes;
use http::{Extensions, Response};

use super::{Anonymous, Head, Rejection, not_authenticated};
use crate::verdict::VerifiedKey;

/// The proof that a request carries, or the response to a request without one.
#[inline]
pub(crate) fn proof<'a>(
    extensions: &'a Extensions,
    request: Head<'_>,
) -> Result<&'a VerifiedKey, Box<Response<Bytes>>> {
    extensions.get::<VerifiedKey>().ok_or_else(|| {
        Box::new(Rejection::of_a_guard(match extensions.get::<Anonymous>() {
            Some(anonymous) => anonymous.refuse(request),
            None => not_authenticated(request),
        }))
    })
}
