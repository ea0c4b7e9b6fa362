//! What a follower asks, hears and wants done.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::key::digest::KeyDigest;
use crate::record::KeyRecord;
use crate::replica::{Changes, Head, Position, Sums};
use crate::store::{Asked, StoreError};

/// A call of a [`Feed`](crate::replica::Feed).
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Head,
    Page {
        after: Option<KeyDigest>,
    },
    Changes {
        since: Position,
        after: Option<KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    },
    Forget {
        position: Position,
    },
}

/// The answer of that call.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Head(Head),
    Page(Vec<Arc<KeyRecord>>),
    Changes(Changes),
    Forgotten,
}

/// The number of a question. An answer belongs to the last question, or is thrown away.
pub(crate) type Number = u64;

/// What happens to a follower.
#[derive(Debug)]
pub(crate) enum Event {
    /// The time that it waits for may have come.
    Due,
    /// It may be worth asking now.
    Hint,
    /// Somebody waits for a pull that is asked from now on.
    Wanted,
    Answered(Number, Answer),
    /// There is no answer, and none will come.
    Failed(Number, StoreError),
    /// The checksums of the buckets up to this one were compared: those in which they differ.
    Compared(u8, Vec<u8>),
}

/// What a follower wants done, in this order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Asks, and gives up after this time. There is no other question at the time.
    Ask {
        number: Number,
        question: Question,
        within: Duration,
        /// Whether it is the first question of a pull.
        begins: bool,
    },
    /// Compares the checksums of what is held of these buckets at this moment with those of the database.
    Compare(RangeInclusive<u8>, Sums),
    /// Forgets what comparisons were made with. The next ones are others.
    EndComparisons,
    /// Forgets the steps of what was loaded before: it may be of another history.
    StartOver,
    /// Begins to hold what pages show of these buckets, instead of what is held.
    Replace(RangeInclusive<u8>),
    /// Takes a page of them. If it ends them, what no page has shown is gone.
    Load {
        records: Vec<Arc<KeyRecord>>,
        is_last: bool,
    },
    /// Takes a page of changes.
    Apply {
        records: Vec<Arc<KeyRecord>>,
        gone: Vec<KeyDigest>,
    },
    /// All that was known when this was asked is held: a proof for this long.
    Renew {
        asked: Asked,
        lease: Duration,
        longest: Duration,
    },
    /// The pull that somebody waits for has failed.
    Miss,
    Tell(Notice),
}

/// What an observer hears of.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The history that was followed is lost.
    Reset,
    /// The checksums of this many buckets differ in one history.
    Diverged(usize),
    /// The audit or the removal of old changes failed.
    Failed(StoreError),
}
