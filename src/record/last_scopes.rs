//! The scopes of rows that are read one after the other.

use std::cell::Cell;

use crate::access::scope_set::ScopeSet;
use crate::error::Error;

thread_local! {
    /// The scopes of the row that this thread read last.
    static LAST: Cell<ScopeSet> = const { Cell::new(ScopeSet::empty()) };
}

/// The scopes of a row's text. Most keys of a ring have one of few sets: if it is that of the last row, it is not
/// parsed again, and the two records share it. A set has one text, so that equal texts are equal sets.
pub(super) fn scopes_of_row(text: &str) -> Result<ScopeSet, Error> {
    let shared = LAST.try_with(|last| {
        let mut scopes = last.take();
        if scopes.as_str() != text {
            scopes = text.parse()?;
        }
        last.set(scopes.clone());
        Ok(scopes)
    });
    // A thread that ends keeps nothing any more.
    shared.unwrap_or_else(|_| text.parse())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn r03_a_row_has_the_scopes_of_its_own_text() {
        let texts = [
            "",
            "read",
            "read",
            "read write",
            "read",
            "",
            "write",
            "writf",
            "write read",
            "read write",
            "a read",
            "rea",
        ];
        for text in texts {
            let scopes = scopes_of_row(text).unwrap();
            assert_eq!(scopes, text.parse().unwrap(), "{text:?}");
            for scope in ["a", "rea", "read", "write", "writf"] {
                let expected = text.split(' ').any(|word| word == scope);
                assert_eq!(scopes.contains(scope), expected, "{text:?} {scope}");
            }
        }
    }

    #[test]
    fn r03_a_text_that_is_no_set_is_refused_after_any_other() {
        for before in ["", "read", "read write"] {
            for text in ["read ", " ", "read  write", "read\"", "read\nwrite"] {
                scopes_of_row(before).unwrap();
                for _ in 0..2 {
                    let error = scopes_of_row(text).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::InvalidScope, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn equal_scopes_of_two_rows_are_shared() {
        let one = scopes_of_row("read write").unwrap();
        let other = scopes_of_row("read write").unwrap();
        assert!(std::ptr::eq(one.as_str(), other.as_str()));
    }
}
