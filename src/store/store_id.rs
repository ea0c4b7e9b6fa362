//! Which records a store holds.

use std::sync::Arc;

/// Identifies the records that a store holds: two stores of one identity hold the same.
///
/// With it, a ring decides whether it can promote a key of another ring in a single commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(usize);

impl StoreId {
    /// The identity of the value that all clones of a store share. It is unique among stores that live
    /// at the same time.
    pub fn of<T: ?Sized>(shared: &Arc<T>) -> Self {
        Self(Arc::as_ptr(shared).cast::<()>().addr())
    }
}
