//! The change feed: what a replica follows.

mod ahead;
mod hint;
mod link;
mod place;
mod read;
mod slot;
mod staleness;
mod statements;

use std::ops::RangeInclusive;
use std::sync::Arc;

use sqlx::postgres::PgRow;
use tower_api_key::replica::{Batch, Changes, Feed, Head, Position, Realms, Sums};
use tower_api_key::store::{BoxFuture, StoreError, StoreErrorKind};
use tower_api_key::{KeyDigest, KeyRecord};

use self::ahead::Asked;
pub(super) use self::hint::Hints;
use self::link::{Link, refused};
use self::place::Place;
use self::read::State;
pub(super) use self::slot::Slot;
use self::statements::{
    FORGET, HEAD, MOST_CHANGES, NEWS, NEWS_OF_OPEN, PAGE, PULL, STATE, SUMS, bounds, limit, names,
};
use super::PostgresStore;
use super::error::because;
use super::record::column;
use super::tables::SEEN;

/// The first statement of several that see the same state.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How many steps of removal one call takes at most.
const STEPS: usize = 20;

/// A replica follows the database over one connection of its own, outside the pool, which is opened anew after 30
/// seconds at the most. A question is one statement, with a comment that names it: `/* tower-api-key pull */`. After a
/// pull that brought nothing, the next asks first whether there are changes, in a smaller statement:
/// `/* tower-api-key news */`.
///
/// With each full page of keys, the next one is asked for: the server reads it while the replica takes the one before.
///
/// The connection is closed if a call fails or is dropped. If a call is dropped while the connection is opened, the next
/// call has it. No call has a time-out except the opening of the connection: drop its future.
impl Feed for PostgresStore {
    fn head(&self) -> BoxFuture<'_, Result<Head, StoreError>> {
        Box::pin(async move {
            let mut link = self.link(true).await?;
            let query = link.tables.query(HEAD);
            let row = query.fetch_one(&mut link.connection).await;
            let row = row.map_err(|error| refused(&error))?;
            let state = State::of(&row, "head")?.ok_or_else(set_back)?;
            self.keep(link);
            Ok(state.head())
        })
    }

    fn page<'a>(
        &'a self,
        realms: &'a Realms,
        after: Option<&'a KeyDigest>,
    ) -> BoxFuture<'a, Result<Vec<Arc<KeyRecord>>, StoreError>> {
        Box::pin(async move {
            let after = after.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec());
            let slot = self.0.feed();
            let mut asked = match slot.take_page(self.0.authority(), realms, &after) {
                Some(asked) => asked,
                None => Asked::page(self.link(false).await?, realms, after),
            };
            loop {
                let (link, rows) = asked.answer().await;
                let rows = rows.map_err(|error| refused(&error))?;
                let Some(next) = read::next_page(&rows)? else {
                    let records = read::page(&rows, realms)?;
                    self.keep(link);
                    return Ok(records);
                };
                asked = Asked::page(link, realms, next);
                asked.send().await;
                let records = read::page(&rows, realms)?;
                // None of them could be read. A page without a record would be the last.
                if !records.is_empty() {
                    slot.put_page(asked);
                    return Ok(records);
                }
            }
        })
    }

    fn changes<'a>(
        &'a self,
        realms: &'a Realms,
        since: &'a Position,
        after: Option<&'a KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> BoxFuture<'a, Result<Changes, StoreError>> {
        Box::pin(async move {
            let Some(since) = Place::read(since) else {
                return Ok(Changes::Lost);
            };
            let mut link = self.link(false).await?;
            let answer = link.pull(realms, &since, after, sums_of).await?;
            let Some(batch) = answer else {
                // The connection is not kept: the next one sees to the tables.
                return Ok(Changes::Lost);
            };
            self.keep(link);
            Ok(Changes::Since(batch))
        })
    }

    fn forget<'a>(&'a self, position: &'a Position) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(place) = Place::read(position) else {
                return Ok(());
            };
            let mut link = self.link(false).await?;
            for _ in 0..STEPS {
                if link.forget(&place).await? == 0 {
                    break;
                }
            }
            self.keep(link);
            Ok(())
        })
    }

    /// Completes after a change by this crate that takes authority away, in any process, but not if it was made in a
    /// transaction of the application. It needs a session of its own, in which `LISTEN` works: behind a pooler of
    /// transactions it never completes.
    fn hint(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.hints().next(self.0.authority()))
    }
}

impl PostgresStore {
    /// The connection of the feed, or a new one.
    async fn link(&self, is_new: bool) -> Result<Link, StoreError> {
        self.0.feed().take(self.0.authority(), is_new).await
    }

    fn keep(&self, link: Link) {
        self.0.feed().put(link);
    }
}

impl Link {
    /// A page of changes. `None`: it is another history, or one that is not whole since then.
    async fn pull(
        &mut self,
        realms: &Realms,
        since: &Place,
        after: Option<&KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> Result<Option<Batch>, StoreError> {
        let is_first_page = after.is_none();
        let sums_of = sums_of.filter(|_| is_first_page);
        if self.is_quiet && is_first_page && sums_of.is_none() {
            let Some((head, is_news)) = self.news(since).await? else {
                return Ok(None);
            };
            if !is_news {
                return Ok(Some(Batch::new(head)));
            }
            // The answer is that of the next statement alone, which has a snapshot of its own.
        }
        let bytes = after.map_or(&[][..], |digest| digest.as_bytes());
        let ask = async |link: &mut Self| {
            let query = since.snapshot.bind(link.tables.query(&PULL)).bind(bytes);
            let query = query.bind(limit(PAGE + 1)).bind(limit(MOST_CHANGES + 1));
            query.fetch_all(&mut link.connection).await
        };
        let (rows, sums) = self.with_sums(realms, sums_of, ask).await?;
        let mut states = rows.iter().filter_map(|row| match column(row, SEEN - 1) {
            Ok(None::<&str>) => None,
            _ => Some(State::of(row, "pull")),
        });
        let state = states.next().transpose()?.flatten();
        let Some(state) = state.filter(|state| state.continues(since)) else {
            return Ok(None);
        };
        let mut batch = read::batch(&rows, realms, state.head(), after)?;
        batch.sums = sums;
        if is_first_page {
            self.is_quiet = batch.records.is_empty() && batch.gone.is_empty();
        }
        Ok(Some(batch))
    }

    /// Where the history is, and whether there are changes. `None`: it is another history, or one that is not whole since
    /// then.
    async fn news(&mut self, since: &Place) -> Result<Option<(Head, bool)>, StoreError> {
        let query = if since.snapshot.in_progress.is_empty() {
            let query = self.tables.query(NEWS);
            query.bind(since.snapshot.xmax.to_string())
        } else {
            since.snapshot.bind(self.tables.query(NEWS_OF_OPEN))
        };
        let row = query.fetch_one(&mut self.connection).await;
        let row = row.map_err(|error| refused(&error))?;
        let state = State::of(&row, "news")?;
        let Some(state) = state.filter(|state| state.continues(since)) else {
            return Ok(None);
        };
        Ok(Some((state.head(), column(&row, SEEN + STATE)?)))
    }

    /// An answer, and the sums of these buckets in the state that it is of.
    async fn with_sums(
        &mut self,
        realms: &Realms,
        sums_of: Option<RangeInclusive<u8>>,
        ask: impl AsyncFnOnce(&mut Self) -> Result<Vec<PgRow>, sqlx::Error>,
    ) -> Result<(Vec<PgRow>, Option<Sums>), StoreError> {
        let answer = async {
            let Some(buckets) = sums_of else {
                return Ok((ask(self).await?, None));
            };
            sqlx::raw_sql(BEGIN).execute(&mut self.connection).await?;
            let rows = ask(self).await?;
            let (from, until) = bounds(&buckets);
            let query = self.tables.query(SUMS).bind(names(realms));
            let query = query.bind(from).bind(until);
            let sums = query.fetch_all(&mut self.connection).await?;
            sqlx::raw_sql("COMMIT")
                .execute(&mut self.connection)
                .await?;
            Ok((rows, Some(sums)))
        };
        let (rows, sums) = answer.await.map_err(|error| refused(&error))?;
        Ok((rows, sums.map(|sums| read::sums(&sums)).transpose()?))
    }

    /// Removes a part of the changes that no position from this one on needs, and returns how many.
    async fn forget(&mut self, place: &Place) -> Result<i64, StoreError> {
        let history = &place.history;
        let query = self.tables.query(FORGET);
        let query = query.bind(place.snapshot.xmin.to_string());
        let query = query.bind(&history.token).bind(history.epoch);
        let query = query.bind(&history.home).bind(history.started_at);
        let row = query.fetch_one(&mut self.connection).await;
        let row = row.map_err(|error| refused(&error))?;
        column(&row, SEEN)
    }
}

fn set_back() -> StoreError {
    let advice = "try again: the tables of the change feed were replaced";
    because(StoreErrorKind::Unavailable, advice)
}
