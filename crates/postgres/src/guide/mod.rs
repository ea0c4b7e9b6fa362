//! Guides. There is no code to use here.
//!
//! - [`fleet`]: from one process to a fleet whose nodes verify from memory.
//! - [`transactions`]: one pool and one transaction with the application, and triggers for changes by other programs.

pub mod fleet;
pub mod transactions;
