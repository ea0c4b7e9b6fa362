//! Another label, other metadata.

use std::sync::Arc;

use super::{Change, Description, Write};
use crate::record::KeyRecord;

/// The record with the label and the metadata of the description, and all else as it is; `None` if it
/// has them.
///
/// It judges neither the state of the key nor a time, because it changes no authority.
pub(crate) fn describe(
    record: &KeyRecord,
    description: &Description,
) -> Option<(Arc<KeyRecord>, Change)> {
    let label = description.label_over(record.label());
    let metadata = description.metadata_over(record.metadata());
    if label == record.label() && metadata == record.metadata() {
        return None;
    }
    let write = Write::next(record, |parts| {
        parts.label = label.cloned();
        parts.metadata = metadata.clone();
    });
    let described = Arc::clone(&write.record);
    Some((described, Change::new(vec![write])))
}
