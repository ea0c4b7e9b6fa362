//! The settings of a drain.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::limits::Limits;
use super::service::Drain;
use crate::time::{Clock, SystemClock};

/// Reads the rest of a refused request's body before the refusal is returned, within limits.
///
/// Put it outside the layers that refuse. A response counts as a refusal if it has a
/// [`Rejection`](crate::Rejection) in its extensions. All other responses pass unchanged, and so do
/// refusals of requests whose body is read or kept by the inner service.
///
/// The refusal is returned at once, and the body stays unread, if
///
/// - the body says that it is longer than [`max_bytes`](Self::max_bytes), because reading only a part of
///   it does not make the refusal arrive;
/// - the client sent `Expect: 100-continue` and nothing has been read: it waits for permission to send
///   the body, and must not get it for a body that is discarded (RFC 9110 §10.1.1).
///
/// The inner service gets a [`DrainBody`](crate::drain::DrainBody) around the request's body, which
/// must be [`Unpin`], as the bodies of hyper, axum and tonic are.
///
/// ```
/// use std::time::Duration;
///
/// use tower_api_key::DrainLayer;
///
/// let layer = DrainLayer::new().max_bytes(64 * 1024).max_wait(Duration::from_millis(500));
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct DrainLayer {
    pub(super) limits: Limits,
}

impl DrainLayer {
    /// Reads up to 1 MiB in up to 2 seconds.
    ///
    /// 1 MiB is what nginx lets through by default (`client_max_body_size`).
    pub fn new() -> Self {
        Self {
            limits: Limits {
                bytes: 1 << 20,
                wait: Duration::from_secs(2),
                clock: Arc::new(SystemClock),
            },
        }
    }

    /// Reads at most this many bytes of a refused body. A frame counts as at least one byte.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Waits at most this long, in total, for the rest of a refused body.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.limits.wait = wait;
        self
    }

    /// Replaces the clock that bounds the wait.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.limits.clock = Arc::new(clock);
        self
    }
}

impl Default for DrainLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain::new(inner, self.limits.clone())
    }
}

impl fmt::Debug for DrainLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainLayer")
            .field("max_bytes", &self.limits.bytes)
            .field("max_wait", &self.limits.wait)
            .finish_non_exhaustive()
    }
}
