//! Texts as a terminal may show them.

use tower_api_key::Escaped;

use crate::redact::redact;

/// A message in one line, which a terminal obeys in nothing, without keys and passwords.
pub(crate) fn one_line(text: &str) -> String {
    let line = redact(text);
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    Escaped(&line).to_string()
}

/// Whether a terminal shows this character as it is.
pub(crate) fn is_shown(character: char) -> bool {
    let shown = || Escaped(character.encode_utf8(&mut [0; 4])).to_string();
    character.is_ascii_graphic() || character == ' ' || shown().chars().eq([character])
}
