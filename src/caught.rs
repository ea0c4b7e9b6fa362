//! Panics of code that is not this crate's.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code of a user's, whose panic must not reach the caller; `None` where it panicked.
#[inline]
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // Dropped here, a payload whose own drop panics would reach the caller after all.
            mem::forget(payload);
            None
        }
    }
}
