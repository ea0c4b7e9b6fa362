//! Header values as texts.

use http::HeaderMap;

/// All values of a header, in their order, if each of them is text.
pub(super) fn texts<'a>(headers: &'a HeaderMap, name: &str) -> Option<Vec<&'a str>> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().ok()).collect()
}
