//! What a replica follows.

use std::future::pending;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Changes, Head, Position, Realms};
use crate::key::digest::KeyDigest;
use crate::record::KeyRecord;
use crate::store::{BoxFuture, KeyStore, StoreError};

/// A store whose changes a replica can follow.
///
/// # Contract
///
/// - **Completeness.** What a commit changed that was acknowledged before [`changes`](Self::changes) was *called* is in
///   the answer, or was in the state at the position that was named. The same holds for the state that
///   [`page`](Self::page) shows after a [`head`](Self::head): whatever differs from the state at the position of that
///   head comes with the changes since it.
/// - **State.** A record in an answer is as it was at one moment within the call, and one of a page as it was at one
///   moment after the last head that was asked for. A digest that is
///   [gone](super::Batch::gone) had no record that can be read at that moment, in the realms that were asked for.
/// - **Pages.** The position of an answer in several pages is that of its first page.
/// - **One history.** A position of another history, or one whose changes are no longer all known, gets
///   [`Lost`](Changes::Lost), and never an answer.
/// - **Honesty.** A server that is not the one that acknowledges commits, or that cannot know all of them, gives an
///   error.
/// - **Dropped calls.** The future of a call may be dropped at any time. The next call is not answered by what the
///   former one asked.
///
/// A replica calls one method at a time, and [`hint`](Self::hint) at the same time.
pub trait Feed: KeyStore {
    /// Where the history is now.
    fn head(&self) -> BoxFuture<'_, Result<Head, StoreError>>;

    /// Some of the records that have a digest after `after`, in the order of the digests, each as it is at some moment
    /// after the last [`head`](Self::head) that was asked for. If there are none, the page is the last.
    fn page<'a>(
        &'a self,
        realms: &'a Realms,
        after: Option<&'a KeyDigest>,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>>;

    /// What differs from the state at `since`, as it is now, in pages by digest. The first page has the checksums of all
    /// records whose digests begin with a byte of `sums_of`, which are of the very state that the page belongs to.
    ///
    /// A replica asks for a few of the 256 buckets at a time, so that the answer takes no longer than that part of the
    /// records.
    fn changes<'a>(
        &'a self,
        realms: &'a Realms,
        since: &'a Position,
        after: Option<&'a KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> BoxFuture<'a, Result<Changes, StoreError>>;

    /// Forgets what no reader needs any more that holds `position`, or a later one of its history. The caller held it
    /// for so long that others do, too.
    fn forget<'a>(&'a self, position: &'a Position) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Completes when it may be worth asking for changes now. It is a hint: it may never complete, and nothing
    /// depends on it. The default never completes.
    fn hint(&self) -> BoxFuture<'_, ()> {
        Box::pin(pending())
    }
}
