//! The texts of a record, and their limits.

use std::collections::BTreeMap;

use super::KeyRecordParts;
use crate::access::text::is_plain;
use crate::error::{Error, ErrorKind};

const MAX_SUBJECT_LEN: usize = 256;
const MAX_LABEL_LEN: usize = 256;
const MAX_METADATA_LEN: usize = 8 * 1024;

/// Checks for a store whose records people write. A ring checks the keys that it issues by itself.
impl KeyRecordParts {
    /// Whether a text can say whose key it is: 1 to 256 bytes without control and format characters, and
    /// no `=` at the start.
    ///
    /// ```
    /// use tower_api_key::{ErrorKind, KeyRecordParts};
    ///
    /// assert!(KeyRecordParts::check_subject("alice").is_ok());
    /// let error = KeyRecordParts::check_subject("").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidSubject);
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidSubject`] if it cannot.
    pub fn check_subject(text: &str) -> Result<(), Error> {
        if (1..=MAX_SUBJECT_LEN).contains(&text.len()) && is_plain(text) {
            Ok(())
        } else {
            Err(ErrorKind::InvalidSubject.into())
        }
    }

    /// Whether every store can hold this description of a key: a label of at most 256 bytes without
    /// control and format characters, and metadata of at most 8 KiB without U+0000.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMetadata`] if one cannot.
    pub fn check_description(
        label: Option<&str>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let texts = || {
            metadata
                .iter()
                .flat_map(|(name, value)| [name.as_str(), value])
        };
        let fits = label.is_none_or(|label| label.len() <= MAX_LABEL_LEN && is_plain(label))
            && texts().all(|text| !text.contains('\0'))
            && texts().map(str::len).sum::<usize>() <= MAX_METADATA_LEN;
        if fits {
            Ok(())
        } else {
            Err(ErrorKind::InvalidMetadata.into())
        }
    }
}
