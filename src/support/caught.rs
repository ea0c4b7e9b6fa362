//! Panics of code that is not this crate's.

use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs code of a user's, whose panic must not reach the caller. Returns `None` if it panicked.
///
/// A ring catches the panics of its store, its clock and its observer. A store that has threads of its own
/// needs it for the clocks and the observers that it calls there, because a panic would end the thread.
///
/// ```
/// use tower_api_key::store::caught;
///
/// assert_eq!(caught(|| 1 + 1), Some(2));
/// assert_eq!(caught(|| panic!("out of order")), None::<()>);
/// ```
#[inline]
pub fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // If the drop of the payload panics, the second payload is not dropped.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(payload);
            }
            None
        }
    }
}

/// Waits for a future of a user's, whose panic must not reach the caller. `None` if it panicked.
pub(crate) async fn caught_in<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match caught(|| future.as_mut().poll(context)) {
        Some(polled) => polled.map(Some),
        None => Poll::Ready(None),
    })
    .await
}
