//! What a replica follows: the log of changes, read on a connection of its own.

mod changes;
mod forget;
mod hints;
mod position;
mod staleness;
mod sums;

use std::future::{pending, ready};
use std::ops::RangeInclusive;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};
use tower_api_key::replica::{Batch, Changes, Feed, Head, Position, Realms};
use tower_api_key::store::{BoxFuture, StoreError};
use tower_api_key::{KeyDigest, KeyRecord};

use super::SqliteStore;
use super::checkpoint::forget_pages;
use super::place::Place;
use super::read::Unread;
use super::schema::require_intact;

pub(super) use hints::Hints;
use position::Mark;
pub(super) use staleness::carry;
use sums::Asked;

/// How many changes a pull takes at most. After more, it is faster to load all keys: each page reads all changes.
const MOST_CHANGES: i64 = 200_000;

/// The log of changes in the file. All calls share one connection and one thread.
///
/// A revocation by another process is heard within a few milliseconds: while a [`hint`](Feed::hint) is waited for, the
/// thread looks at the end of the log each millisecond. Each call compares the files at the path with those that are
/// open, before and after it reads. If they differ, the call is an error, and the store opens the files at the path.
impl Feed for SqliteStore {
    fn head(&self) -> BoxFuture<'_, Result<Head, StoreError>> {
        let hints = Arc::clone(&self.0.hints);
        self.follow(move |reading, place, _| {
            require_intact(reading, place)?;
            let (mark, head) = position::now(reading, place)?;
            hints.told(mark.seq);
            Ok(head)
        })
    }

    fn page<'a>(
        &'a self,
        realms: &'a Realms,
        after: Option<&'a KeyDigest>,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        let (realms, after) = (realms.clone(), after.copied());
        self.follow(move |reading, place, _| {
            require_intact(reading, place)?;
            changes::page(reading, &realms, after)
        })
    }

    fn changes<'a>(
        &'a self,
        realms: &'a Realms,
        since: &'a Position,
        after: Option<&'a KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> BoxFuture<'a, Result<Changes, StoreError>> {
        let Some(since) = Mark::of(since) else {
            return Box::pin(ready(Ok(Changes::Lost)));
        };
        let (realms, after, hints) = (realms.clone(), after.copied(), Arc::clone(&self.0.hints));
        self.follow(move |reading, place, asked| {
            let (mark, head) = position::now(reading, place)?;
            let is_much = mark.seq.saturating_sub(since.seq) > MOST_CHANGES;
            if is_much || !since.is_before(&mark, reading)? {
                return Ok(Changes::Lost);
            }
            let mut batch = Batch::new(head);
            if let Some(buckets) = sums_of.filter(|_| after.is_none()) {
                batch.sums = Some(sums::of(reading, place, &realms, &buckets, asked)?);
            }
            if mark.seq != since.seq {
                changes::since(reading, &realms, since.seq, after, &mut batch)?;
            }
            hints.told(mark.seq);
            Ok(Changes::Since(batch))
        })
    }

    fn forget<'a>(&'a self, position: &'a Position) -> BoxFuture<'a, Result<(), StoreError>> {
        let Some(mark) = Mark::of(position) else {
            return Box::pin(ready(Ok(())));
        };
        Box::pin(forget::forget(self, mark))
    }

    fn hint(&self) -> BoxFuture<'_, ()> {
        let (hint, given) = tokio::sync::oneshot::channel();
        self.0.hints.want(hint, &self.0.feed);
        Box::pin(async move {
            if given.await.is_err() {
                pending::<()>().await;
            }
        })
    }
}

impl SqliteStore {
    /// Reads one state of the store. The answer counts only if the files at the path are those that are open, from
    /// before it is read until it was.
    fn follow<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Transaction<'_>, &Place, &Asked) -> Result<T, Unread> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let asking = Arc::new(());
        let asked = Asked::by(&asking);
        let place = Arc::clone(&self.0.place);
        let answer = self.0.feed.run(move |connection| {
            place.require_current()?;
            // A copy over the file is no change that SQLite knows of.
            forget_pages(connection);
            let answer = one_state(connection, |reading| read(reading, &place, &asked));
            place.require_current()?;
            answer.map_err(|error| error.at(&place))
        });
        Box::pin(async move {
            let answer = answer.await;
            drop(asking);
            answer
        })
    }
}

/// Reads in a transaction, which ends with it: a reader that keeps one keeps the log of the file from being emptied.
fn one_state<T>(
    connection: &mut Connection,
    read: impl FnOnce(&Transaction<'_>) -> Result<T, Unread>,
) -> Result<T, Unread> {
    read(&connection.transaction()?)
}
