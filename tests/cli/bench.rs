//! `fastness bench` against this server and real ones: what it sends arrives, what it reports is what was
//! sent, and errors are told.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::peers;
use crate::support::server::Server;

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fastness")).arg("bench").args(args).output().unwrap()
}

fn json(args: &[&str]) -> (i32, Value) {
    let output = bench(&[args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port)
}

#[test]
fn counts_exactly_what_the_server_executed_on_every_server() {
    for program in [Some(peers::fastness()), peers::redis8()].into_iter().flatten() {
        let server = Server::start(&program, &["save "]);
        let url = url(&server);
        let (code, report) = json(&[
            &url,
            "--mix",
            "INCR total=3,SADD seen __rand_int__=1",
            "-n",
            "1001",
            "-P",
            "8",
            "-c",
            "3",
            "-r",
            "10",
        ]);
        let row = &report["rows"][0];
        assert_eq!(
            (code, &row["requests"], &row["errors"]),
            (0, &1001.into(), &0.into()),
            "{report}"
        );
        let mut client = server.client();
        let increments = client.must("GET total").int().unwrap();
        assert!(
            (600..900).contains(&increments),
            "{}: three of four are INCR: {increments}",
            program.name
        );
        assert_eq!(client.must("SCARD seen").int(), Some(10), "{}", program.name);
        assert!(row["requests_per_second"].as_f64() > Some(100.0), "{report}");
        assert!(
            row["server_cpu_us_per_request"].as_f64().is_some(),
            "it is on this machine: {report}"
        );
        assert_eq!(row["commands"].as_array().map(Vec::len), Some(2), "{report}");
    }
}

#[test]
fn servers_side_by_side_have_a_row_each_for_every_test_and_depth() {
    let one = Server::start(&peers::fastness(), &["save "]);
    let two = Server::start(&peers::fastness(), &["save "]);
    let args = [
        "--tests",
        "set,GET",
        "-P",
        "1,4",
        "-n",
        "40",
        "--rounds",
        "2",
        "-c",
        "4",
        "--threads",
        "2",
    ];
    let (code, report) = json(&[&[&*url(&one), "--against", &url(&two)], &args[..]].concat());
    assert_eq!(code, 0, "{report}");
    let rows = report["rows"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = rows.iter().map(|row| format!("{} {}", text(&row["test"]), row["pipeline"]));
    let expected = ["set 1", "set 1", "get 1", "get 1", "set 4", "set 4", "get 4", "get 4"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    assert!(rows.iter().all(|row| row["requests"] == 80), "{report}");
    assert_ne!(rows[0]["server"], rows[1]["server"]);
    let output = bench(&[&url(&one), "--against", &url(&two), "--tests", "ping", "-n", "10"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.lines().next().unwrap().ends_with("CPU") && table.contains("1.00x"), "{table}");
}

#[test]
fn a_setup_goes_through_the_key_space_and_flush_empties_first() {
    let server = Server::start(&peers::fastness(), &["save "]);
    let mut client = server.client();
    client.must("SET old value");
    let (code, report) = json(&[
        &url(&server),
        "--flush",
        "--setup",
        "SET key:__rand_int__ __data__",
        "-r",
        "1500",
        "-d",
        "3",
        "--tests",
        "get",
        "-n",
        "100",
        "--distribution",
        "zipf:0.9",
    ]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(client.must("DBSIZE").int(), Some(1500));
    assert_eq!(client.must("GET key:000000001499").text().as_deref(), Some("xxx"));
}

#[test]
fn logs_in_over_a_unix_socket_and_speaks_resp3() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s").display().to_string();
    let unix = format!("unixsocket {socket}");
    let server = Server::start(&peers::fastness(), &["save ", &unix, "requirepass s%cret"]);
    let with = format!("redis://:s%25cret@127.0.0.1:{}", server.port);
    let (code, report) = json(&[&with, "--command", "HGETALL h", "-n", "10", "--resp", "3"]);
    assert_eq!((code, &report["rows"][0]["errors"]), (0, &0.into()), "{report}");
    assert!(!report.to_string().contains("cret"), "a password is not for reports: {report}");
    let (code, report) = json(&[&format!("unix:{socket}"), "--tests", "get", "-n", "10"]);
    assert_eq!((code, &report["rows"][0]["errors"]), (1, &10.into()), "not logged in: {report}");
    let output = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["bench", &format!("unix:{socket}"), "--tests", "get", "-n", "10"])
        .env("FASTNESS_PASSWORD", "s%cret")
        .output();
    assert!(output.unwrap().status.success(), "the environment's password is not used");
    assert!(report["rows"][0]["error"].as_str().unwrap().starts_with("NOAUTH"), "{report}");
}

#[test]
fn a_timetable_holds_its_rate_and_ends_with_its_time() {
    let server = Server::start(&peers::fastness(), &["save "]);
    let (code, report) =
        json(&[&url(&server), "--tests", "ping", "--rate", "400", "--duration", "0.5", "-c", "4"]);
    // The timetable has 200 places in that time, however slow the machine is.
    assert_eq!((code, &report["rows"][0]["requests"]), (0, &200.into()), "{report}");
}

#[test]
fn says_what_is_wrong() {
    let server = Server::start(&peers::fastness(), &["save "]);
    let own = url(&server);
    for (args, word) in [
        (&["redis://127.0.0.1:1"][..], "refused"),
        (&["rediss://x"], "TLS"),
        (&[&own, "--tests", "gett"], "zpopmin"),
        (&[&own, "--mix", "get=x"], "weight"),
        (&[&own, "--distribution", "zipf:2"], "zipf"),
        (&[&own, "--rate", "0"], "--rate"),
        (&[&own, "-n", "0"], "--requests"),
    ] {
        let output = bench(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(word), "{args:?}: {said}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastness"));
    command.args(["bench", &own, "--tests", "ping", "-n", "10", "--json"]).stdout(full);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "a report that is lost: {said}");
    assert!(said.contains("No space left"), "{said}");
    let output = bench(&[&own, "--command", "SETX a", "-n", "3"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("3 of 3 replies were errors: ERR unknown command"), "{said}");
}
