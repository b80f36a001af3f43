//! Where and how a report was measured.

use super::Report;
use super::cells::{NONE, format_number};

impl Report {
    /// Where and how it was measured, a line for each.
    pub(super) fn conditions(&self) -> Vec<(&'static str, String)> {
        let environment = &self.environment;
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        let memory = environment.memory_bytes.map(|bytes| bytes as f64 / f64::from(1 << 30));
        let cores = format!(
            "{} for servers, {} for the load and Postgres",
            environment.server_cores, environment.load_cores
        );
        let generator = match (self.generator.requests_per_second, self.generator.cpu_us) {
            (Some(most), Some(cpu)) => {
                format!("{} requests/s at most, {cpu:.1} µs of CPU each", format_number(Some(most), 0))
            }
            _ => NONE.to_owned(),
        };
        let url = environment.url.iter().map(|url| ("Server", url.to_string()));
        let (cores, postgres) = match environment.url {
            Some(_) => [NONE, NONE].map(str::to_owned).into(),
            None => (cores, or_none(&environment.postgres)),
        };
        let lines = vec![
            ("When", environment.at.format("%Y-%m-%d %H:%M UTC").to_string()),
            (
                "What",
                format!(
                    "dualauth {}{}",
                    environment.version,
                    if environment.optimised { "" } else { ", not optimised" }
                ),
            ),
            (
                "Machine",
                format!(
                    "{}, {} GiB, {}",
                    or_none(&environment.processor),
                    format_number(memory, 1),
                    environment.system
                ),
            ),
            ("Cores", cores),
            ("Postgres", postgres),
            ("How", self.procedure()),
            ("Load generator", generator),
        ];
        url.chain(lines).collect()
    }

    fn procedure(&self) -> String {
        let environment = &self.environment;
        let many = self.bare.iter().find_map(|bare| bare.many_connections);
        let many = many.map_or_else(String::new, |many| format!(", and over {}", many.connections));
        format!(
            "{}: {} rounds of {} ms of each, in turn, over {} connections to each node{many}; {:.0} requests/s at the fixed rate; {:.0} s in all",
            environment.profile,
            environment.rounds,
            environment.slice_ms,
            environment.connections,
            environment.fixed_rate,
            environment.seconds
        )
    }
}
