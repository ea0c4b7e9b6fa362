//! The answer to a look-up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::store::StoreError;
use crate::record::KeyRecord;

/// A boxed future, as the object-safe [`KeyStore`](super::KeyStore) returns them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The result of a look-up: the record of a digest in a realm, or nothing.
pub type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

/// The answer to a look-up: at once, or later.
///
/// A store that has its records at hand answers [`Ready`](Self::Ready), and the request goes on without
/// a box. A pending answer owns everything that it needs, so that it can outlive the call.
pub enum Lookup {
    /// The answer.
    Ready(Found),
    /// The answer will come. The ring bounds the wait, and the number of requests that wait. If the
    /// store runs tasks, the ring polls this in a separate [task](super::KeyStore::spawn). Otherwise it polls
    /// it in the request, and drops it if the client hangs up or the answer is late. A store must not
    /// lose a connection by that.
    Pending(BoxFuture<'static, Found>),
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(found) => f.debug_tuple("Ready").field(found).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}
