//! `fastness convert`, `export` and `inspect` from the outside: forms, filters, refusals, and the page in a real browser.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{RECORDS, redis_directory, vector};
use crate::support::peers::not_run;

fn fastness(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fastness")).args(args).output().unwrap()
}

/// Runs a subcommand with `--json`; the exit code and what it printed.
fn json(args: &[&str]) -> (i32, Value) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fastness")).args(args).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

fn done(args: &[&str]) -> Value {
    let (code, value) = json(args);
    assert_eq!(code, 0, "{args:?}: {value}");
    value
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn snapshots() -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(vector(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rdb"))
        .collect();
    found.sort();
    assert!(found.len() >= 8);
    found
}

/// The keys of a file as sorted lines, without the orders that mean nothing.
fn lines(path: &str) -> Vec<String> {
    let output = fastness(&["export", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    normal(&output.stdout)
}

fn normal(text: &[u8]) -> Vec<String> {
    let lines = std::str::from_utf8(text).unwrap().lines();
    let mut lines: Vec<String> = lines
        .map(|line| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            if (value["type"] == "set" || value["type"] == "hash")
                && let Some(items) = value["value"].as_array_mut()
            {
                items.sort_by_key(Value::to_string);
            }
            value.to_string()
        })
        .collect();
    lines.sort();
    lines
}

/// Fails with the first line that differs only.
#[track_caller]
fn assert_lines(found: &[String], expected: &[String], what: &str) {
    for (one, other) in found.iter().zip(expected) {
        let short = |line: &str| line.chars().take(300).collect::<String>();
        assert!(one == other, "{what}: {} instead of {}", short(one), short(other));
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

#[test]
fn every_form_of_every_snapshot_holds_the_same() {
    for path in snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let to = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let first = done(&["convert", text(&path), &to("1.ndjson")]);
        let expected = lines(text(&path));
        assert_eq!(first["keys"].as_u64().unwrap() as usize, keys(&expected).len());
        let mut from = to("1.ndjson");
        for (name, options) in [
            ("2.rdb", &["--rdb-version", "12"][..]),
            ("3.zst", &[]),
            ("4.rdb", &["--compression", "none", "--rdb-version", "80"]),
            ("5.rdb", &[]),
            ("6.aof", &[]),
            ("7", &["--format", "aof-dir"]),
            ("8.ndjson", &[]),
        ] {
            let place = to(name);
            let (code, report) = json(&[&["convert", &from, &place], options].concat());
            if name == "6.aof" && code == 1 {
                // Pending entries that were deleted: no command says that.
                let why = report["error"].as_str().unwrap();
                assert!(why.contains("is pending in group"), "{path:?}: {report}");
                assert!(!Path::new(&place).exists());
                continue;
            }
            assert_eq!(code, 0, "{path:?} to {name}: {report}");
            assert_eq!(first["digest"], report["digest"], "{path:?} to {name}");
            assert_eq!(report["verified"], name != "6.aof");
            from = place;
        }
        let found = lines(&from);
        // A log does not keep when consumers were seen and keys were used; snapshots keep all.
        if Path::new(&to("6.aof")).exists() {
            assert_eq!(keys(&expected).len(), keys(&found).len(), "{path:?}");
        } else {
            assert_lines(&found, &expected, &from);
        }
        assert_lines(&lines(&to("5.rdb")), &expected, "5.rdb");
    }
}

fn keys(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.contains("\"db\":")).collect()
}

#[test]
fn old_versions_hold_what_they_can_and_name_what_they_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let source = vector("rdb-redis-8.0.rdb");
    let to = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let cases = [
        ("6", "--type", "stream", "stream"),
        ("8", "--type", "stream", "version 9 (Redis 5)"),
        ("11", "--match", "hash-ttl", "key \"hash-ttl\" of database 0 cannot be held"),
        ("9", "--db", "0", "hash-ttl"),
    ];
    for (version, option, value, what) in cases {
        let out = to("no.rdb");
        let args = ["convert", text(&source), &out, "--rdb-version", version, option, value];
        let (code, report) = json(&args);
        assert_eq!(code, 1, "{report}");
        assert!(report["error"].as_str().unwrap().contains(what), "{report}");
    }
    let (code, report) =
        json(&["convert", text(&source), &to("no.rdb"), "--rdb-version", "9", "--type", "string"]);
    assert_eq!(code, 0, "functions do not go along where keys are chosen: {report}");
    let (code, report) =
        json(&["convert", text(&source), &to("no.rdb"), "--rdb-version", "9", "--force"]);
    assert_eq!(code, 1);
    assert!(report["error"].as_str().unwrap().contains("#!lua name=lib"), "{report}");
    // What was there stays, and nothing else does.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    for version in 6..=12u16 {
        let out = to(&format!("{version}.rdb"));
        let number = version.to_string();
        let mut args = vec!["convert", text(&source), &out, "--rdb-version", &number];
        for kind in ["string", "list", "set", "zset"] {
            args.extend(["--type", kind]);
        }
        let made = done(&args);
        assert!(fs::read(&out).unwrap().starts_with(format!("REDIS{version:04}").as_bytes()));
        let first =
            done(&[&["convert", text(&source), &to("all.ndjson"), "--force"], &args[5..]].concat());
        assert_eq!(first["digest"], made["digest"], "{version}");
        assert!(made["keys"].as_u64().unwrap() > 15, "{made}");
    }
}

#[test]
fn nothing_is_written_over_and_nothing_half_written_stays() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.ndjson");
    fs::write(&out, "precious").unwrap();
    let source = vector("rdb-redis-7.0.rdb");
    let (code, report) = json(&["convert", text(&source), text(&out)]);
    assert_eq!(code, 2, "{report}");
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    let damaged = dir.path().join("damaged.rdb");
    let mut bytes = fs::read(&source).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&damaged, bytes).unwrap();
    let (code, report) = json(&["convert", text(&damaged), text(&out), "--force"]);
    assert_eq!(code, 1, "{report}");
    assert!(report["error"].as_str().unwrap().contains("damaged.rdb"), "{report}");
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    done(&["convert", text(&source), text(&out), "--force"]);
    assert!(fs::read(&out).unwrap().starts_with(b"{\"format\""));
    let taken = dir.path().join("folder");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("file"), "").unwrap();
    for (input, output, options, code) in [
        (text(&source), text(&taken), &["--format", "aof-dir"][..], 2),
        (text(&source), text(&taken), &["--format", "rdb"], 2),
        (text(&source), "-", &["--format", "aof-dir"], 2),
        (text(&source), "no-ending", &[], 2),
        ("nowhere.rdb", "-", &["--format", "rdb"], 2),
        (text(&source), "-", &["--format", "rdb", "--to-time", "now"], 2),
    ] {
        let output = fastness(&[&["convert", input, output], options].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("next: "), "{said}");
    }
    assert_eq!(fastness(&["convert", text(&source)]).status.code(), Some(2));
}

#[test]
fn a_wrong_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.ndjson");
    let line = |key: &str| format!("{{\"key\":\"{key}\",\"type\":\"string\",\"value\":\"v\"}}\n");
    for (lines, what) in [
        (line("a") + "{\"key\":\"b\",\"type\":\"string\"}\n", "in.ndjson, line 2: key \"b\""),
        (
            line("a") + &line("b") + "\n" + &line("a"),
            "line 4: key \"a\" of database 0 stands twice",
        ),
        (line("a") + "{\"function\":\"#!lua name=x\"}", "libraries come first"),
    ] {
        fs::write(&input, lines).unwrap();
        let (code, report) = json(&["convert", text(&input), text(&dir.path().join("o.rdb"))]);
        assert_eq!(code, 1);
        assert!(report["error"].as_str().unwrap().contains(what), "{report}");
        assert!(!dir.path().join("o.rdb").exists());
    }
}

/// A pipe of two: each form through standard input and output.
#[test]
fn standard_input_and_output_carry_every_form() {
    let source = fs::read(vector("rdb-redis-8.0.rdb")).unwrap();
    let expected = lines(text(&vector("rdb-redis-8.0.rdb")));
    for format in ["rdb", "zstd", "ndjson"] {
        let first = piped(&["convert", "-", "-", "--format", format], &source);
        assert_lines(&normal(&piped(&["export", "-"], &first)), &expected, format);
    }
    let log = piped(&["convert", "-", "-", "--format", "aof", "--type", "string"], &source);
    assert!(log.starts_with(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"));
}

fn piped(args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    output.stdout
}

#[test]
fn directories_are_read_with_their_log_and_filters_choose() {
    let dir = redis_directory(RECORDS);
    let all = done(&["convert", text(dir.path()), text(&dir.path().join("all.ndjson"))]);
    let base = done(&[
        "convert",
        text(&vector("rdb-redis-8.0.rdb")),
        text(&dir.path().join("base.ndjson")),
    ]);
    // The log's key is not in the base.
    assert_eq!(all["keys"].as_u64().unwrap(), base["keys"].as_u64().unwrap() + 1);
    let out = dir.path().join("some.ndjson");
    let some = done(&["convert", text(dir.path()), text(&out), "--match", "a"]);
    assert_eq!((&some["keys"], &some["left_out"]), (&1.into(), &base["keys"]));
    let written = fs::read_to_string(&out).unwrap();
    assert!(written.ends_with("{\"db\":0,\"key\":\"a\",\"type\":\"string\",\"value\":\"1\"}\n"));
}

#[test]
fn what_inspect_counts_is_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.ndjson");
    let mut content = String::new();
    for number in 0..300 {
        content += &format!(
            "{{\"key\":\"user:{number}:name\",\"type\":\"string\",\"value\":\"{}\"}}\n",
            "x".repeat(100)
        );
    }
    content += "{\"db\":2,\"key\":\"big\",\"type\":\"list\",\"value\":[\"1\",\"2\",\"3\"],\"expire_at\":1}\n";
    content += "{\"key\":{\"base64\":\"/zo=\"},\"type\":\"hash\",\"value\":{\"a\":\"b\"},\"field_expire_at\":{\"a\":9999999999999},\"expire_at\":99999999999999}\n";
    fs::write(&input, content).unwrap();
    let found = done(&["inspect", text(&input), "--top", "2"]);
    assert_eq!((&found["keys"], &found["expires"]), (&302.into(), &2.into()));
    assert_eq!(found["fields_with_expiry"], 1);
    let types: Vec<_> = found["types"].as_array().unwrap().iter().collect();
    let of = |name: &str| *types.iter().find(|of| of["type"] == name).unwrap();
    assert_eq!((&of("string")["keys"], &of("string")["elements"]), (&300.into(), &30000.into()));
    assert_eq!(of("string")["biggest"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&of("list")["elements"], &of("list")["biggest"][0]["key"]),
        (&3.into(), &"big".into())
    );
    assert_eq!(of("hash")["biggest"][0]["key"]["base64"], "/zo=");
    assert_eq!(of("hash")["encodings"][0]["encoding"], "listpackex");
    let sum = |name: &str| -> u64 {
        found[name].as_array().unwrap().iter().map(|of| of["memory"].as_u64().unwrap()).sum()
    };
    let memory = found["memory"].as_u64().unwrap();
    for part in ["types", "databases", "ttl", "sizes"] {
        assert_eq!(sum(part), memory, "{part}");
    }
    assert!(memory > 300 * 100 && memory < 300 * 200, "{memory}");
    let ttl = |name: &str| {
        let all = found["ttl"].as_array().unwrap();
        all.iter().find(|of| of["up_to"] == name).unwrap()["keys"].as_u64().unwrap()
    };
    assert_eq!((ttl("none"), ttl("expired"), ttl("more")), (300, 1, 1));
    let tree = &found["prefixes"]["tree"];
    assert_eq!((&tree["keys"], &tree["memory"]), (&302.into(), &memory.into()));
    assert_eq!(tree["prefixes"][0]["part"], "user:");
    assert_eq!(tree["prefixes"][0]["keys"], 300);
    assert_eq!(tree["prefixes"][0]["more_prefixes"], 250);
    let alike = &found["patterns"][0];
    assert_eq!((&alike["pattern"], &alike["keys"]), (&"user:*:name".into(), &300.into()));
    let printed = fastness(&["inspect", text(&input), "--delimiter", "er:"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    for words in ["302 keys", "us\\xff", "user:", "listpackex", "biggest"] {
        let there = printed.to_lowercase().contains(words);
        assert_eq!(there, !words.starts_with("us\\x"), "{words}: {printed}");
    }
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        not_run(
            "no chromium: the page of inspect is not looked at (scripts/clients.sh brings one)",
        );
    }
    found
}

/// The page draws itself in a real browser, without any request, whatever keys are called.
#[test]
fn a_browser_draws_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let input = dir.path().join("in.ndjson");
    let mut content = String::new();
    for number in 0..40 {
        let key = format!("{}:{number}:</script><img src=x>", ["one", "two", "<b>"][number % 3]);
        content += &format!(
            "{{\"key\":{},\"type\":\"set\",\"value\":[\"1\",\"b\"]}}\n",
            serde_json::to_string(&key).unwrap()
        );
    }
    fs::write(&input, content).unwrap();
    done_page(&input, &page);
    let refused = fastness(&["inspect", text(&input), "--html", text(&page)]);
    assert_eq!(refused.status.code(), Some(2));
    let written = fs::read_to_string(&page).unwrap();
    assert!(
        !written.contains("http:") || written.matches("http:").count() == 1,
        "the SVG name only"
    );
    let Some(browser) = browser() else { return };
    let profile = dir.path().join("profile");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--window-size=1200,1600", "--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let drawn = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(drawn.contains("data-drawn=\"yes\""), "the script did not come to its end: {said}");
    assert_eq!(drawn.matches("class=\"box deep\"").count(), 3, "a box for each prefix");
    assert!(drawn.contains("<td class=\"key\">one:0:&lt;/script&gt;&lt;img src=x&gt;</td>"));
    assert!(!drawn.contains("<img"), "a key became part of the page");
}

fn done_page(input: &Path, page: &Path) {
    let output = fastness(&["inspect", text(input), "--html", text(page)]);
    assert!(output.status.success(), "{output:?}");
}

/// A page for every subcommand, and completions that shells accept.
#[test]
fn pages_and_completions_name_every_subcommand() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("man1");
    let output = fastness(&["man", text(&place)]);
    assert!(output.status.success(), "{output:?}");
    let help = String::from_utf8(fastness(&["--help"]).stdout).unwrap();
    let names: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 9 && names.contains(&"inspect"), "{names:?}");
    for name in &names {
        let page = fs::read_to_string(place.join(format!("fastness-{name}.1"))).unwrap();
        assert!(page.starts_with(".ie") && page.contains("NAME"), "{name}");
    }
    assert!(place.join("fastness-backup-create.1").exists());
    for (shell, check) in [("bash", Some("bash")), ("zsh", None), ("fish", None)] {
        let output = fastness(&["completions", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(names.iter().all(|name| script.contains(name)), "{shell}");
        if let Some(program) = check {
            let file = dir.path().join(shell);
            fs::write(&file, &script).unwrap();
            let output = Command::new(program).arg("-n").arg(&file).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}

/// Every subcommand's help ends with what its exit codes mean, and shows examples.
#[test]
fn every_help_has_examples_and_exit_codes() {
    for name in [
        "serve",
        "check",
        "convert",
        "export",
        "inspect",
        "backup",
        "restore",
        "repair",
        "completions",
        "man",
    ] {
        let output = fastness(&[name, "--help"]);
        assert!(output.status.success(), "{name}: {output:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Exit code: 0"), "{name}: {help}");
        assert!(help.contains("Examples:\n  fastness "), "{name}: {help}");
    }
}
