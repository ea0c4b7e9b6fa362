//! Values that share no cache line with others.

/// On separate cache lines (two: processors fetch them in pairs). Next to what requests read, every lock that
/// a writer takes would take from the readers the line by which each look-up begins.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);
