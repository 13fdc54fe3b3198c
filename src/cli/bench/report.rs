//! What a bench found, as a table for people or JSON, and the line that is drawn while it runs.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use super::load::{Outcome, Seen, Until};

/// Of one server, one mix and one depth: the median over the rounds of each figure.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) test: String,
    pub(super) pipeline: usize,
    pub(super) server: String,
    pub(super) rounds: usize,
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) error: Option<String>,
    pub(super) figures: Figures,
    /// For each command of a mix of several.
    pub(super) commands: Vec<(String, Figures)>,
}

/// The kernel counts CPU time in hundredths of a second: less than this is no base of a ratio.
const CPU_SECONDS_MIN: f64 = 0.05;

/// Requests a second; milliseconds; microseconds of the server's CPU time per request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
    cpu: Option<f64>,
}

impl Figures {
    fn of(seen: &Seen, took: Duration, cpu: Option<f64>) -> Self {
        let count = seen.times.len();
        let at = |quantile| seen.times.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            rate: count as f64 / took.as_secs_f64().max(1e-9),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: seen.times.max() as f64 / 1000.0,
            cpu: cpu.filter(|_| count > 0).map(|seconds| seconds * 1e6 / count as f64),
        }
    }

    fn median(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| middle(all.iter().map(figure).collect());
        let cpu: Option<Vec<f64>> = all.iter().map(|figures| figures.cpu).collect();
        Self {
            rate: of(|f| f.rate),
            p50: of(|f| f.p50),
            p99: of(|f| f.p99),
            p999: of(|f| f.p999),
            max: of(|f| f.max),
            cpu: cpu.map(middle),
        }
    }

    fn json(&self) -> Value {
        json!({
            "requests_per_second": self.rate,
            "p50_ms": self.p50,
            "p99_ms": self.p99,
            "p999_ms": self.p999,
            "max_ms": self.max,
            "server_cpu_us_per_request": self.cpu,
        })
    }
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let half = all.len() / 2;
    match (all.get(half), all.len() % 2) {
        (Some(upper), 0) => (all.get(half.wrapping_sub(1)).unwrap_or(upper) + upper) / 2.0,
        (Some(only), _) => *only,
        (None, _) => 0.0,
    }
}

impl Row {
    /// The rounds of one server brought together.
    pub(super) fn of(
        (test, pipeline, server): (&str, usize, &str),
        names: &[String],
        outcomes: &[Outcome],
    ) -> Self {
        let mut figures = Vec::new();
        let mut commands = vec![Vec::new(); names.len()];
        let (mut requests, mut errors) = (0, 0);
        for outcome in outcomes {
            let mut all = Seen::new();
            for (seen, command) in outcome.seen.iter().zip(&mut commands) {
                all.add(seen);
                // CPU time is the process', and cannot be told apart by command.
                command.push(Figures::of(seen, outcome.took, None));
            }
            requests += all.times.len();
            errors += all.errors;
            figures.push(Figures::of(&all, outcome.took, outcome.cpu));
        }
        let commands = names.iter().zip(&commands);
        let commands = commands.map(|(name, all)| (name.clone(), Figures::median(all)));
        Self {
            test: test.to_owned(),
            pipeline,
            server: server.to_owned(),
            rounds: outcomes.len(),
            requests,
            errors,
            error: outcomes.iter().find_map(|outcome| outcome.error.clone()),
            figures: Figures::median(&figures),
            commands: if names.len() > 1 { commands.collect() } else { Vec::new() },
        }
    }

    fn json(&self) -> Value {
        let mut value = self.figures.json();
        if let Value::Object(map) = &mut value {
            map.insert("test".to_owned(), json!(self.test));
            map.insert("pipeline".to_owned(), json!(self.pipeline));
            map.insert("server".to_owned(), json!(self.server));
            map.insert("rounds".to_owned(), json!(self.rounds));
            map.insert("requests".to_owned(), json!(self.requests));
            map.insert("errors".to_owned(), json!(self.errors));
            map.insert("error".to_owned(), json!(self.error));
            let commands = self.commands.iter().map(|(name, figures)| {
                let mut value = figures.json();
                value["command"] = json!(name);
                value
            });
            map.insert("commands".to_owned(), commands.collect());
        }
        value
    }
}

/// All rows as one object.
pub(super) fn json(rows: &[Row], settings: &Value) -> Value {
    json!({ "settings": settings, "rows": rows.iter().map(Row::json).collect::<Vec<_>>() })
}

/// The CPU time per request, where enough of it was used for the kernel to count.
fn counted_cpu(row: &Row) -> Option<f64> {
    row.figures.cpu.filter(|us| us * row.requests as f64 >= CPU_SECONDS_MIN * 1e6)
}

/// All rows as a table; each server's rate, p99 and CPU beside the first server's.
pub(super) fn text(rows: &[Row], servers: usize) -> String {
    let widest =
        |of: fn(&Row) -> usize, least: usize| rows.iter().map(of).max().unwrap_or(0).max(least);
    let test = widest(|row| row.test.len().min(40), 4);
    let server = widest(|row| row.server.len(), 6);
    let mut out = format!(
        "{:test$}  {:>4}  {:server$}  {:>10}  {:>8}  {:>8}  {:>8}  {:>8}  {:>8}",
        "test", "P", "server", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "CPU us"
    );
    if servers > 1 {
        out += "    rate    p99    CPU";
    }
    out.push('\n');
    let line = |name: &str, row: &Row, figures: &Figures| {
        let cpu = figures.cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.2}"));
        let Figures { rate, p50, p99, p999, max, .. } = figures;
        format!(
            "{name:test$}  {:>4}  {:server$}  {rate:>10.0}  {p50:>8.3}  {p99:>8.3}  {p999:>8.3}  {max:>8.3}  {cpu:>8}",
            row.pipeline, row.server
        )
    };
    for group in rows.chunks(servers.max(1)) {
        let Some(first) = group.first() else { continue };
        let base = first.figures;
        for row in group {
            let name: String = row.test.chars().take(40).collect();
            out += &line(&name, row, &row.figures);
            if servers > 1 {
                let ratio = |own: f64, base: f64| format!("{:>6.2}x", own / base);
                out += &format!("  {}", ratio(row.figures.rate, base.rate));
                out += &ratio(row.figures.p99, base.p99);
                out += &match counted_cpu(row).zip(counted_cpu(first)) {
                    Some((own, base)) => ratio(own, base),
                    None => format!("{:>7}", "-"),
                };
            }
            out.push('\n');
            for (name, figures) in &row.commands {
                let name: String = name.chars().take(38).collect();
                out += &line(&format!("  {name}"), row, figures);
                out.push('\n');
            }
            if let Some(error) = &row.error {
                out +=
                    &format!("  {} of {} replies were errors: {error}\n", row.errors, row.requests);
            }
        }
    }
    if rows.iter().any(|row| row.figures.cpu.is_none()) {
        out += "CPU: - where the server's process is not on this machine\n";
    }
    out
}

/// The line on a terminal's standard error that tells how a measurement goes.
#[derive(Debug)]
pub(super) struct Live {
    shown: bool,
    last: Duration,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: Duration::ZERO }
    }

    /// A measurement begins.
    pub(super) fn begin(&mut self) {
        self.last = Duration::ZERO;
    }

    /// Draws what came since the last time.
    pub(super) fn draw(
        &mut self,
        what: &str,
        until: Until,
        done: u64,
        took: Duration,
        fresh: &[Seen],
    ) {
        if !self.shown {
            return;
        }
        let mut all = Seen::new();
        fresh.iter().for_each(|seen| all.add(seen));
        let since = took.saturating_sub(self.last);
        self.last = took;
        let figures = Figures::of(&all, since, None);
        let part = match until {
            Until::Requests(requests) => done as f64 / requests.max(1) as f64,
            Until::Time(limit) => took.as_secs_f64() / limit.as_secs_f64().max(1e-9),
        };
        let filled = (part.clamp(0.0, 1.0) * 20.0) as usize;
        // It is only for looking at.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[K{what} [{:<20}] {:>9.0}/s  p50 {:.2} ms  p99 {:.2} ms  max {:.2} ms",
            "#".repeat(filled),
            figures.rate,
            figures.p50,
            figures.p99,
            figures.max
        );
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
