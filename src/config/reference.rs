//! The reference page docs/configuration.md, made from the table so that it cannot be out of date: a test
//! compares them (`BLESS=1 cargo test config_reference` writes it anew).

use std::fmt::Write;

use super::directive::{Change, Directive, TABLE};
use super::kind::Kind;

const HEAD: &str = "\
# Configuration

Fastness reads a redis.conf: `fastness serve [FILE] [--directive argument ...]`. The command line comes after
the file; `-` reads standard input. `CONFIG GET`, `CONFIG SET` and `CONFIG REWRITE` work as in Redis.

Every directive of Redis 7.2, Redis 8.0 and Valkey 9.1 is accepted. One that has no effect here is kept for
`CONFIG GET`, and reported at start when it is set to anything but its default.

Sizes may have a unit: `1k` is 1000, `1kb` 1024 bytes; so for `m`, `mb`, `g`, `gb`. Relative paths other than
`dir` and `include` are inside `dir`.

In the column *Set*: `yes` can be changed by `CONFIG SET`, `start` takes a restart, `protected` can be changed
when `enable-protected-configs` allows it, `file` is a line of the config file only.

This page is made from the table in `src/config/directive`; do not edit it.
";

/// The page as Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for (area, rows) in TABLE {
        let _ = writeln!(page, "\n## {area}\n");
        let reasons = rows.iter().any(|row| row.no_effect().is_some());
        let last = if reasons { "What it does in Redis; why not here" } else { "What it does" };
        let _ =
            writeln!(page, "| Directive | Takes | Default | Set | {last} |\n|---|---|---|---|---|");
        for directive in *rows {
            row(&mut page, directive);
        }
    }
    page
}

fn row(page: &mut String, directive: &Directive) {
    let mut names = format!("`{}`", directive.name);
    for alias in directive.aliases {
        let _ = write!(names, ", `{alias}`");
    }
    let default = match (directive.name, directive.kind, directive.default) {
        ("io-threads", ..) => "by cores".to_owned(),
        (_, Kind::Line, _) => String::new(),
        (_, _, "") => "empty".to_owned(),
        (_, _, default) => format!("`{default}`"),
    };
    let change = match (directive.kind, directive.change) {
        (Kind::Line, _) => "file",
        (_, Change::Always) => "yes",
        (_, Change::Never) => "start",
        (_, Change::Protected) => "protected",
    };
    let reason = directive.no_effect().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let takes = directive.kind.describe();
    let _ =
        writeln!(page, "| {names} | {takes} | {default} | {change} | {}{reason} |", directive.doc);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "writes the page into the source tree, on demand")]
    fn config_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == reference(), "run: BLESS=1 cargo test config_reference");
    }
}
