//! The checksums of some buckets, by going through their records.

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};

use rusqlite::Connection;
use tower_api_key::replica::{Realms, Sums};
use tower_api_key::store::StoreErrorKind;

use super::changes;
use crate::place::Place;
use crate::read::Unread;

/// After how many rows it looks whether the answer is still wanted.
const ROWS: u32 = 1_024;

/// Whether the caller still waits for an answer.
#[derive(Clone)]
pub(super) struct Asked(Weak<()>);

impl Asked {
    /// Until this and its clones are dropped.
    pub(super) fn by(asking: &Arc<()>) -> Self {
        Self(Arc::downgrade(asking))
    }

    fn is_wanted(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// The sums of the state that is read.
pub(super) fn of(
    reading: &Connection,
    place: &Place,
    realms: &Realms,
    buckets: &RangeInclusive<u8>,
    asked: &Asked,
) -> Result<Sums, Unread> {
    let mut sums = Sums::new();
    let mut rows = 0_u32;
    changes::each_of(reading, realms, buckets, |record| {
        if let Some(record) = record {
            sums.add(&record);
        }
        rows = rows.wrapping_add(1);
        if rows.is_multiple_of(ROWS) && !asked.is_wanted() {
            let error = place.error(StoreErrorKind::Unavailable, "nobody waits for the sums");
            return Err(Unread::Row(error));
        }
        Ok(())
    })?;
    Ok(sums)
}
