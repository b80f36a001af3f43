//! The tables of a report, which terminal, Markdown and HTML render.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cells::{
    NONE, answers, delay_cells, format_number, interval, many_cells, median, memory_cell,
    postgres_sql_wait_cells, recovery, server_cpu, thousands,
};
use super::{ActionCost, BaselineResults, Report, Variant};

/// A table, independent of the format.
pub(super) struct Table {
    pub(super) title: &'static str,
    /// Explains the columns.
    pub(super) about: Cow<'static, str>,
    /// The first column has names, the others figures.
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
            self.second_factors(),
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
            title: "Cost of a request",
            about: "`GET /profile` by a signed-in user. Requests/s: closed loop, each node on one core. p50 and p99: \
                    latency at a fixed rate that all variants sustain, from the time at which a request was due. CPU: of \
                    the server's processes, and as a multiple of what a bare actix handler with a response body of the \
                    same length takes in the same round, with the 95 % confidence interval of the median. Caches of a \
                    node are always warm here, since each variant uses few credentials again and again: “off” verifies \
                    each token's signature with each request, “feed” caches tokens that it has verified.".into(),
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
            title: "Few and many connections",
            about: format!(
                "The same request over {few} connections (few), where system calls are most of the cost, for a bare \
                    handler as well as for a service; and over {} (many), where one system call serves several requests, \
                    so that the service's own work is a larger part.",
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
            title: "Bytes per request",
            about: "Sizes of one request and its response. comparison.json has each header.".into(),
            columns: vec!["variant", "credential", "rest of the request", "response head", "response body"],
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
            title: "Revocation delay after logout",
            about: "How long a credential is accepted after the acknowledgement of its logout, on the node that handled \
                    the logout, on another, and in another service that verifies tokens by itself and follows that other node \
                    (“off”: does not follow): it is used continuously meanwhile. 0.0: the first request that was sent \
                    after the acknowledgement was refused. “Until it expires”: none was refused within the watch time, \
                    and the figure is the remaining lifetime. “>”: accepted until the end of the watch time, remaining \
                    lifetime unknown.".into(),
            columns: vec![
                "variant",
                "logouts",
                "same node: median",
                "p99",
                "max",
                "other node: median",
                "p99",
                "max",
                "other service: median",
                "p99",
                "max",
            ],
            rows: known
                .map(|(variant, delay)| {
                    let count = delay.same_node.samples.len().to_string();
                    let places = delay.places().into_iter().flat_map(|delay| {
                        delay.map_or_else(|| [NONE; 3].map(str::to_owned), delay_cells)
                    });
                    [variant.name.clone(), count].into_iter().chain(places).collect()
                })
                .collect(),
        }
    }

    fn sign_ins(&self) -> Table {
        let known = self.of_one_node().filter(|variant| variant.login.is_some());
        Table {
            title: "Cost of sign-in and refresh",
            about: "One after the other without concurrent load, some in each of several rounds. The password hash, \
                    which is expensive on purpose, is most of a sign-in in every mode. Postgres' background work is \
                    subtracted; “–”: it was more than the cost.".into(),
            columns: vec![
                "variant",
                "login: server CPU ms (95 %)",
                "Postgres CPU µs",
                "SQL",
                "latency ms",
                "refresh: server CPU µs (95 %)",
                "Postgres CPU µs",
                "SQL",
                "latency ms",
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

    fn second_factors(&self) -> Table {
        let cpu = |cost: Option<ActionCost>, unit, digits| server_cpu(cost.unwrap_or_default(), unit, digits);
        let sql = |cost: Option<ActionCost>| format_number(cost.and_then(|cost| cost.sql), 1);
        Table {
            title: "Cost of a second factor",
            about: "Sign-in in two steps, a password and then a TOTP in a second request, against sign-in by the password; and \
                    `GET /profile` by a login of either kind: × 1 means that a request does not know of factors. In the same rounds, one \
                    after the other without concurrent load, by Bearer in the default configuration.".into(),
            columns: vec![
                "mode",
                "login: server CPU ms (95 %)",
                "SQL",
                "in two steps: server CPU ms (95 %)",
                "SQL",
                "× login (95 %)",
                "request: server CPU µs (95 %)",
                "after two steps: server CPU µs (95 %)",
                "SQL",
                "× request (95 %)",
            ],
            rows: self
                .second_factor
                .iter()
                .map(|cost| {
                    vec![
                        cost.mode.as_str().to_owned(),
                        cpu(cost.login, 1e3, 1),
                        sql(cost.login),
                        cpu(cost.two_step_login, 1e3, 1),
                        sql(cost.two_step_login),
                        interval(cost.login_ratio),
                        cpu(cost.request, 1.0, 1),
                        cpu(cost.two_step_request, 1.0, 1),
                        sql(cost.two_step_request),
                        interval(cost.request_ratio),
                    ]
                })
                .collect(),
        }
    }

    fn footprints(&self) -> Table {
        let known = self
            .of_one_node()
            .flat_map(|variant| variant.footprint.iter().map(move |weight| (variant, weight)));
        Table {
            title: "Memory and disk per login",
            about: "A server's memory after each login was used once, and Postgres' disk space with everything that a \
                    login writes. A server's memory fluctuates by some MiB: where it grew by less than four, only an \
                    upper bound is known.".into(),
            columns: vec!["variant", "logins", "memory, bytes per login", "disk, bytes per login"],
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
            title: "Postgres outage",
            about: "Statuses that a signed-in user gets from the stop of Postgres on, with a request every 20 ms; and \
                    the recovery time, from when Postgres accepts connections again until the expected status is \
                    returned. A variant that always returned it has nothing to recover from.".into(),
            columns: vec!["variant", "statuses", "recovery ms"],
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
            title: "Scaling with nodes",
            about: "The same requests, spread over several nodes on one Postgres. With good scaling the cost of a \
                    request stays the same; requests/s depend on the number of cores.".into(),
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
