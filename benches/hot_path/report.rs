//! Medians, and the table of them.

use std::fmt::Write;

/// CPU of one slice, in microseconds for each request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) server: f64,
    pub(crate) postgres: f64,
}

/// A line of the table.
pub(crate) struct Row {
    pub(crate) name: String,
    /// The row that it is compared with.
    pub(crate) base: usize,
    /// Whether Postgres' own CPU is of interest.
    pub(crate) asks_postgres: bool,
    /// Of a whole response.
    pub(crate) bytes: usize,
}

/// One sample of each row in each round. A ratio is taken within its round, since rounds differ.
pub(crate) fn table(rows: &[Row], rounds: &[Vec<Sample>]) -> String {
    let mut text = format!(
        "{:<34}{:>9}{:>8}{:>15}  {:<12}{:>7}{:>13}",
        "variant", "CPU us", "ratio", "(middle half)", "to", "bytes", "Postgres us"
    );
    for (at, row) in rows.iter().enumerate() {
        let server = Quartiles::of(rounds.iter().map(|round| round[at].server));
        let postgres = Quartiles::of(rounds.iter().map(|round| round[at].postgres));
        let ratio = Quartiles::of(rounds.iter().map(|round| round[at].server / round[row.base].server));
        let spread = format!("{:.2} - {:.2}", ratio.low, ratio.high);
        let postgres = if row.asks_postgres { format!("{:.1}", postgres.median) } else { String::new() };
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n{:<34}{:>9.2}{:>8.2}{:>15}  {:<12}{:>7}{:>13}",
            row.name, server.median, ratio.median, spread, rows[row.base].name, row.bytes, postgres
        );
    }
    text
}

struct Quartiles {
    low: f64,
    median: f64,
    high: f64,
}

impl Quartiles {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let last = sorted.len().saturating_sub(1);
            sorted.get((last * quarter + 2) / 4).copied().unwrap_or(f64::NAN)
        };
        Self { low: at(1), median: at(2), high: at(3) }
    }
}
