//! How far a follower is.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::question::Number;
use crate::key::digest::KeyDigest;
use crate::replica::Position;
use crate::store::Asked;

#[derive(Debug)]
pub(super) enum State {
    /// Nothing is known of the history.
    Beginning,
    /// The history has answered. Next it is asked for checksums.
    Begun,
    /// The checksums at this position are compared.
    Comparing(Position),
    Loading(Load),
    Following(Position),
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
    Sums,
    Page,
    Pull(Pull),
    Forget,
}

/// A question for changes, in pages.
#[derive(Debug)]
pub(super) struct Pull {
    /// The moment before the first page was asked for.
    pub(super) asked: Asked,
    pub(super) with_sums: bool,
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
