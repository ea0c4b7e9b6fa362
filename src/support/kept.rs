//! Texts that the process keeps.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Keeps a text for the lifetime of the process, once for all callers with the same text. It is for texts that the
/// program configures, which are few.
pub(crate) fn kept(text: String) -> &'static &'static str {
    static KEPT: Mutex<BTreeMap<&str, &'static &'static str>> = Mutex::new(BTreeMap::new());
    let mut texts = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text.as_str()) {
        return known;
    }
    let text: &'static str = String::leak(text);
    let place: &'static &'static str = Box::leak(Box::new(text));
    texts.insert(text, place);
    place
}
