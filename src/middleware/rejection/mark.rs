//! Rejections that leave a handler as a gRPC status, and are recognised by the layer further out.
//!
//! A status has headers, but no extensions, so a header value stands for the rejection. It is recognised
//! by the address of its bytes, not by their content: a value from the network has bytes of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

use super::Rejection;

const NO_STORE: [u8; 8] = *b"no-store";

/// The rejections whose marks exist, by the addresses of the marks. It is locked only for refusals in
/// handlers and, while a mark exists, for responses that have the content of one.
static MARKED: Mutex<BTreeMap<usize, Rejection>> = Mutex::new(BTreeMap::new());
/// How many there are. It changes under the lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn marked() -> MutexGuard<'static, BTreeMap<usize, Rejection>> {
    MARKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a mark. While they exist, no other value has their address.
struct Mark(Box<[u8; NO_STORE.len()]>);

impl Mark {
    fn of(rejection: Rejection) -> Self {
        let mark = Self(Box::new(NO_STORE));
        let mut marked = marked();
        marked.insert(address(mark.as_ref()), rejection);
        COUNT.store(marked.len(), Ordering::Relaxed);
        mark
    }
}

impl AsRef<[u8]> for Mark {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // The lock is released before the rejection is dropped.
        let mut marked = marked();
        let rejection = marked.remove(&address(self.as_ref()));
        COUNT.store(marked.len(), Ordering::Relaxed);
        drop(marked);
        drop(rejection);
    }
}

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

impl Rejection {
    /// The metadata of a gRPC status that reports this rejection. The code of the status is
    /// [`grpc_code`](Self::grpc_code), and its message is [`detail`](Self::detail).
    ///
    /// If the response with that status leaves through an [`ApiKeyLayer`](crate::ApiKeyLayer), the observers
    /// of the layer and of its ring receive the rejection. The layer recognises the value itself, not its
    /// content, so the same header from another service is not taken for a rejection. A status that ends a
    /// response stream which has begun is not recognised, because it is in the trailers.
    ///
    /// This crate does not depend on tonic. The conversion is three lines of a service that does:
    ///
    /// ```text
    /// let metadata = MetadataMap::from_headers(rejection.grpc_metadata());
    /// Status::with_metadata(rejection.grpc_code().into(), rejection.detail(), metadata)
    /// ```
    ///
    /// ```
    /// use http::Extensions;
    /// use tower_api_key::VerifiedKey;
    ///
    /// // No layer has authenticated this request.
    /// let rejection = VerifiedKey::of(&Extensions::new()).unwrap_err();
    /// assert_eq!(rejection.grpc_code(), 13);
    /// assert_eq!(rejection.detail(), "Authentication layer missing");
    /// assert_eq!(rejection.grpc_metadata()["cache-control"], "no-store");
    /// ```
    pub fn grpc_metadata(&self) -> HeaderMap {
        let mark = Bytes::from_owner(Mark::of(self.clone()));
        let mut metadata = HeaderMap::with_capacity(1);
        if let Ok(value) = HeaderValue::from_maybe_shared(mark) {
            metadata.insert(CACHE_CONTROL, value);
        }
        metadata
    }

    /// The rejection in a response: in its extensions, or marked by a status. A marked rejection is moved to
    /// the extensions, so that only the innermost layer recognises it.
    #[allow(
        clippy::inline_always,
        reason = "two comparisons, for most responses have no extension"
    )]
    #[inline(always)]
    pub(crate) fn within<B>(response: &mut Response<B>) -> Option<&mut Self> {
        // A mark in this response was made before, and exists: then the count is not zero.
        let may_be_marked = COUNT.load(Ordering::Relaxed) != 0;
        if response.extensions().is_empty() && !may_be_marked {
            return None;
        }
        Self::look_into(response, may_be_marked)
    }

    #[inline(never)]
    fn look_into<B>(response: &mut Response<B>, may_be_marked: bool) -> Option<&mut Self> {
        if may_be_marked
            && response.extensions().get::<Self>().is_none()
            && let Some(marked) = take_marked(response.headers_mut())
        {
            response.extensions_mut().insert(marked);
        }
        response.extensions_mut().get_mut()
    }
}

#[cold]
fn take_marked(headers: &mut HeaderMap) -> Option<Rejection> {
    let value = headers.get_mut(CACHE_CONTROL)?;
    if value.as_bytes() != NO_STORE {
        return None;
    }
    let rejection = marked().get(&address(value.as_bytes())).cloned()?;
    *value = const { HeaderValue::from_static("no-store") };
    Some(rejection)
}

#[cfg(test)]
mod tests {
    use http::Extensions;

    use super::*;
    use crate::verdict::VerifiedKey;

    fn in_registry(value: &HeaderValue) -> bool {
        marked().contains_key(&address(value.as_bytes()))
    }

    #[test]
    fn a_mark_is_recognised_by_its_address_and_forgotten_with_it() {
        let rejection = VerifiedKey::of(&Extensions::new()).unwrap_err();
        let metadata = rejection.grpc_metadata();
        let mut copied = HeaderMap::new();
        let copy = HeaderValue::from_bytes(metadata[CACHE_CONTROL].as_bytes()).unwrap();
        copied.insert(CACHE_CONTROL, copy);
        assert!(take_marked(&mut copied).is_none());

        let mut cloned = metadata.clone();
        let recognised = take_marked(&mut cloned).unwrap();
        assert_eq!(format!("{recognised:?}"), format!("{rejection:?}"));
        assert_eq!(cloned[CACHE_CONTROL], "no-store");
        assert!(take_marked(&mut cloned).is_none(), "twice");

        assert!(in_registry(&metadata[CACHE_CONTROL]));
        {
            let marked = marked();
            assert_eq!(COUNT.load(Ordering::Relaxed), marked.len());
        }
        let at = address(metadata[CACHE_CONTROL].as_bytes());
        drop(metadata);
        // Another test may have a mark of its own there by now, but not of this kind.
        let marked = marked();
        assert_eq!(COUNT.load(Ordering::Relaxed), marked.len());
        let left = marked.get(&at).map(|left| left.kind);
        assert_ne!(left, Some(rejection.kind));
    }

    #[test]
    fn r18_a_marked_response_is_recognised_whether_or_not_it_has_extensions() {
        let rejection = VerifiedKey::of(&Extensions::new()).unwrap_err();
        for has_extensions in [false, true] {
            let mut response = Response::new(());
            if has_extensions {
                response.extensions_mut().insert("of a handler");
            }
            assert!(Rejection::within(&mut response).is_none());
            *response.headers_mut() = rejection.grpc_metadata();
            let found = Rejection::within(&mut response).map(|it| it.kind());
            assert_eq!(found, Some(rejection.kind()), "{has_extensions}");
            assert!(response.extensions().get::<Rejection>().is_some());
        }
    }
}
