//! Rows: the log, the slow log and latency figures.

use super::super::rules::{BIND, PERCENTILES};
use super::super::settings::{LogFormat, LogLevel, LogTimestampFormat, SyslogFacility};
use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    one_of(
        "loglevel",
        at!(loglevel),
        LogLevel::NAMES,
        "notice",
        "The least important messages that are logged.",
    ),
    one_of(
        "log-format",
        at!(log_format),
        LogFormat::NAMES,
        "legacy",
        "Form of the lines of the log: as Redis writes them, `logfmt`, or `json`.",
    ),
    one_of(
        "log-timestamp-format",
        at!(log_timestamp_format),
        LogTimestampFormat::NAMES,
        "legacy",
        "Form of the times in it: as Redis writes them, ISO 8601, or milliseconds since 1970.",
    ),
    text(
        "logfile",
        at!(logfile),
        "",
        "File of the log; empty is standard output. It is opened for each line: to rotate it, rename it; no signal is \
         needed, and SIGHUP does nothing.",
    )
    .immutable(),
    yes_no("syslog-enabled", at!(syslog_enabled), "no", "Log to syslog too.").immutable(),
    text("syslog-ident", at!(syslog_ident), "redis", "Name of the program in syslog.").immutable(),
    one_of(
        "syslog-facility",
        at!(syslog_facility),
        SyslogFacility::NAMES,
        "local0",
        "Facility under which syslog files the messages.",
    )
    .immutable(),
    integer(
        "slowlog-log-slower-than",
        at!(slowlog_log_slower_than),
        (-1, i64::MAX),
        "10000",
        "Microseconds from which a command gets into the slow log; 0 logs all, -1 none.",
    )
    .alias(&["commandlog-execution-slower-than"]),
    integer(
        "slowlog-max-len",
        at!(slowlog_max_len),
        U63,
        "128",
        "Entries that the slow log keeps.",
    )
    .alias(&["commandlog-slow-execution-max-len"]),
    integer(
        "commandlog-request-larger-than",
        at!(commandlog_request_larger_than),
        (-1, i64::MAX),
        "1048576",
        "Bytes from which a request gets into the log of large requests; -1 is none.",
    ),
    integer(
        "commandlog-large-request-max-len",
        at!(commandlog_large_request_max_len),
        U63,
        "128",
        "Entries that the log of large requests keeps.",
    ),
    integer(
        "commandlog-reply-larger-than",
        at!(commandlog_reply_larger_than),
        (-1, i64::MAX),
        "1048576",
        "Bytes from which a reply gets its command into the log of large replies; -1 is none.",
    ),
    integer(
        "commandlog-large-reply-max-len",
        at!(commandlog_large_reply_max_len),
        U63,
        "128",
        "Entries that the log of large replies keeps.",
    ),
    integer(
        "latency-monitor-threshold",
        at!(latency_monitor_threshold),
        U63,
        "0",
        "Milliseconds from which LATENCY keeps an event; 0 is off.",
    ),
    integer(
        "metrics-port",
        at!(metrics_port),
        PORT,
        "0",
        "TCP port on which `GET /metrics` answers Prometheus; 0 is none.",
    )
    .immutable().or_same(),
    Directive::new(
        "metrics-bind",
        Kind::Words(&BIND),
        at!(metrics_bind),
        "127.0.0.1 -::1",
        "Addresses for `metrics-port`, as `bind` takes them. Whoever reaches them can read the metrics.",
    )
    .immutable().or_same(),
    yes_no(
        "latency-tracking",
        at!(latency_tracking),
        "yes",
        "Measure each command's latency for INFO.",
    ),
    Directive::new(
        "latency-tracking-info-percentiles",
        Kind::Words(&PERCENTILES),
        at!(latency_tracking_info_percentiles),
        "50 99 99.9",
        "Percentiles of each command's latency that INFO shows.",
    ),
];
