//! `fastness crashtest`: it passes on our server, and fails on one that loses what it acknowledged.

use std::process::Command;

use serde_json::Value;

use super::support::peers;

fn crashtest(options: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["crashtest", "--json", "--seed", "7"])
        .args(options)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), value)
}

#[test]
fn our_server_loses_nothing() {
    for policy in ["always", "everysec", "no"] {
        let (code, report) = crashtest(&["--rounds", "2", "--policy", policy]);
        assert_eq!((code, &report["passed"]), (0, &true.into()), "{policy}: {report}");
        assert_eq!(report["rounds"].as_array().unwrap().len(), 2);
        assert!(report["acknowledged"].as_u64() > Some(0), "{report}");
    }
}

/// The processes whose command line names this folder.
fn processes_in(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder)).collect()
}

#[test]
fn who_ends_the_test_ends_its_server() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_fastness"))
            .args(["crashtest", "--json", "--rounds", "100", "--within-ms", "20000"])
            .env("TMPDIR", folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let begun = std::time::Instant::now();
        while processes_in(folder.path()).is_empty() {
            assert!(begun.elapsed().as_secs() < 20, "no server is started");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut kill = Command::new("kill");
        kill.args([format!("-{signal}"), child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(128 + number), "{status}");
        assert_eq!(processes_in(folder.path()), Vec::<String>::new());
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_server_that_keeps_no_log_fails() {
    let Some(redis) = peers::redis8() else { return };
    let redis = redis.path.display().to_string();
    let command = format!("{redis} --port {{port}} --dir {{dir}} --save ''");
    let without = format!("{command} --appendonly no");
    let (code, report) = crashtest(&["--rounds", "2", "--command", &without]);
    assert_eq!((code, &report["passed"]), (1, &false.into()), "{report}");
    assert_eq!(report["lost"], report["acknowledged"], "{report}");
    assert!(report["rounds"][0]["example"].is_string(), "{report}");
    let with = format!("{command} --appendonly yes --appendfsync {{policy}}");
    let (code, report) = crashtest(&["--rounds", "2", "--command", &with, "--policy", "everysec"]);
    assert_eq!((code, &report["lost"]), (0, &0.into()), "{report}");
}

/// Whether power cuts can be made here.
fn has_fuse() -> bool {
    let has = std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !has {
        eprintln!("NOT RUN: power cuts need /dev/fuse");
    }
    has
}

#[test]
fn a_power_cut_takes_what_a_policy_allows() {
    if !has_fuse() {
        return;
    }
    let policies: [&[&str]; 4] = [
        &["--policy", "always"],
        &["--policy", "always", "--strict-names"],
        &["--policy", "everysec", "--sync-ms", "30"],
        &["--policy", "no"],
    ];
    for policy in policies {
        let options = [&["--power", "--rounds", "6"][..], policy].concat();
        let (code, report) = crashtest(&options);
        assert_eq!((code, &report["passed"]), (0, &true.into()), "{policy:?}: {report}");
        assert_eq!(report["mode"], "power");
        assert!(report["acknowledged"].as_u64() > Some(0), "{report}");
    }
}

#[test]
fn power_cuts_under_a_server_that_loses_are_seen() {
    let Some(redis) = peers::redis8().filter(|_| has_fuse()) else { return };
    let redis = format!("{} --port {{port}} --dir {{dir}} --save ''", redis.path.display());
    let without = format!("{redis} --appendonly no");
    let (code, report) = crashtest(&["--power", "--rounds", "2", "--command", &without]);
    assert_eq!((code, &report["lost"]), (1, &report["acknowledged"]), "{report}");
    let with = format!("{redis} --appendonly yes --appendfsync {{policy}}");
    let options = ["--power", "--rounds", "6", "--policy", "everysec", "--command", &with];
    let (_, report) = crashtest(&options);
    assert!(report["lost"].as_u64() > Some(0) || !report["refused"].is_null(), "{report}");
    // A second is lost where nothing may be.
    let everysec = with.replace("{policy}", "everysec");
    let (code, report) = crashtest(&["--power", "--rounds", "6", "--command", &everysec]);
    assert_eq!((code, &report["passed"]), (1, &false.into()), "{report}");
}

#[test]
fn what_cannot_be_run_is_neither_passed_nor_failed() {
    for options in [
        &["--command", "/nowhere/server {port}"][..],
        &["--command", "true"],
        &["--power", "--filesystem", "none"],
    ] {
        let (code, report) = crashtest(options);
        assert_eq!(code, 2, "{options:?}: {report}");
        assert!(report["error"].is_string(), "{report}");
    }
}
