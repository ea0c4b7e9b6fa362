//! The primitives of what synchronises by itself: the standard library's, or, in a build with
//! `--cfg shuttle`, those of a scheduler that tries the interleavings.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
