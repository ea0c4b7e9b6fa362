//! Records in pages, in the order of their digests.

use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use rusqlite::{Connection, Row, params};
use tower_api_key::replica::{Batch, Realms};
use tower_api_key::store::sql;
use tower_api_key::{KeyDigest, KeyRecord, Realm};

use crate::read::{Unread, record};

/// How many keys an answer has at the most.
const PAGE: usize = 5_000;

/// The realm follows the columns of a record, and then the digest of the log.
const REALM: usize = sql::Row::COLUMNS.len();
const CHANGED: usize = REALM + 1;

/// `?1` names the realms as a JSON array, or is NULL for all of them. The digests are between `?2` and `?4`.
static RECORDS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, realm FROM api_keys WHERE digest > ?2 AND digest < ?4
            AND (?1 IS NULL OR +realm IN (SELECT value FROM json_each(?1)))
        ORDER BY digest LIMIT ?3",
        sql::Row::NAMES
    )
});

/// A digest of another length belongs to no key that can be presented.
static SINCE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, realm, changed FROM (
            SELECT DISTINCT digest AS changed FROM api_key_changes
            WHERE seq > ?1 AND digest > ?2 AND length(digest) = 32 ORDER BY digest LIMIT ?3
        ) LEFT JOIN api_keys ON digest = changed ORDER BY changed",
        sql::Row::NAMES
    )
});

/// Above each digest.
const END: [u8; 33] = [u8::MAX; 33];

/// The records that can be read, in any number of which the first is after `after`.
pub(super) fn page(
    reading: &Connection,
    realms: &Realms,
    after: Option<KeyDigest>,
) -> Result<Vec<Arc<KeyRecord>>, Unread> {
    let mut after = after
        .map(|digest| digest.as_bytes().to_vec())
        .unwrap_or_default();
    let mut page = Vec::new();
    loop {
        let mut last = Vec::new();
        let read = each(reading, realms, (&after, &END), PAGE, |row, record| {
            if page.is_empty() && record.is_none() {
                last = row
                    .get_ref(1)?
                    .as_blob()
                    .map_err(rusqlite::Error::from)?
                    .to_vec();
            }
            page.extend(record);
            Ok(())
        })?;
        // A page without a record would be the end.
        if !page.is_empty() || read < PAGE {
            return Ok(page);
        }
        after = last;
    }
}

/// Calls `take` for each row of these buckets and realms, with its record if it can be read.
pub(super) fn each_of(
    reading: &Connection,
    realms: &Realms,
    buckets: &RangeInclusive<u8>,
    mut take: impl FnMut(Option<Arc<KeyRecord>>) -> Result<(), Unread>,
) -> Result<(), Unread> {
    let after = [*buckets.start()];
    let until = buckets.end().checked_add(1).map(|next| [next]);
    let until = until.as_ref().map_or(&END[..], |next| next);
    each(reading, realms, (&after, until), usize::MAX, |_, record| {
        take(record)
    })?;
    Ok(())
}

/// Calls `take` for each row of these realms between two digests, up to a number of them, with its record if it can be
/// read. Returns how many there were.
fn each(
    reading: &Connection,
    realms: &Realms,
    (after, until): (&[u8], &[u8]),
    most: usize,
    mut take: impl FnMut(&Row<'_>, Option<Arc<KeyRecord>>) -> Result<(), Unread>,
) -> Result<usize, Unread> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = reading.prepare_cached(&RECORDS)?;
    let mut rows = statement.query(params![names(realms), after, most, until])?;
    let mut of = RealmOf::default();
    let mut read = 0;
    while let Some(row) = rows.next()? {
        read += 1;
        take(row, readable(row, realms, &mut of)?)?;
    }
    Ok(read)
}

/// What differs from the state at `seq`, in the order of the digests.
pub(super) fn since(
    reading: &Connection,
    realms: &Realms,
    seq: i64,
    after: Option<KeyDigest>,
    batch: &mut Batch,
) -> Result<(), Unread> {
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let after = after.as_ref().map_or(&[][..], |digest| digest.as_bytes());
    let mut statement = reading.prepare_cached(&SINCE)?;
    let mut rows = statement.query(params![seq, after, most])?;
    let mut of = RealmOf::default();
    let mut last = None;
    while let Some(row) = rows.next()? {
        let changed: [u8; 32] = row.get(CHANGED)?;
        let digest = KeyDigest::from_bytes(changed);
        match readable(row, realms, &mut of)? {
            Some(record) => batch.records.push(record),
            None => batch.gone.push(digest),
        }
        last = Some(digest);
    }
    if batch.records.len() + batch.gone.len() == PAGE {
        batch.next = last;
    }
    Ok(())
}

/// The realms as a JSON array. A name of a realm holds no quote and no backslash.
fn names(realms: &Realms) -> Option<String> {
    let realms = realms.named()?;
    let names: Vec<String> = realms.iter().map(|realm| format!("\"{realm}\"")).collect();
    Some(format!("[{}]", names.join(",")))
}

/// The realm of the row before, which most rows share.
#[derive(Default)]
struct RealmOf(Option<Realm>);

impl RealmOf {
    fn read(&mut self, row: &Row<'_>) -> Option<&Realm> {
        let name = row.get_ref(REALM).ok()?.as_str().ok()?;
        if self.0.as_ref().is_none_or(|realm| realm.as_str() != name) {
            self.0 = name.parse().ok();
        }
        self.0.as_ref()
    }
}

/// The record of a row. `None` if there is no row, none that can be read, or one of another realm. Only an error of
/// SQLite itself is one.
fn readable(
    row: &Row<'_>,
    realms: &Realms,
    of: &mut RealmOf,
) -> Result<Option<Arc<KeyRecord>>, Unread> {
    let Some(realm) = of.read(row).filter(|realm| realms.contains(realm)) else {
        return Ok(None);
    };
    match record(row, realm) {
        Ok(record) => Ok(Some(record)),
        Err(Unread::Row(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
