//! The section of a report about the run: machine, build and procedure.

use super::Report;
use super::cells::{NONE, format_number};

impl Report {
    /// Name and value of each line.
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
                format!("at most {} requests/s, {cpu:.1} µs of CPU each", format_number(Some(most), 0))
            }
            _ => NONE.to_owned(),
        };
        let url = environment.url.iter().map(|url| ("Server", url.to_string()));
        let (cores, postgres) = match environment.url {
            Some(_) => [NONE, NONE].map(str::to_owned).into(),
            None => (cores, or_none(&environment.postgres)),
        };
        let lines = vec![
            ("Date", environment.at.format("%Y-%m-%d %H:%M UTC").to_string()),
            (
                "Version",
                format!(
                    "dualauth {}{}",
                    environment.version,
                    if environment.optimised { "" } else { ", compiled without optimisations" }
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
            ("Procedure", self.procedure()),
            ("Load generator", generator),
        ];
        url.chain(lines).collect()
    }

    fn procedure(&self) -> String {
        let environment = &self.environment;
        let many = self.bare.iter().find_map(|bare| bare.many_connections);
        let many = many.map_or_else(String::new, |many| format!(", and over {}", many.connections));
        format!(
            "{}: {} interleaved rounds of {} ms per variant, over {} connections to each node{many}; fixed rate {:.0} requests/s; {:.0} s in total",
            environment.profile,
            environment.rounds,
            environment.slice_ms,
            environment.connections,
            environment.fixed_rate,
            environment.seconds
        )
    }
}
