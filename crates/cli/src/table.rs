//! Aligned columns.

use std::fmt::Write;

use tower_api_key::Escaped;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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
        self.text.width()
    }

    /// Leaves no more than so many columns, the last of them for the mark that something is gone.
    fn cut(&mut self, columns: usize) {
        if self.width() <= columns {
            return;
        }
        let mut left = columns.saturating_sub(1);
        let end = self.text.char_indices().find(|(_, character)| {
            let width = character.width().unwrap_or_default();
            let fits = width <= left;
            left = left.saturating_sub(width);
            !fits
        });
        if let Some((end, _)) = end {
            self.text.truncate(end);
        }
        self.text.push('\u{2026}');
    }
}

/// No column is cut to less than this.
const NARROWEST: usize = 6;

/// Lines of cells that fit into so many columns of a terminal, if any: of these columns of the table,
/// the widest are cut first.
pub(crate) fn fitted(
    mut rows: Vec<Vec<Cell>>,
    elastic: &[usize],
    columns: Option<usize>,
    colours: bool,
) -> String {
    if let Some(columns) = columns {
        let mut widths = widths(&rows);
        let total = |widths: &[usize]| widths.iter().map(|width| width + 2).sum::<usize>();
        while total(&widths) > columns + 2 {
            let candidates = elastic.iter().copied().filter(|at| *at < widths.len());
            let Some(widest) = candidates
                .max_by_key(|at| widths[*at])
                .filter(|at| widths[*at] > NARROWEST)
            else {
                break;
            };
            widths[widest] -= 1;
        }
        for row in &mut rows {
            for (cell, width) in row.iter_mut().zip(&widths) {
                cell.cut(*width);
            }
        }
    }
    aligned(&rows, colours)
}

fn widths(rows: &[Vec<Cell>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(Cell::width).max().unwrap_or_default()
        })
        .collect()
}

/// Lines of cells, each column as wide as its widest, the last as it is.
pub(crate) fn aligned(rows: &[Vec<Cell>], colours: bool) -> String {
    let widths = widths(rows);
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
    fn wide_characters_take_two_columns_and_combining_ones_none() {
        let rows = [
            vec![Cell::plain("漢字"), Cell::plain("a")],
            vec![Cell::plain("e\u{301}"), Cell::plain("b")],
        ];
        assert_eq!(aligned(&rows, false), "漢字  a\ne\u{301}     b\n");
    }

    #[test]
    fn a_table_fits_the_terminal_by_cutting_the_widest_of_its_elastic_columns() {
        let rows = || {
            vec![
                vec![Cell::plain("0123456789Ab"), Cell::plain("read write admin")],
                vec![Cell::plain("id"), Cell::plain("漢字漢字漢字漢字")],
            ]
        };
        let uncut = "0123456789Ab  read write admin\nid            漢字漢字漢字漢字\n";
        for columns in [None, Some(30), Some(1000)] {
            assert_eq!(fitted(rows(), &[1], columns, false), uncut);
        }
        assert_eq!(
            fitted(rows(), &[1], Some(24), false),
            "0123456789Ab  read writ…\nid            漢字漢字…\n"
        );
        let narrowest = "0123456789Ab  read …\nid            漢字…\n";
        assert_eq!(fitted(rows(), &[1], Some(1), false), narrowest);
        assert_eq!(fitted(rows(), &[], Some(1), false), uncut);
    }

    #[test]
    fn colours_are_for_those_who_want_them() {
        let rows = [vec![Cell::new("live", Style::Good)]];
        assert_eq!(aligned(&rows, false), "live\n");
        assert_eq!(aligned(&rows, true), "\x1b[32mlive\x1b[0m\n");
    }
}
