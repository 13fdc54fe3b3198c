//! INFO as Prometheus reads it: the text that `GET /metrics` answers with.
//!
//! INFO -> `of_info` -> exposition format 0.0.4. A field is declared once, in `engine::info`; here it gets its
//! name: that of redis_exporter where it has one (`names`), so that dashboards for Redis show a Fastness,
//! otherwise `fastness_` and its own. So a field that is new in INFO is a metric by itself. Texts are metrics where
//! they have few values. Pure: what is no number is left out.

mod names;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use names::{Kind, Named, named};

/// Sections of INFO that are asked for.
pub const SECTIONS: [&str; 4] = ["default", "commandstats", "errorstats", "latencystats"];

/// One metric with all its samples.
#[derive(Debug)]
struct Family {
    kind: Kind,
    help: String,
    /// What follows the name in each line.
    samples: Vec<String>,
}

/// All metrics, by name.
#[derive(Debug, Default)]
struct Metrics {
    families: BTreeMap<String, Family>,
}

/// The metrics of a server by its INFO; `now` in Unix seconds.
pub fn of_info(info: &str, now: i64) -> String {
    let mut metrics = Metrics::default();
    let fields: Vec<(&str, &str)> = info.lines().filter_map(|line| line.split_once(':')).collect();
    metrics.gauge("redis_up", "Whether the server answers.", "", 1.0);
    for (name, value) in &fields {
        metrics.field(name, value);
    }
    let of = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
    if let Some(uptime) = of("uptime_in_seconds").and_then(|text| text.parse::<f64>().ok()) {
        let help = "When the server started, in Unix seconds.";
        metrics.gauge("redis_start_time_seconds", help, "", now as f64 - uptime);
    }
    metrics.instance(&of);
    metrics.latencies(&fields);
    metrics.render()
}

impl Metrics {
    fn add(&mut self, name: &str, kind: Kind, help: &str, sample: String) {
        let family = self.families.entry(name.to_owned()).or_insert_with(|| Family {
            kind,
            help: help.to_owned(),
            samples: Vec::new(),
        });
        family.samples.push(sample);
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &str, value: f64) {
        self.add(name, Kind::Gauge, help, format!("{labels} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, labels: &str, value: f64) {
        self.add(name, Kind::Counter, help, format!("{labels} {value}"));
    }

    fn field(&mut self, name: &str, value: &str) {
        if let Some(command) = name.strip_prefix("cmdstat_") {
            return self.command(command, value);
        }
        if let Some(code) = name.strip_prefix("errorstat_") {
            let count = parts(value).find(|(part, _)| *part == "count");
            let labels = label("err", code);
            return self.counter(
                "redis_errors_total",
                "Error replies by their first word.",
                &labels,
                count.map_or(0.0, |(_, count)| count),
            );
        }
        let is_database = name.strip_prefix("db").is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        });
        if is_database {
            return self.database(name, value);
        }
        let is_replica = name.strip_prefix("slave").is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        });
        if is_replica {
            return self.replica(value);
        }
        if name == "aof_state" {
            for state in ["off", "ready", "full", "failed", "healing"] {
                let help = "What the log can do now: 1 for the state that it is in.";
                let labels = label("state", state);
                self.gauge("fastness_aof_state", help, &labels, f64::from(value == state));
            }
            return;
        }
        let number = match value {
            "ok" => Some(1.0),
            "err" => Some(0.0),
            other => other.parse::<f64>().ok().filter(|number| number.is_finite()),
        };
        let Some(number) = number.filter(|_| !names::MEANINGLESS.contains(&name)) else { return };
        let Named { metric, kind, scale } = named(name);
        // An age of -1 says that there is nothing that could have one.
        if metric.ends_with("_age_seconds") && number < 0.0 {
            return;
        }
        let help = format!("{name} of INFO.");
        self.add(&metric, kind, &help, format!(" {}", number * scale));
    }

    fn command(&mut self, command: &str, value: &str) {
        let labels = label("cmd", command);
        for (part, number) in parts(value) {
            let (name, help, number) = match part {
                "calls" => ("redis_commands_total", "Calls by command.", number),
                "usec" => (
                    "redis_commands_duration_seconds_total",
                    "Time spent by command.",
                    number / 1_000_000.0,
                ),
                "rejected_calls" => (
                    "redis_commands_rejected_calls_total",
                    "Calls refused before they ran.",
                    number,
                ),
                "failed_calls" => {
                    ("redis_commands_failed_calls_total", "Calls that ended in an error.", number)
                }
                _ => continue,
            };
            self.counter(name, help, &labels, number);
        }
    }

    fn database(&mut self, name: &str, value: &str) {
        let labels = label("db", name);
        for (part, number) in parts(value) {
            let (name, help, number) = match part {
                "keys" => ("redis_db_keys", "Keys by database.", number),
                "expires" => ("redis_db_keys_expiring", "Keys that expire by database.", number),
                "avg_ttl" => {
                    ("redis_db_avg_ttl_seconds", "Mean time to live by database.", number / 1000.0)
                }
                "subexpiry" => (
                    "redis_db_keys_with_expiring_items",
                    "Hashes with fields that expire by database.",
                    number,
                ),
                _ => continue,
            };
            self.gauge(name, help, &labels, number);
        }
    }

    fn replica(&mut self, value: &str) {
        let of = |name: &str| {
            let found =
                value.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            escaped(found.unwrap_or_default())
        };
        let (ip, port, state) = (of("ip"), of("port"), of("state"));
        let labels = format!("{{slave_ip=\"{ip}\",slave_port=\"{port}\",slave_state=\"{state}\"}}");
        for (part, number) in parts(value) {
            let (name, help) = match part {
                "offset" => (
                    "redis_connected_slave_offset_bytes",
                    "What a replica has of the replication stream.",
                ),
                "lag" => (
                    "redis_connected_slave_lag_seconds",
                    "Time since a replica last said what it has.",
                ),
                _ => continue,
            };
            self.gauge(name, help, &labels, number);
        }
    }

    fn instance<'i>(&mut self, of: &dyn Fn(&str) -> Option<&'i str>) {
        let labels: Vec<String> = names::INSTANCE
            .iter()
            .map(|name| format!("{name}=\"{}\"", escaped(of(name).unwrap_or_default())))
            .collect();
        let labels = format!("{{{}}}", labels.join(","));
        self.gauge("redis_instance_info", "What the server is.", &labels, 1.0);
    }

    /// Percentiles with count and sum of their command.
    fn latencies(&mut self, fields: &[(&str, &str)]) {
        const NAME: &str = "redis_latency_percentiles_usec";
        const HELP: &str = "Latency percentiles by command, in microseconds.";
        let found = fields.iter().filter_map(|(name, value)| {
            Some((name.strip_prefix("latency_percentiles_usec_")?, *value))
        });
        let found: Vec<(&str, &str)> = found.collect();
        for (command, value) in found {
            let command_label = escaped(command);
            for (percentile, number) in parts(value) {
                let percentile = percentile.trim_start_matches('p');
                let labels = format!("{{cmd=\"{command_label}\",quantile=\"{percentile}\"}}");
                self.add(NAME, Kind::Summary, HELP, format!("{labels} {number}"));
            }
            let stats =
                fields.iter().find(|(name, _)| name.strip_prefix("cmdstat_") == Some(command));
            for (part, number) in stats.into_iter().flat_map(|(_, value)| parts(value)) {
                let suffix = match part {
                    "calls" => "_count",
                    "usec" => "_sum",
                    _ => continue,
                };
                let sample = format!("{suffix}{{cmd=\"{command_label}\"}} {number}");
                self.add(NAME, Kind::Summary, HELP, sample);
            }
        }
    }

    fn render(&self) -> String {
        let mut out = String::new();
        for (name, Family { kind, help, samples }) in &self.families {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
            for sample in samples {
                let _ = writeln!(out, "{name}{sample}");
            }
        }
        out
    }
}

/// `name=number` parts of a field's value.
fn parts(value: &str) -> impl Iterator<Item = (&str, f64)> {
    value.split(',').filter_map(|part| {
        let (name, number) = part.split_once('=')?;
        Some((name, number.parse().ok()?))
    })
}

fn label(name: &str, value: &str) -> String {
    format!("{{{name}=\"{}\"}}", escaped(value))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
