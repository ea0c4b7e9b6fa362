//! A place in a list.

use std::fmt;
use std::str::FromStr;

use super::stored_place::StoredPlace;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::record::KeyRecord;
use crate::time::Timestamp;

/// A place in a list: after a record. It stays the same when that record is gone.
///
/// In a list [in any order](super::ListQuery::in_any_order) it may be a place of the store's own instead. It then has the
/// first of all ids, and a list in another order begins at its beginning.
///
/// As a text, to be kept between two requests, it is the id and the second of issue of that record:
///
/// ```
/// use tower_api_key::store::Cursor;
///
/// let place: Cursor = "AAAAAAAAAAAA-1800000000".parse()?;
/// assert_eq!(place.to_string(), "AAAAAAAAAAAA-1800000000");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
// The order is that of the fields: of the newest first, backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    issued_at: Timestamp,
    id: KeyId,
    stored: Option<StoredPlace>,
}

impl Cursor {
    /// After the record of this id, which was issued at this time.
    pub fn new(id: KeyId, issued_at: Timestamp) -> Self {
        Self {
            issued_at,
            id,
            stored: None,
        }
    }

    /// After this record.
    pub fn of(record: &KeyRecord) -> Self {
        Self::new(record.id(), record.issued_at())
    }

    /// A place in the order in which the store keeps the keys.
    pub(crate) const fn in_store(place: StoredPlace) -> Self {
        Self {
            issued_at: Timestamp::MAX,
            id: KeyId::FIRST,
            stored: Some(place),
        }
    }

    pub(crate) const fn stored(self) -> Option<StoredPlace> {
        self.stored
    }

    /// The id of the record.
    pub fn id(self) -> KeyId {
        self.id
    }

    /// When the record was issued.
    pub fn issued_at(self) -> Timestamp {
        self.issued_at
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(place) = text.parse() {
            return Ok(Self::in_store(place));
        }
        let invalid = || Error::from(ErrorKind::InvalidCursor);
        let (id, seconds) = text.split_once('-').ok_or_else(invalid)?;
        let is_number = seconds.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = seconds.parse().ok().filter(|_| is_number);
        let issued_at = Timestamp::from_unix(seconds.ok_or_else(invalid)?);
        Ok(Self::new(id.parse().map_err(|_| invalid())?, issued_at))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stored {
            Some(place) => write!(f, "{place}"),
            None => write!(f, "{}-{}", self.id, self.issued_at.as_unix()),
        }
    }
}

crate::parsed_text!(Cursor);
