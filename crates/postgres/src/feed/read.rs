//! Answers of the feed.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use tower_api_key::replica::{Batch, Head, Realms, Sum, Sums};
use tower_api_key::store::sql::{ReadColumns, Row};
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key::{KeyDigest, KeyRecord, Realm};

use super::link::primary;
use super::place::{History, Place, Snapshot};
use super::statements::{PAGE, STATE};
use crate::error::{MIGRATE, because};
use crate::home::Seen;
use crate::record::column;
use crate::tables::SEEN;

/// The first row of an answer.
pub(super) struct State {
    place: Place,
    /// Changes by transactions before this one may be missing.
    pruned: u64,
    staleness: Duration,
    longest_staleness: Duration,
}

/// A policy without a word would hide revocations from a replica that goes on.
const HIDDEN: &str = "give the role BYPASSRLS, or disable row-level security on tower_api_key_changes: a policy may \
     hide changes from it";

impl State {
    /// `None`: the database was set back or restored since the connection was opened.
    pub(super) fn of(row: &PgRow, statement: &str) -> Result<Option<Self>, StoreError> {
        let started_at = checked(row, statement)?.started_at;
        if column(row, SEEN + 7)? {
            return Err(because(StoreErrorKind::Unavailable, HIDDEN));
        }
        let text = |place: usize| column::<Option<&str>>(row, SEEN + place);
        let number = |place: usize| column::<Option<i64>>(row, SEEN + place);
        let milliseconds = |place: usize| {
            let found: Option<i32> = column(row, SEEN + place)?;
            let found = found.map(|found| u64::try_from(found).map(Duration::from_millis));
            found.transpose().map_err(|_| unfit())
        };
        let snapshot = text(0)?.and_then(Snapshot::read).ok_or_else(unfit)?;
        let (Some(token), Some(epoch), Some(home), Some(pruned), Some(staleness)) =
            (text(1)?, number(2)?, text(3)?, text(4)?, milliseconds(5)?)
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            pruned: pruned.parse().map_err(|_| unfit())?,
            staleness,
            longest_staleness: milliseconds(6)?.unwrap_or(staleness),
            place: Place {
                history: History {
                    token: token.to_owned(),
                    started_at,
                    epoch,
                    home: home.to_owned(),
                },
                snapshot,
            },
        }))
    }

    /// Whether it is of the same history, and all changes since then are known.
    pub(super) fn continues(&self, since: &Place) -> bool {
        self.place.history == since.history && since.snapshot.xmin >= self.pruned
    }

    pub(super) fn head(&self) -> Head {
        let mut head = Head::new(self.place.position(), self.staleness);
        head.longest_staleness = self.longest_staleness;
        head
    }
}

/// Refuses an answer of a standby, of a role from which rows are hidden, and to another statement.
fn checked(row: &PgRow, statement: &str) -> Result<Seen, StoreError> {
    let seen = Seen::of(row, statement)?.check()?;
    primary(seen)?;
    Ok(seen)
}

pub(super) fn unfit() -> StoreError {
    let advice = format!("{MIGRATE}: the tables of the change feed hold what they cannot hold");
    because(StoreErrorKind::Schema, advice)
}

/// The rows of an answer after its first.
pub(super) fn rows<'r>(
    rows: &'r [PgRow],
    statement: &str,
) -> Result<impl Iterator<Item = &'r PgRow>, StoreError> {
    let is_head =
        |row: &&PgRow| column::<Option<&str>>(row, SEEN - 1).is_ok_and(|name| name.is_some());
    let head = rows.iter().find(is_head).ok_or_else(unfit)?;
    checked(head, statement)?;
    Ok(rows.iter().filter(move |row| !is_head(row)))
}

/// Reads records of any realm.
#[derive(Default)]
pub(super) struct Reader {
    /// That of the last row.
    realm: Option<Realm>,
}

impl Reader {
    /// The record of a row whose realm is in this column, before those of the record. `None`: there is none that can be
    /// read, in these realms.
    fn record(
        &mut self,
        row: &PgRow,
        place: usize,
        realms: &Realms,
    ) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let Some(name) = column::<Option<&str>>(row, place)? else {
            return Ok(None);
        };
        if self
            .realm
            .as_ref()
            .is_none_or(|realm| realm.as_str() != name)
        {
            self.realm = name.parse().ok();
        }
        let Some(realm) = self.realm.as_ref().filter(|realm| realms.contains(realm)) else {
            return Ok(None);
        };
        let columns = Columns {
            row,
            first: place + 1,
        };
        match Row::read(&columns, realm) {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The columns of a record in a row, from this one on.
struct Columns<'a> {
    row: &'a PgRow,
    first: usize,
}

impl<'a> ReadColumns<'a> for Columns<'a> {
    type Error = StoreError;

    fn text(&self, place: usize) -> Result<Option<&'a str>, StoreError> {
        column(self.row, self.first + place)
    }

    fn integer(&self, place: usize) -> Result<Option<i64>, StoreError> {
        column(self.row, self.first + place)
    }

    fn blob(&self, place: usize) -> Result<Option<&'a [u8]>, StoreError> {
        column(self.row, self.first + place)
    }
}

/// The last digest of a page, if there may be more.
pub(super) fn next_page(answer: &[PgRow]) -> Result<Option<Vec<u8>>, StoreError> {
    let (mut count, mut last): (usize, &[u8]) = (0, &[]);
    for row in rows(answer, "page")? {
        count += 1;
        last = last.max(column::<&[u8]>(row, SEEN + 1 + DIGEST)?);
    }
    Ok((count >= PAGE).then(|| last.to_vec()))
}

/// The records of a page that can be read.
pub(super) fn page(answer: &[PgRow], realms: &Realms) -> Result<Vec<Arc<KeyRecord>>, StoreError> {
    let mut reader = Reader::default();
    let mut records = Vec::with_capacity(answer.len());
    for row in rows(answer, "page")? {
        records.extend(reader.record(row, SEEN, realms)?);
    }
    if !records.is_sorted_by_key(|record| *record.digest().as_bytes()) {
        records.sort_by_key(|record| *record.digest().as_bytes());
    }
    Ok(records)
}

/// The place of the digest among the columns of a record.
const DIGEST: usize = 1;

/// A page of changes, after a digest.
pub(super) fn batch(
    answer: &[PgRow],
    realms: &Realms,
    head: Head,
    after: Option<&KeyDigest>,
) -> Result<Batch, StoreError> {
    let mut reader = Reader::default();
    let mut batch = Batch::new(head);
    let (mut changed, mut removed) = (Vec::with_capacity(answer.len()), Vec::new());
    for row in rows(answer, "pull")? {
        if let Some(digests) = column::<Option<&[u8]>>(row, SEEN + STATE)? {
            let (digests, []) = digests.as_chunks() else {
                return Err(unfit());
            };
            removed.extend(digests.iter().copied().map(KeyDigest::from_bytes));
            continue;
        }
        let digest: &[u8] = column(row, SEEN + STATE + 1)?;
        let digest = digest.try_into().map_err(|_| unfit())?;
        changed.push((KeyDigest::from_bytes(digest), row));
    }
    changed.sort_unstable_by_key(|(digest, _)| *digest.as_bytes());
    if changed.len() > PAGE {
        changed.truncate(PAGE);
        batch.next = changed.last().map(|(digest, _)| *digest);
    }
    // Each digest is of one page. One that was inserted again has changed, and its record may be that of another page.
    let is_of_page = |digest: &KeyDigest| {
        let [here, after, next] = [Some(digest), after, batch.next.as_ref()]
            .map(|digest| digest.map(KeyDigest::as_bytes));
        here > after && (next.is_none() || here <= next)
    };
    let has_changed = |digest: &KeyDigest| {
        let place =
            changed.binary_search_by_key(&digest.as_bytes(), |(changed, _)| changed.as_bytes());
        place.is_ok()
    };
    removed.retain(|digest| is_of_page(digest) && !has_changed(digest));
    batch.gone = removed;
    for (digest, row) in changed {
        match reader.record(row, SEEN + STATE + 2, realms)? {
            Some(record) => batch.records.push(record),
            None => batch.gone.push(digest),
        }
    }
    Ok(batch)
}

pub(super) fn sums(answer: &[PgRow]) -> Result<Sums, StoreError> {
    let mut sums = Sums::new();
    for row in answer {
        checked(row, "sums")?;
        let Some(bucket) = column::<Option<i32>>(row, SEEN)? else {
            continue;
        };
        let bucket = u8::try_from(bucket).map_err(|_| unfit())?;
        let (count, sum): (i64, &str) = (column(row, SEEN + 1)?, column(row, SEEN + 2)?);
        let count = u64::try_from(count).map_err(|_| unfit())?;
        let sum: i128 = sum.parse().map_err(|_| unfit())?;
        // Postgres added signed numbers.
        let sum = u64::try_from(sum.rem_euclid(1 << 64)).map_err(|_| unfit())?;
        sums.set(bucket, Sum::new(count, sum));
    }
    Ok(sums)
}
