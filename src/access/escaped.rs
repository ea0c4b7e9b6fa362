//! A text as a terminal may show it.

use std::fmt::{self, Write as _};

use super::text::is_obeyed;

/// A text that did not come from this program, as it may be shown on a terminal: each character that
/// a terminal may obey is written as `\u{…}`.
///
/// Control characters (C0, DEL and C1), the format characters of Unicode, bidirectional controls among
/// them, and the separators of lines and paragraphs are escaped. A `=` at the start, which makes a
/// spreadsheet read a formula, is escaped too.
///
/// A [`Subject`](crate::Subject) and a [`Label`](crate::Label) hold none of them. Metadata may.
///
/// ```
/// use tower_api_key::Escaped;
///
/// assert_eq!(Escaped("alice\u{1b}[2J").to_string(), r"alice\u{1b}[2J");
/// assert_eq!(Escaped("Ålice").to_string(), "Ålice");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, character) in self.0.char_indices() {
            if is_obeyed(character) || (place == 0 && character == '=') {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
