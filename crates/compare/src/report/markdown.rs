//! Renders a report as Markdown.

use super::Report;
use super::tables::Table;

impl Report {
    /// The report as Markdown, like `docs/comparison.md`.
    pub fn to_markdown(&self) -> String {
        let mut text = "# Sessions and JWTs, measured\n\nMeasured by `dualauth compare` on the machine that is described here. Figures differ between \
                        machines: run it on yours.\n\n"
            .to_owned();
        let found: String = self.summary().iter().map(|sentence| format!("- {sentence}\n")).collect();
        if !found.is_empty() {
            text += &format!("## Summary\n\n{found}\n## The run\n\n");
        }
        for (name, value) in self.conditions() {
            text += &format!("- **{name}**: {value}\n");
        }
        for warning in &self.environment.warnings {
            text += &format!("\n> **Warning.** {warning}\n");
        }
        self.tables().iter().fold(text, |text, table| text + "\n" + &section(table))
    }
}

fn section(table: &Table) -> String {
    let row = |cells: &mut dyn Iterator<Item = &str>| {
        format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
    };
    let head = row(&mut table.columns.iter().copied());
    let rule = row(&mut table.columns.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "--:" }));
    let body: String = table.rows.iter().map(|cells| row(&mut cells.iter().map(String::as_str))).collect();
    format!("## {}\n\n{}\n\n{head}{rule}{body}", table.title, table.about)
}
