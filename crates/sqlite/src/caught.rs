//! Panics that end with the job that they are in.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code whose panic must not reach the caller. `None` if it panicked.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
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
