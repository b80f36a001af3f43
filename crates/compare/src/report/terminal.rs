//! Renders a report as plain text for a terminal.

use super::Report;
use super::tables::Table;

impl Report {
    /// Summary, conditions, warnings, and aligned tables.
    pub fn to_text(&self) -> String {
        let conditions = self.conditions();
        let width = conditions.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut text: String = self.summary().iter().map(|sentence| format!("{sentence}\n\n")).collect();
        text.extend(conditions.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")));
        for warning in &self.environment.warnings {
            text += &format!("\nWarning: {warning}\n");
        }
        self.tables().iter().fold(text, |text, table| text + "\n" + &lines(table))
    }
}

fn lines(table: &Table) -> String {
    let head: Vec<String> = table.columns.iter().map(|column| (*column).to_owned()).collect();
    let rows: Vec<&Vec<String>> = std::iter::once(&head).chain(&table.rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        // Names are left-aligned, figures right-aligned.
        let cells = cells.map(|(at, (cell, width))| match at {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}\n{body}", table.title)
}
