//! Text that a terminal or a spreadsheet obeys instead of showing it.

/// The format characters of Unicode (general category `Cf`) and the two separators of lines and of
/// paragraphs: they are not shown, and change how the text around them is.
const FORMAT: [(char, char); 22] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
    // Not assigned, and ignored by renderers.
    ('\u{2065}', '\u{2065}'),
];

/// Whether a terminal may obey a character instead of showing it: a control character (C0, DEL, C1),
/// a format character, bidirectional controls among them, or a separator of lines.
pub(crate) fn is_obeyed(character: char) -> bool {
    character.is_control()
        || (!character.is_ascii()
            && FORMAT
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&character)))
}

/// Whether a text can be shown as it is: no character of it is obeyed by a terminal, and a
/// spreadsheet does not take it for a formula.
pub(crate) fn is_plain(text: &str) -> bool {
    // Stores read subjects at every request, and most are ASCII.
    let is_shown = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    !text.starts_with('=') && (is_shown || !text.chars().any(is_obeyed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::escaped::Escaped;

    #[test]
    fn r36_what_a_terminal_or_a_spreadsheet_obeys_is_escaped() {
        for (text, shown) in [
            ("", ""),
            (
                "a=b 'c' \"d\" \\ é 漢 \u{301}",
                "a=b 'c' \"d\" \\ é 漢 \u{301}",
            ),
            ("=1+1", r"\u{3d}1+1"),
            ("\u{0}\t\n\r\u{1b}[31m", r"\u{0}\u{9}\u{a}\u{d}\u{1b}[31m"),
            ("\u{7f}\u{80}\u{9b}2J\u{9f}", r"\u{7f}\u{80}\u{9b}2J\u{9f}"),
            (
                "a\u{202e}b\u{2066}c\u{200b}d\u{feff}",
                r"a\u{202e}b\u{2066}c\u{200b}d\u{feff}",
            ),
            ("\u{2028}\u{2029}\u{e0041}", r"\u{2028}\u{2029}\u{e0041}"),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
            assert_eq!(is_plain(text), text == shown, "{shown}");
        }
    }
}
