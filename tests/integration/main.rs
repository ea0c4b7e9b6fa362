//! Every test that uses the crate from outside, a file for each area.
//!
//! A test that holds a rule of the threat model carries the rule's number in its name.

mod cache_guard;
mod challenges;
mod faults;
mod grpc;
mod guards;
mod hiding;
mod indistinguishable;
mod readiness;
mod rejections;
mod stores;
mod support;
