//! What the process keeps. A clone of it counts no reference, so threads that answer at once write nothing in common.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;

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

/// The same for header values. A text that is none becomes an empty value.
pub(crate) fn kept_values(texts: Vec<String>) -> &'static [HeaderValue] {
    static KEPT: Mutex<BTreeMap<Vec<String>, &'static [HeaderValue]>> = Mutex::new(BTreeMap::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(&texts) {
        return known;
    }
    let values = texts.iter().cloned().map(kept_value).collect();
    let values: &'static [HeaderValue] = Vec::leak(values);
    kept.insert(texts, values);
    values
}

/// The same for one.
pub(crate) fn kept_value(text: String) -> HeaderValue {
    if HeaderValue::from_str(&text).is_ok() {
        HeaderValue::from_static(kept(text))
    } else {
        HeaderValue::from_static("")
    }
}
