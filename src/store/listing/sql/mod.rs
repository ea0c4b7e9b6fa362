//! The statements of a list, for both SQL stores.
//!
//! A page is read in one of three ways. The keys of a lineage or a subject have an index in which they
//! are in order. A filter that few keys meet has an index that finds those: their ids are put in order,
//! and the first of them are read. Everything else is read in order, and passed over if a filter is not
//! met: a filter that many keys meet fills a page soon. To choose between the last two, the store first
//! counts, up to a few, because the planner of a database without statistics would guess.
//!
//! A column of numbers that stands with `+ 0` fits no index.

mod asked;
mod conditions;
mod page;
mod reading;

#[cfg(all(test, feature = "sqlite"))]
pub(in crate::store) use asked::Filter;
pub(in crate::store) use asked::{Asked, Dialect, Position, Statement, Value, Way};
pub(in crate::store) use reading::Reading;
