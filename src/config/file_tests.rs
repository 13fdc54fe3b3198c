//! Tests of loading: files, includes, precedence, errors.

use std::collections::BTreeMap;

use super::*;
use crate::config::{AppendFsync, SavePoint};

/// Files by absolute path.
#[derive(Default)]
pub(in crate::config) struct Given(BTreeMap<String, String>);

impl Given {
    pub(in crate::config) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect())
    }
}

impl Files for Given {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::Error::from_raw_os_error(2))?;
        Ok(text.clone().into_bytes())
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let dir = format!("{}/", dir.trim_end_matches('/'));
        let inside = self.0.keys().filter_map(|path| path.strip_prefix(&dir));
        let mut names: Vec<String> = inside
            .map(|rest| rest.split_once('/').map_or(rest.into(), |(sub, _)| format!("{sub}/")))
            .collect();
        names.dedup();
        Ok(names)
    }
    fn stdin(&self) -> io::Result<Vec<u8>> {
        self.read("-")
    }
}

fn load_with(files: &[(&str, &str)], args: &[&str]) -> Result<Loaded, ConfigError> {
    let args: Vec<Word> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    load(&CommandLine::parse(&args), &Given::of(files), "/cwd")
}

fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    load_with(&[("/cwd/redis.conf", text)], &["redis.conf"])
}

fn error(text: &str) -> String {
    load_text(text).unwrap_err().to_string()
}

#[test]
fn packaged_files_are_accepted_whole() {
    for (text, expected) in [
        (include_str!("testdata/redis.conf"), "/var/lib/redis"),
        (include_str!("testdata/valkey.conf"), "/var/lib/valkey"),
    ] {
        let loaded = load_text(text).unwrap();
        assert_eq!(loaded.config.dir, expected);
        assert!(!loaded.config.appendonly);
        assert_eq!(loaded.config.bind, ["127.0.0.1", "-::1"]);
        // What the packages set to its default is no reason to warn.
        assert!(loaded.warnings.len() <= 2, "{:?}", loaded.warnings);
    }
}

#[test]
fn comments_blanks_quotes_and_case() {
    let text =
        "\n# hz 1\n  \t HZ\t'11' \r\n\"port\" \"\\x37000\"\nlogfile \"a \\\"b\\\"\"\n   # end";
    let config = load_text(text).unwrap().config;
    assert_eq!((config.hz, config.port), (11, 7000));
    assert_eq!(config.logfile, "a \"b\"");
    assert_eq!(config.path(&config.logfile), "/cwd/data/a \"b\"");
}

#[test]
fn errors_name_file_line_and_reason() {
    for (text, expected) in [
        (
            "\nmaxmemry 1",
            "/cwd/redis.conf:2: 'maxmemry': Bad directive or wrong number of arguments; did you mean 'maxmemory'?",
        ),
        ("zzzzzz 1", "/cwd/redis.conf:1: 'zzzzzz': Bad directive or wrong number of arguments"),
        ("hz \"1", "/cwd/redis.conf:1: 'hz \"1': Unbalanced quotes in configuration line"),
        ("  port zz ", "/cwd/redis.conf:1: 'port zz': argument couldn't be parsed into an integer"),
        ("port 1 2", "/cwd/redis.conf:1: 'port 1 2': wrong number of arguments"),
        ("hz 10 # no", "/cwd/redis.conf:1: 'hz 10 # no': wrong number of arguments"),
        ("daemonize", "/cwd/redis.conf:1: 'daemonize': wrong number of arguments"),
        ("daemonize 1", "/cwd/redis.conf:1: 'daemonize 1': argument must be 'yes' or 'no'"),
        ("user", "/cwd/redis.conf:1: 'user ...': Bad directive or wrong number of arguments"),
        ("requirepass a b", "/cwd/redis.conf:1: 'requirepass ...': wrong number of arguments"),
        (
            "rename-command GET",
            "/cwd/redis.conf:1: 'rename-command GET': Bad directive or wrong number of arguments",
        ),
        (
            "appendfilename a/b",
            "/cwd/redis.conf:1: 'appendfilename a/b': appendfilename can't be a path, just a filename",
        ),
        (
            "backupdirname .",
            "/cwd/redis.conf:1: 'backupdirname .': backupdirname must be a directory of its own inside dir",
        ),
        ("appenddirname ''", "/cwd/redis.conf:1: 'appenddirname ''': appenddirname can't be empty"),
        (
            "proc-title-template {x}",
            "/cwd/redis.conf:1: 'proc-title-template {x}': template format is invalid or contains unknown variables",
        ),
        (
            "include nosuch",
            "/cwd/redis.conf:1: can't open config file '/cwd/nosuch': No such file or directory",
        ),
        (
            "user a on\nuser a off",
            "/cwd/redis.conf:2: 'user ...': Duplicate user 'a'. A user can only be defined once in config files",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
    let missing = load_with(&[], &["x.conf"]).unwrap_err().to_string();
    assert_eq!(
        missing,
        "/cwd/x.conf: can't open config file '/cwd/x.conf': No such file or directory"
    );
    let option = load_with(&[], &["--port", "zz"]).unwrap_err().to_string();
    assert_eq!(option, "command line: 'port \"zz\"': argument couldn't be parsed into an integer");
}

#[test]
fn users_live_in_one_place() {
    let both = error("aclfile users.acl\nuser a on");
    assert!(both.starts_with("/cwd/redis.conf:2: 'user' lines and 'aclfile' exclude"), "{both}");
    let loaded = load_text("user a on >\"p\"q\nrename-command CONFIG \"\"").unwrap_err();
    assert!(loaded.reason.contains("Unbalanced"));
    let config = load_text("user a on \">p q\"\nrename-command CONFIG \"\"").unwrap().config;
    assert_eq!(config.users[0].words, [b"a".to_vec(), b"on".to_vec(), b">p q".to_vec()]);
    assert_eq!(config.users[0].place, "/cwd/redis.conf:1");
    assert_eq!(config.renamed_commands, [(b"CONFIG".to_vec(), Word::new())]);
}

#[test]
fn several_arguments_may_come_in_one() {
    let text = "save \"900 1 300 10\"\nclient-output-buffer-limit \"pubsub 1kb 2kb 3\"\nbind \"::1 -*\"\n\
                shutdown-on-sigterm \"nosave force\"\nlatency-tracking-info-percentiles \"\"";
    let config = load_text(text).unwrap().config;
    assert_eq!(
        config.save,
        [SavePoint { seconds: 900, changes: 1 }, SavePoint { seconds: 300, changes: 10 }]
    );
    assert_eq!(config.client_output_buffer_limit.pubsub.soft_bytes, 2048);
    assert_eq!(config.bind, ["::1", "-*"]);
    let options = config.shutdown_on_sigterm;
    assert!(options.nosave() && options.force() && !options.save() && !options.now());
    assert_eq!(config.latency_tracking_info_percentiles, [0.0; 0]);
    assert!(error("shutdown-on-sigint save nosave").contains("can't be used simultaneously"));
}

// What redis-server 8.0 does with the same file, input and arguments.
#[test]
fn the_last_source_decides_and_save_adds_up() {
    let file = ("/cwd/a.conf", "hz 20\nsave 5 5\nsave 6 6\n");
    let input = ("-", "hz 44\nsave 1 1\n");
    for (args, hz, save) in [
        (vec!["a.conf"], 20, "5 5 6 6"),
        (vec!["a.conf", "--save", "7", "7", "--hz", "21"], 21, "5 5 6 6 7 7"),
        (vec!["a.conf", "--save", "", "--save", "7", "7"], 20, "7 7"),
        (vec!["a.conf", "--save", "7", "7", "--save", ""], 20, ""),
        (vec!["a.conf", "-"], 44, "5 5 6 6 1 1"),
        (vec!["-", "--hz", "9"], 9, "1 1"),
        (vec!["--save"], 10, ""),
        (vec!["--save", "900 1 300 10"], 10, "900 1 300 10"),
        (vec!["--include", "a.conf"], 20, "5 5 6 6"),
        (vec![], 10, "3600 1 300 100 60 10000"),
    ] {
        let config = load_with(&[file, input], &args).unwrap().config;
        let found = config.get(&[b"save"]);
        assert_eq!(config.hz, hz, "{args:?}");
        assert_eq!(found, [(b"save".to_vec(), save.as_bytes().to_vec())], "{args:?}");
    }
    let both = ["a.conf", "b.conf"];
    let error = load_with(&[file], &both).unwrap_err().to_string();
    assert_eq!(error, "command line: 'b.conf': Bad directive or wrong number of arguments");
}

#[test]
fn includes_follow_patterns_in_order() {
    let files = [
        ("/cwd/redis.conf", "include conf.d/*.conf\ninclude /etc/*/one.conf\ninclude none*\nhz 30"),
        ("/cwd/conf.d/b.conf", "timeout 2\nhz 2"),
        ("/cwd/conf.d/a.conf", "timeout 1\nport 1"),
        ("/cwd/conf.d/.c.conf", "timeout 3"),
        ("/cwd/conf.d/d.txt", "timeout 4"),
        ("/cwd/conf.d/sub.conf/x", "timeout 5"),
        ("/etc/y/one.conf", "appendfsync no"),
    ];
    let config = load_with(&files, &["redis.conf"]).unwrap().config;
    assert_eq!((config.timeout, config.port, config.hz), (2, 1, 30));
    assert_eq!(config.appendfsync, AppendFsync::No);
    let error =
        load_with(&[("/cwd/b.conf", "\nport x"), ("/cwd/a.conf", "include b.conf")], &["a.conf"]);
    assert!(error.unwrap_err().to_string().starts_with("/cwd/b.conf:2: "));
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let text = "include redis.conf\ninclude redis.conf";
    assert!(error(text).contains("too many includes"));
}

#[test]
fn what_has_no_effect_is_reported_once() {
    let text = "tls-port 6380\ntls-port 6381\nreplicaof host 1\nreplica-read-only yes\nloadmodule x.so a\n\
                list-max-ziplist-value 5\nslave-priority 3";
    let loaded =
        load_with(&[("/cwd/redis.conf", text)], &["redis.conf", "--mptcp", "yes"]).unwrap();
    let mut warnings = loaded.warnings;
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "/cwd/redis.conf:1: 'tls-port' has no effect: there is no TLS",
            "/cwd/redis.conf:3: 'replicaof' has no effect: this server is no replica",
            "/cwd/redis.conf:5: 'loadmodule' has no effect: there are no modules",
            "/cwd/redis.conf:6: 'list-max-ziplist-value' has no effect: it has been without meaning since Redis 7",
            "/cwd/redis.conf:7: 'replica-priority' has no effect: this server is no replica",
            "command line: 'mptcp' has no effect: it is not supported",
        ]
    );
    let shown = loaded.config.get(&[b"slave-priority", b"replicaof", b"tls-port"]);
    let values: Vec<&[u8]> = shown.iter().map(|(_, value)| value.as_slice()).collect();
    assert_eq!(values, [b"host 1".as_slice(), b"3", b"6381"]);
}

#[test]
fn the_data_directory_becomes_absolute() {
    assert_eq!(load_text("").unwrap().config.dir, "/cwd/data");
    assert_eq!(load_text("dir .").unwrap().config.dir, "/cwd");
    assert_eq!(load_text("dir ./x/").unwrap().config.dir, "/cwd/x/");
    assert_eq!(load_text("dir /y").unwrap().config.dir, "/y");
    assert_eq!(load_text("dir ''").unwrap().config.dir, "/cwd");
    assert_eq!(load_text("").unwrap().file.unwrap(), "/cwd/redis.conf");
}
