//! Inputs that are not what they seem, and what is said of them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::peers;
use super::support::server::Server;

fn json(args: &[&str]) -> (i32, Value) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fastness")).args(args).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), value)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server that does not tell its function libraries may have some: they are not left out without a word.
#[test]
fn libraries_that_may_not_be_read_end_a_conversion() {
    let mut server = Server::start(&peers::fastness(), &["appendonly no", "save "]);
    let mut client = server.client();
    client.must("SET a b");
    client.must("ACL SETUSER exporter on >pw ~* +@read +@connection +dump +info");
    let url = format!("redis://exporter:pw@127.0.0.1:{}", server.port);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.rdb");
    for options in [&["--scan"][..], &[]] {
        let args = [&["convert", &url, text(&out)], options].concat();
        let (code, report) = json(&args);
        assert_eq!(code, 2, "{report}");
        let all = report.to_string();
        assert!(all.contains("NOPERM") && all.contains("--no-functions"), "{report}");
        assert!(!out.exists());
        let (code, report) = json(&[&args[..], &["--no-functions", "--force"]].concat());
        assert_eq!((code, &report["keys"]), (0, &1.into()), "{report}");
        std::fs::remove_file(&out).unwrap();
    }
    server.stop();
}
