//! The least that any layer does: the header out, one SHA-256, one map, one extension. It checks nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Ready;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use tower_service::Service;

use crate::by_hand::{Attached, Record};
use crate::request::X_API_KEY;
use crate::subject::Inner;

/// Records by digest. A digest's first eight bytes are its hash: no look-up in a map is cheaper.
pub(crate) type Records = HashMap<[u8; 32], Arc<Record>, BuildHasherDefault<FirstEight>>;

#[derive(Default)]
pub(crate) struct FirstEight(u64);

impl Hasher for FirstEight {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A request without a valid key ends the process.
#[derive(Clone)]
pub(crate) struct Floor {
    pub(crate) records: Arc<Records>,
    /// Whether it writes the two headers of the layer's response cache guard.
    pub(crate) guard: bool,
}

impl<B> Service<Request<B>> for Floor {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut Inner, context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let value = request.headers_mut().remove(X_API_KEY).expect("a key");
        let digest: [u8; 32] = Sha256::digest(value.as_bytes()).into();
        let record = Arc::clone(&self.records[&digest]);
        request.extensions_mut().insert(Attached(record));
        let mut response = Inner.call(request).into_inner();
        if let (true, Ok(response)) = (self.guard, &mut response) {
            let headers = response.headers_mut();
            headers.append(VARY, HeaderValue::from_static("x-api-key"));
            headers
                .entry(CACHE_CONTROL)
                .or_insert(HeaderValue::from_static("private"));
        }
        std::future::ready(response)
    }
}
