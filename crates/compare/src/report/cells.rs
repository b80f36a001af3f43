//! Formats figures for the cells of tables.

use super::super::memory_and_disk_per_login::LoginFootprint;
use super::super::postgres_outage::Outage;
use super::super::statistics::{Estimate, MIN_COUNT};
use super::{ActionCost, DelayDistribution, ManyConnections};

/// Memory per login, in bytes, or its upper bound if it is within the noise.
pub(super) fn memory_cell(weight: &LoginFootprint) -> String {
    match (weight.memory_bytes_per_login, weight.memory()) {
        (Some(_), None) => format!("< {}", format_number(Some(weight.noise().ceil()), 0)),
        (_, bytes) => format_number(bytes, 0),
    }
}

/// Shown in place of a missing figure.
pub(super) const NONE: &str = "–";

/// Formats with at most `digits` decimals, fewer from 10 and none from 100 on, and with separated thousands.
pub(super) fn format_number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(
        || NONE.to_owned(),
        |value| {
            let digits = match value.abs() {
                ..10.0 => digits,
                ..100.0 => digits.min(1),
                _ => 0,
            };
            thousands(format!("{value:.digits$}"))
        },
    )
}

pub(super) fn median(estimate: Option<Estimate>, digits: usize) -> String {
    format_number(estimate.map(|estimate| estimate.median), digits)
}

pub(super) fn many_cells(name: &str, few: [String; 2], many: ManyConnections, ratio: String) -> Vec<String> {
    let [cpu, few_ratio] = few;
    let many_cpu = median(many.server_cpu_us, 1);
    vec![name.to_owned(), cpu, few_ratio, median(many.requests_per_second, 0), many_cpu, ratio]
}

/// Separates thousands by a narrow space, which no language uses as a decimal point.
pub(super) fn thousands(number: String) -> String {
    let (whole, postgres_sql_wait_cells) = number.split_at(number.find('.').unwrap_or(number.len()));
    let digits: Vec<char> = whole.chars().collect();
    let groups: Vec<String> = digits.rchunks(3).rev().map(|group| group.iter().collect()).collect();
    groups.join("\u{202f}") + postgres_sql_wait_cells
}

pub(super) fn interval(estimate: Option<Estimate>) -> String {
    let shown = |ratio: f64| format_number(Some(ratio), 2);
    match estimate {
        Some(Estimate { median, count: ..MIN_COUNT, .. }) => shown(median),
        Some(Estimate { median, low, high, .. }) => {
            format!("{} ({}–{})", shown(median), shown(low), shown(high))
        }
        None => NONE.to_owned(),
    }
}

pub(super) fn delay_cells(delay: &DelayDistribution) -> [String; 3] {
    [delay.p50, delay.p99, delay.max].map(|time| match delay {
        _ if delay.until_expiry => format!("{:.0} s, until it expires", time / 1e3),
        _ if delay.is_censored(time) => format!("> {:.0} s", time / 1e3),
        _ => format!("{time:.1} ms"),
    })
}

pub(super) fn recovery(outage: &Outage) -> String {
    match outage.recovery_ms {
        None if outage.answers.len() > 1 => "not within a minute".to_owned(),
        recovery => format_number(recovery, 0),
    }
}

/// Server CPU time in units of `unit` microseconds, with at most `digits` decimals.
pub(super) fn server_cpu(cost: ActionCost, unit: f64, digits: usize) -> String {
    let shown = |cpu: f64| format_number(Some(cpu / unit), digits);
    match cost.intervals.server_cpu_us {
        Some(Estimate { median, low, high, count: MIN_COUNT.. }) => {
            format!("{} ({}–{})", shown(median), shown(low), shown(high))
        }
        _ => cost.server_cpu_us.map_or_else(|| NONE.to_owned(), shown),
    }
}

pub(super) fn postgres_sql_wait_cells(cost: ActionCost) -> [String; 3] {
    [format_number(cost.postgres_cpu_us, 0), format_number(cost.sql, 1), format_number(cost.p50_ms, 1)]
}

pub(super) fn answers(outage: &Outage) -> String {
    let answers = outage.answers.iter().enumerate().map(|(number, answer)| {
        let status = answer.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        match number {
            0 => status,
            _ => format!("{status} after {} ms", format_number(Some(answer.after_ms as f64), 0)),
        }
    });
    answers.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_nothing_is_told_as_a_bound() {
        let memory = |logins, each| {
            let weight =
                LoginFootprint { logins, memory_bytes_per_login: Some(each), disk_bytes_per_login: None };
            (weight.memory(), memory_cell(&weight))
        };
        assert_eq!(memory(100_000, 400.0), (Some(400.0), "400".to_owned()));
        assert_eq!(memory(1_000, 400.0), (None, "< 4\u{202f}195".to_owned()));
        assert_eq!(memory(1_000, -5_000.0), (None, "< 4\u{202f}195".to_owned()));
    }
}
