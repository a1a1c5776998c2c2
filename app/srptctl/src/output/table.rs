//! Tables: a row of titles, columns aligned, nothing but spaces between them, so that awk and people can read them.

use comfy_table::{Attribute, CellAlignment, ContentArrangement, presets};

use super::harmless;

/// A table.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A column.
pub(crate) struct Column {
    title: &'static str,
    right: bool,
}

/// Text is on the left.
pub(crate) const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// Numbers are on the right.
pub(crate) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// What stands in a place of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// What colour says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tone {
    Plain,
    Good,
    Doubtful,
    Bad,
}

impl Cell {
    pub(crate) fn good(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), tone: Tone::Good }
    }

    pub(crate) fn doubtful(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), tone: Tone::Doubtful }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), tone: Tone::Bad }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: text.into(), tone: Tone::Plain }
    }
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Table {
        Table { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// As text; with a width, long texts are broken so that rows fit.
    pub(crate) fn render(&self, color: bool, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let title = |column: &Column| comfy_table::Cell::new(column.title).add_attribute(Attribute::Bold);
        table.set_header(self.columns.iter().map(title));
        for row in &self.rows {
            table.add_row(row.iter().map(cell));
        }
        for (index, column) in self.columns.iter().enumerate() {
            let Some(drawn) = table.column_mut(index) else { continue };
            drawn.set_padding((0, 2));
            drawn.set_cell_alignment(if column.right { CellAlignment::Right } else { CellAlignment::Left });
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

fn cell(cell: &Cell) -> comfy_table::Cell {
    // An empty place would shift the fields of a line for those who count them.
    let text = if cell.text.is_empty() { "-" } else { &cell.text };
    let drawn = comfy_table::Cell::new(harmless(text));
    match cell.tone {
        Tone::Plain => drawn,
        Tone::Good => drawn.fg(comfy_table::Color::Green),
        Tone::Doubtful => drawn.fg(comfy_table::Color::Yellow),
        Tone::Bad => drawn.fg(comfy_table::Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([left("NAME"), right("SIZE"), left("STATE")]);
        table.row(["disk01".into(), "1 GiB".into(), Cell::good("ready")]);
        table.row(["d".into(), "1000 MiB".into(), "".into()]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "NAME        SIZE  STATE\ndisk01     1 GiB  ready\nd       1000 MiB  -\n";
        assert_eq!(table().render(false, None), expected);
    }

    #[test]
    fn colours_are_there_only_if_wanted() {
        assert!(table().render(true, None).contains("\u{1b}[38;5;10mready"), "{:?}", table().render(true, None));
        assert!(!table().render(false, Some(80)).contains('\u{1b}'));
    }

    #[test]
    fn names_give_the_terminal_no_orders() {
        let mut table = Table::new([left("NAME")]);
        table.row(["a\u{1b}[2Jb\n".into()]);
        assert_eq!(table.render(false, None), "NAME\na\u{fffd}[2Jb\u{fffd}\n");
    }
}
