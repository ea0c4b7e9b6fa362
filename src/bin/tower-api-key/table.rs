//! Aligned columns.

use std::fmt::Write;

use tower_api_key::Escaped;

/// How a cell is shown on a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Strong,
    Good,
    Bad,
    Waning,
}

pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// What a store holds is not ours: no character of it that a terminal obeys gets there.
    pub(crate) fn new(text: &str, style: Style) -> Self {
        let text = Escaped(text).to_string();
        Self { text, style }
    }

    pub(crate) fn plain(text: &str) -> Self {
        Self::new(text, Style::Plain)
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Lines of cells, each column as wide as its widest, the last as it is.
pub(crate) fn aligned(rows: &[Vec<Cell>], colours: bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(Cell::width).max().unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let shown = painted(cell, colours);
            let padding = width - cell.width() + 2;
            // Writing to a `String` cannot fail.
            let _ = write!(line, "{shown}{:padding$}", "");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn painted(cell: &Cell, colours: bool) -> String {
    let code = match cell.style {
        Style::Plain => None,
        Style::Strong => Some(1),
        Style::Bad => Some(31),
        Style::Good => Some(32),
        Style::Waning => Some(33),
    };
    match code.filter(|_| colours) {
        Some(code) => format!("\x1b[{code}m{}\x1b[0m", cell.text),
        None => cell.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec![Cell::plain("a"), Cell::plain("bé"), Cell::plain("c")],
            vec![Cell::plain("aaaa"), Cell::plain("b\x1b"), Cell::plain("")],
        ];
        assert_eq!(aligned(&rows, true), "a     bé       c\naaaa  b\\u{1b}\n");
    }

    #[test]
    fn colours_are_for_those_who_want_them() {
        let rows = [vec![Cell::new("live", Style::Good)]];
        assert_eq!(aligned(&rows, false), "live\n");
        assert_eq!(aligned(&rows, true), "\x1b[32mlive\x1b[0m\n");
    }
}
