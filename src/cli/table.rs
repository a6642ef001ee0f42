//! Columns for people.

use crate::vocab::text::printable;

/// Aligned columns with a head, two spaces between; the last column is not padded.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let clean: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell).into_owned()).collect()).collect();
    let width = |column: usize| {
        let cells = clean.iter().filter_map(|row| row.get(column)).map(|cell| console::measure_text_width(cell));
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: Vec<&str>| {
        let mut out = String::new();
        for (i, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            let pad = widths[i].saturating_sub(console::measure_text_width(cell)) + 2;
            out.extend(std::iter::repeat_n(' ', pad));
        }
        text.push_str(out.trim_end());
        text.push('\n');
    };
    line(head.to_vec());
    for row in &clean {
        line(row.iter().map(String::as_str).collect());
    }
    text
}
