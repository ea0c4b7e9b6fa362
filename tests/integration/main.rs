//! Every test that uses the crate from outside, a file for each area.
//!
//! A test that holds a rule of the threat model carries the rule's number in its name.

mod ambiguity;
mod hiding;
mod leaks;
mod methods;
mod raw;
mod sources;
mod support;
