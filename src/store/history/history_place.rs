//! A place in a history.

use std::fmt;
use std::str::FromStr;

use ecow::EcoString;

use crate::error::{Error, ErrorKind};

/// The place of an entry in a history: its name, which no other entry of the store has, and where the next page
/// begins. Only the store that gave it can read it.
///
/// ```
/// use tower_api_key::{ErrorKind, store::HistoryPlace};
///
/// let place: HistoryPlace = "1800000000-12-9f3a".parse()?;
/// assert_eq!(place.to_string(), "1800000000-12-9f3a");
/// let error = "after this one".parse::<HistoryPlace>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidCursor);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryPlace(EcoString);

impl HistoryPlace {
    /// The longest place, in bytes.
    pub const MAX_LEN: usize = 128;

    /// That of the entry with this number.
    pub(in crate::store) fn numbered(number: u64) -> Self {
        Self(ecow::eco_format!("{number}"))
    }

    /// The place as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HistoryPlace {
    type Err = Error;

    /// `[0-9A-Za-z-]`, at least one and at most 128 of them.
    fn from_str(text: &str) -> Result<Self, Error> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(is_part) {
            Ok(Self(text.into()))
        } else {
            Err(ErrorKind::InvalidCursor.into())
        }
    }
}

impl fmt::Display for HistoryPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

crate::text_type!(HistoryPlace);
