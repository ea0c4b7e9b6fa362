//! How far a follower is.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::question::Number;
use super::walk::Walk;
use crate::key::digest::KeyDigest;
use crate::replica::Position;
use crate::store::Asked;

#[derive(Debug)]
pub(super) enum State {
    /// Nothing is known of the history.
    Beginning,
    /// The checksums of what is held are compared with those of another history.
    Comparing(Comparing),
    Loading(Load),
    Following(Position),
}

/// What is compared is as it is at this position or later.
#[derive(Debug)]
pub(super) struct Comparing {
    pub(super) since: Position,
    pub(super) walk: Walk,
}

/// The records of some buckets, page by page, each as it is at this position or later.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) since: Position,
    /// The runs of buckets that are left.
    pub(super) runs: VecDeque<RangeInclusive<u8>>,
    pub(super) after: Option<KeyDigest>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: Number,
    pub(super) purpose: Purpose,
}

#[derive(Debug)]
pub(super) enum Purpose {
    Head,
    /// Checksums of these buckets.
    Sums(RangeInclusive<u8>),
    Page,
    Pull(Pull),
    Forget,
}

/// A question for changes, in pages.
#[derive(Debug)]
pub(super) struct Pull {
    /// The moment before the first page was asked for.
    pub(super) asked: Asked,
    /// The buckets whose checksums come with the first page.
    pub(super) sums_of: Option<RangeInclusive<u8>>,
    /// The first page's.
    pub(super) position: Option<Position>,
    pub(super) after: Option<KeyDigest>,
    pub(super) staleness: Duration,
    pub(super) longest: Duration,
}

/// Why the next pull should come sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    None,
    /// There may be news.
    Hinted,
    /// Somebody waits for it.
    Wanted,
}

/// Whether a page goes on after another one.
pub(super) fn is_after(digest: Option<&KeyDigest>, other: Option<&KeyDigest>) -> bool {
    digest.map(KeyDigest::as_bytes) > other.map(KeyDigest::as_bytes)
}
