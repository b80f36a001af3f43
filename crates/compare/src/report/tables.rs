//! What a report says, in tables: what the terminal, Markdown and HTML have in common.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cells::{
    NONE, answers, delay_cells, format_number, interval, many_cells, median, memory_cell,
    postgres_sql_wait_cells, recovery, server_cpu, thousands,
};
use super::{BaselineResults, Report, Variant};

/// A table, of which every form makes its own.
pub(super) struct Table {
    pub(super) title: &'static str,
    /// What the columns mean, in a sentence or two.
    pub(super) about: Cow<'static, str>,
    /// The first column has names, the others have figures.
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Report {
    pub(super) fn tables(&self) -> Vec<Table> {
        let tables = [
            self.requests(),
            self.many_connections_table(),
            self.bytes(),
            self.revocation(),
            self.sign_ins(),
            self.footprints(),
            self.outages(),
            self.nodes(),
        ];
        tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
    }

    fn of_one_node(&self) -> impl Iterator<Item = &Variant> {
        self.variants.iter().filter(|variant| variant.nodes == 1)
    }

    fn requests(&self) -> Table {
        let bare = self.bare.iter().map(bare_row);
        let variants = self.of_one_node().map(|variant| {
            vec![
                variant.name.clone(),
                format_number(variant.requests_per_second, 0),
                format_number(variant.p50_ms, 2),
                format_number(variant.p99_ms, 2),
                format_number(variant.server_cpu_us, 1),
                interval(variant.intervals.server_cpu_ratio),
                format_number(variant.postgres_cpu_us, 1),
                format_number(variant.sql_per_request, 2),
                variant.bytes_sent.to_string(),
                variant.bytes_received.to_string(),
            ]
        });
        Table {
            title: "What a request costs",
            about: "“Who am I”, asked by somebody who is signed in. Requests/s: as fast as it goes, each node on one core. p50 and p99: at a fixed \
                    rate that all keep up with, timed from when a request was due. CPU: of the server's processes, and as a multiple of \
                    what a bare actix handler takes in the same round to give an answer with as long a body, with the interval that holds the \
                    true median in 95 of 100 runs. What a node remembers is found here, as each variant shows few credentials again and \
                    again; “off” verifies each token's signature each time, “feed” remembers those that it has verified.".into(),
            columns: vec![
                "variant",
                "requests/s",
                "p50 ms",
                "p99 ms",
                "server CPU µs",
                "× bare (95 %)",
                "Postgres CPU µs",
                "SQL",
                "bytes sent",
                "received",
            ],
            rows: bare.chain(variants).collect(),
        }
    }

    fn many_connections_table(&self) -> Table {
        let few = self.environment.connections;
        let many_connections = self.bare.iter().find_map(|bare| bare.many_connections);
        let bare = self.bare.iter().filter_map(|bare| {
            let many_connections = bare.many_connections?;
            let few = [median(bare.server_cpu_us, 1), "1.00".to_owned()];
            Some(many_cells("bare handler", few, many_connections, "1.00".to_owned()))
        });
        let variants = self.of_one_node().filter_map(|variant| {
            let many_connections = variant.many_connections?;
            let few = [format_number(variant.server_cpu_us, 1), interval(variant.intervals.server_cpu_ratio)];
            Some(many_cells(
                &variant.name,
                few,
                many_connections,
                interval(many_connections.server_cpu_ratio),
            ))
        });
        Table {
            title: "Few connections, and many",
            about: format!(
                "The same request over {few} connections (few), where most of the time system calls are what is paid for, by a bare handler as \
                 well as by a service; and over {} (many), where one of them serves several requests, and what a service adds shows.",
                many_connections.map_or(0, |many_connections| many_connections.connections)
            )
            .into(),
            columns: vec![
                "variant",
                "few: server CPU µs",
                "× bare (95 %)",
                "many: requests/s",
                "server CPU µs",
                "× bare (95 %)",
            ],
            rows: bare.chain(variants).collect(),
        }
    }

    fn bytes(&self) -> Table {
        let headers = |sizes: &BTreeMap<String, usize>| {
            let postgres_sql_wait_cells =
                sizes.iter().filter(|(name, _)| *name != "body" && !is_credential(name));
            postgres_sql_wait_cells.map(|(_, size)| size).sum::<usize>().to_string()
        };
        let credential = |variant: &Variant| {
            let shown = variant.bytes.sent.iter().find(|(name, _)| is_credential(name));
            shown.map_or_else(|| NONE.to_owned(), |(name, size)| format!("{size} ({name})"))
        };
        let body =
            |variant: &Variant| variant.bytes.received.get("body").copied().unwrap_or_default().to_string();
        Table {
            title: "Where the bytes are",
            about: "Of one request and its answer. comparison.json has each header.".into(),
            columns: vec![
                "variant",
                "credential",
                "the rest of the request",
                "head of the answer",
                "its body",
            ],
            rows: self
                .of_one_node()
                .map(|variant| {
                    let postgres_sql_wait_cells = headers(&variant.bytes.sent);
                    let head = headers(&variant.bytes.received);
                    vec![
                        variant.name.clone(),
                        credential(variant),
                        postgres_sql_wait_cells,
                        head,
                        body(variant),
                    ]
                })
                .collect(),
        }
    }

    fn revocation(&self) -> Table {
        let known =
            self.of_one_node().filter_map(|variant| Some((variant, variant.revocation_delay_ms.as_ref()?)));
        Table {
            title: "How long a credential lives on after its logout was acknowledged",
            about: "Found by showing it all the time while somebody logs out, on the node that was told and on another. 0.0: the \
                    first request that was sent after the acknowledgement was refused. “Until it expires”: none was refused while anybody \
                    looked, and the figure is what was left of its life; “>”: somebody looked for so long.".into(),
            columns: vec![
                "variant",
                "logouts",
                "same node: median",
                "p99",
                "worst",
                "other node: median",
                "p99",
                "worst",
            ],
            rows: known
                .map(|(variant, delay)| {
                    let count = delay.same_node.samples.len().to_string();
                    let other = delay.other_node.as_ref().map_or_else(|| [NONE; 3].map(str::to_owned), delay_cells);
                    let cells =
                        [variant.name.clone(), count].into_iter().chain(delay_cells(&delay.same_node)).chain(other);
                    cells.collect()
                })
                .collect(),
        }
    }

    fn sign_ins(&self) -> Table {
        let known = self.of_one_node().filter(|variant| variant.login.is_some());
        Table {
            title: "What it costs to sign in, and to refresh",
            about: "One after the other, with nobody else there, some in each of several rounds. Signing in is dear on purpose: the password hash is most of \
                    it, in every mode. What Postgres does by itself is left out; “–”: it was more than this.".into(),
            columns: vec![
                "variant",
                "login: server CPU ms (95 %)",
                "Postgres CPU µs",
                "SQL",
                "wait ms",
                "refresh: server CPU µs (95 %)",
                "Postgres CPU µs",
                "SQL",
                "wait ms",
            ],
            rows: known
                .map(|variant| {
                    let (login, refresh) =
                        (variant.login.unwrap_or_default(), variant.refresh.unwrap_or_default());
                    let [login_cpu, refresh_cpu] = [(login, 1e3, 1), (refresh, 1.0, 0)]
                        .map(|(cost, unit, digits)| server_cpu(cost, unit, digits));
                    let cells = [variant.name.clone(), login_cpu].into_iter().chain(postgres_sql_wait_cells(login));
                    cells.chain([refresh_cpu]).chain(postgres_sql_wait_cells(refresh)).collect()
                })
                .collect(),
        }
    }

    fn footprints(&self) -> Table {
        let known = self
            .of_one_node()
            .flat_map(|variant| variant.footprint.iter().map(move |weight| (variant, weight)));
        Table {
            title: "What a live login weighs",
            about: "In a server's memory once it has been used, and on Postgres' disk with everything that is written down about it. A server's memory comes and \
                    goes by some MiB whatever it keeps: where it grew by less than four, only what a login weighs at most is known.".into(),
            columns: vec!["variant", "logins", "memory, bytes each", "disk, bytes each"],
            rows: known
                .map(|(variant, weight)| {
                    let logins = thousands(weight.logins.to_string());
                    let disk = format_number(weight.disk_bytes_per_login, 0);
                    vec![variant.name.clone(), logins, memory_cell(weight), disk]
                })
                .collect(),
        }
    }

    fn outages(&self) -> Table {
        let known = self.of_one_node().filter_map(|variant| Some((variant, variant.outage.as_ref()?)));
        Table {
            title: "While Postgres is away",
            about: "What is answered to somebody who is signed in, from when Postgres is told to stop; and how long it takes, from when \
                    Postgres takes connections again, until all is as before: each is asked every 20 ms, and one that answered all the time \
                    has nothing to recover from.".into(),
            columns: vec!["variant", "answers", "recovery ms"],
            rows: known
                .map(|(variant, outage)| vec![variant.name.clone(), answers(outage), recovery(outage)])
                .collect(),
        }
    }

    fn nodes(&self) -> Table {
        let shared: Vec<_> = self.variants.iter().filter(|variant| variant.nodes > 1).collect();
        let is_shared = |one: &&Variant| {
            shared.iter().any(|many_connections| many_connections.name.starts_with(&format!("{},", one.name)))
        };
        let alone: Vec<_> = self.of_one_node().filter(is_shared).collect();
        Table {
            title: "More nodes",
            about: "The same requests, spread over several nodes on one Postgres. What a request costs is what has to stay as it is; \
                    how many a second there are depends on how many cores there are.".into(),
            columns: vec![
                "variant",
                "nodes",
                "requests/s",
                "p99 ms",
                "× bare (95 %)",
                "Postgres CPU µs",
                "SQL",
            ],
            rows: alone
                .into_iter()
                .chain(shared)
                .map(|variant| {
                    vec![
                        variant.name.clone(),
                        variant.nodes.to_string(),
                        format_number(variant.requests_per_second, 0),
                        format_number(variant.p99_ms, 2),
                        interval(variant.intervals.server_cpu_ratio),
                        format_number(variant.postgres_cpu_us, 1),
                        format_number(variant.sql_per_request, 2),
                    ]
                })
                .collect(),
        }
    }
}

fn is_credential(header: &str) -> bool {
    ["authorization", "cookie"].contains(&header)
}

fn bare_row(bare: &BaselineResults) -> Vec<String> {
    let rate = bare.requests_per_second.map(|rate| rate.median);
    let cpu = bare.server_cpu_us.map(|cpu| cpu.median);
    let none = || NONE.to_owned();
    let waits = [format_number(bare.latency.p50, 2), format_number(bare.latency.p99, 2)];
    let [p50, p99] = waits;
    vec![
        "bare handler".to_owned(),
        format_number(rate, 0),
        p50,
        p99,
        format_number(cpu, 1),
        "1.00".to_owned(),
        none(),
        none(),
        none(),
        none(),
    ]
}
