//! Header values that the process keeps.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;

use crate::support::kept::kept;

/// Keeps header values for the lifetime of the process, once for all callers with the same texts. A clone of one counts no
/// reference, so threads that answer at once write nothing in common. A text that is no header value becomes an empty one.
///
/// It is for texts that the program configures, which are few.
pub(crate) fn kept_values(texts: Vec<String>) -> &'static [HeaderValue] {
    static KEPT: Mutex<BTreeMap<Vec<String>, &[HeaderValue]>> = Mutex::new(BTreeMap::new());
    let mut known = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(values) = known.get(&texts) {
        return values;
    }
    let values: &[HeaderValue] = Vec::leak(texts.iter().cloned().map(kept_value).collect());
    known.insert(texts, values);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_once() {
        let texts = || vec!["ApiKey realm=\"kept\"".to_owned(), "a\nb".to_owned()];
        let values = kept_values(texts());
        assert!(std::ptr::eq(values, kept_values(texts())));
        assert_eq!(values, ["ApiKey realm=\"kept\"", ""]);
    }
}
