//! Tests of the table as a whole, of CONFIG GET, SET and REWRITE. Expected texts are those of Redis 8.0.

use std::collections::HashSet;

use proptest::prelude::*;

use super::directive::{self, Change, Place};
use super::kind::Kind;
use super::*;

/// `server name default` as the real servers print them.
const KNOWN: &str = include_str!("testdata/directives.tsv");

fn get_one(config: &Config, name: &str) -> Option<String> {
    let mut found = config.get(&[name.as_bytes()]);
    let (_, value) = found.pop()?;
    assert!(found.is_empty());
    Some(String::from_utf8(value).unwrap())
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Changed, String> {
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.changed(&pairs, true).map_err(|error| error.to_string())
}

fn changed(pairs: &[(&str, &str)]) -> Config {
    set(&Config::default(), pairs).unwrap().config
}

#[test]
fn every_directive_of_the_real_servers_is_known_with_its_default() {
    let config = Config::default();
    for line in KNOWN.lines().filter(|line| !line.starts_with('#')) {
        let [_, name, default] = *line.split('\t').collect::<Vec<_>>() else { panic!("{line}") };
        let expected = match name {
            "appendonly" => "yes",
            "appendfsync" => "always",
            "dir" => "./data",
            "rdbcompression" => "zstd",
            "io-threads" => continue, // By cores.
            _ => default,
        };
        assert_eq!(get_one(&config, name).as_deref(), Some(expected), "{line}");
    }
}

#[test]
fn names_are_unique_and_in_lower_case() {
    let mut seen = HashSet::new();
    for directive in directive::all() {
        for name in directive.names() {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(name, name.to_lowercase());
        }
        assert!(directive.doc.ends_with('.'), "{}", directive.name);
    }
}

#[test]
fn defaults_and_bounds_fit_their_fields() {
    let mut config = Config::default();
    for directive in directive::all() {
        let mut samples = vec![directive.default.to_owned()];
        match directive.kind {
            Kind::Line => continue,
            Kind::Integer(min, max) => samples.extend([min.to_string(), max.to_string()]),
            Kind::Memory(min, max) => samples.extend([min.to_string(), max.to_string()]),
            Kind::MemoryOrPercent => samples.extend([u64::MAX.to_string(), "100%".into()]),
            Kind::Octal(max) => samples.push(format!("{max:o}")),
            Kind::Name(names) => samples.extend(names.iter().map(|name| (*name).to_owned())),
            Kind::YesNo => samples.extend(["yes".into(), "no".into()]),
            Kind::Flags(_) | Kind::Events | Kind::Text | Kind::Words(_) => {}
        }
        for sample in samples {
            let given = match directive.kind.takes_several() {
                true => words::split_line(sample.as_bytes()).unwrap(),
                false => vec![sample.clone().into_bytes()],
            };
            let done = config.assign(directive, &given, false);
            let fine = done.is_ok() || directive.name == "replicaof";
            assert!(fine, "{} {sample}: {done:?}", directive.name);
        }
    }
}

#[test]
fn misspelt_names_find_their_neighbour() {
    for (given, meant) in [
        ("maxmemry", "maxmemory"),
        ("bnid", "bind"),
        ("appendfsnyc", "appendfsync"),
        ("hash-max-listpack-entires", "hash-max-listpack-entries"),
        ("SAV", "save"),
    ] {
        assert_eq!(directive::nearest(given.as_bytes()), Some(meant));
    }
    for given in ["", "x", "completely-else", &"a".repeat(500)] {
        assert_eq!(directive::nearest(given.as_bytes()), None, "{given}");
    }
}

#[test]
fn get_takes_names_and_patterns() {
    let config = changed(&[("maxmemory", "1gb"), ("maxmemory-clients", "50%")]);
    let names = |patterns: &[&str]| {
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        let found = config.get(&patterns).into_iter();
        found
            .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&["MAXmemory"]), ["MAXmemory=1073741824"]);
    assert_eq!(names(&["hz", "hz*", "nosuch", "HZ"]), ["hz=10"]);
    assert_eq!(names(&["MAXMEM*s"]), ["maxmemory-clients=50%", "maxmemory-samples=5"]);
    assert_eq!(
        names(&["lua-time*", "busy*"]),
        ["busy-reply-threshold=5000", "lua-time-limit=5000"]
    );
    assert_eq!(names(&["key-load-dela?"]), [""; 0]);
    assert_eq!(names(&["key-load-delay"]), ["key-load-delay=0"]);
    assert_eq!(names(&["user", "include"]), [""; 0]);
    assert_eq!(names(&["unixsocketperm"]), ["unixsocketperm=0"]);
    let limits = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
    assert_eq!(names(&["client-output*"]), [format!("client-output-buffer-limit={limits}")]);
}

#[test]
fn set_is_all_or_nothing_and_names_what_changed() {
    let config = Config::default();
    let done = set(&config, &[("hz", "20"), ("MAXMEMORY", "100mb"), ("timeout", "0")]).unwrap();
    assert_eq!(done.names, ["maxmemory", "hz"]);
    assert_eq!((done.config.hz, done.config.maxmemory), (20, 100 << 20));
    let failed = set(&config, &[("hz", "20"), ("maxmemory", "zz")]).unwrap_err();
    assert_eq!(
        failed,
        "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
    );
    let alias = changed(&[("slave-priority", "1"), ("replica-priority", "2")]);
    assert_eq!(get_one(&alias, "slave-priority").unwrap(), "2");
    assert_eq!(changed(&[("hz", "1000")]).hz, 500);
    assert_eq!(changed(&[("hz", "0")]).hz, 1);
    assert_eq!(
        get_one(&changed(&[("oom-score-adj", "relative")]), "oom-score-adj").unwrap(),
        "yes"
    );
    assert_eq!(changed(&[("save", "")]).save, []);
    assert_eq!(changed(&[("bind", "127.0.0.1 -::1")]).bind, ["127.0.0.1", "-::1"]);
}

/// What Redis' own tests set: every directive but those they name as immutable, to what CONFIG GET says.
#[test]
fn what_redis_does_not_have_can_be_set_to_what_it_is() {
    let config = Config::default();
    for (name, value) in [("metrics-port", "0"), ("mptcp", "no"), ("archive", "")] {
        assert!(set(&config, &[(name, value)]).is_ok(), "{name}");
    }
    for (name, value, why) in [("metrics-port", "1", "immutable"), ("archive", "/x", "protected")] {
        assert!(set(&config, &[(name, value)]).unwrap_err().contains(why), "{name}");
    }
}

#[test]
fn set_refuses_with_the_words_of_redis() {
    let config = Config::default();
    let failed = |pairs: &[(&str, &str)], name: &str, reason: &str| {
        let expected =
            format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}");
        assert_eq!(set(&config, pairs).unwrap_err(), expected);
    };
    failed(&[("port", "1"), ("port", "2")], "port", "duplicate parameter");
    failed(&[("daemonize", "yes")], "daemonize", "can't set immutable config");
    failed(&[("daemonize", "yes"), ("daemonize", "no")], "daemonize", "can't set immutable config");
    failed(&[("dir", "/tmp")], "dir", "can't set protected config");
    failed(&[("HZ", "")], "HZ", "argument couldn't be parsed into an integer");
    failed(
        &[("appendfsync", "sometimes")],
        "appendfsync",
        "argument(s) must be one of the following: everysec, always, no",
    );
    failed(&[("save", "900 1 5")], "save", "Invalid save parameters");
    failed(
        &[("notify-keyspace-events", "Q")],
        "notify-keyspace-events",
        "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
    );
    let unknown = "Unknown option or number of arguments for CONFIG SET - 'nosuch'";
    assert_eq!(set(&config, &[("nosuch", "1"), ("daemonize", "yes")]).unwrap_err(), unknown);
    assert!(set(&config, &[("user", "x")]).unwrap_err().starts_with("Unknown"));
}

#[test]
fn protected_directives_ask_where_the_client_is() {
    let mut config = Config::default();
    let pair: [(&[u8], &[u8]); 1] = [(b"dbfilename", b"x.rdb")];
    for (allow, local, fine) in [
        (Allow::No, true, false),
        (Allow::Local, false, false),
        (Allow::Local, true, true),
        (Allow::Yes, false, true),
    ] {
        config.enable_protected_configs = allow;
        assert_eq!(config.changed(&pair, local).is_ok(), fine, "{allow:?} {local}");
    }
    assert!(is_secret(b"RequirePass") && is_secret(b"masterauth") && !is_secret(b"port"));
}

#[test]
fn what_get_prints_set_accepts() {
    let config = Config::default();
    for directive in directive::all() {
        let skipped = matches!(directive.kind, Kind::Line) || directive.change == Change::Never;
        if skipped || directive.change == Change::Protected {
            continue;
        }
        let value = get_one(&config, directive.name).unwrap();
        let again = set(&config, &[(directive.name, &value)]);
        assert_eq!(again.unwrap().names, [""; 0], "{} {value}", directive.name);
    }
}

fn rewritten(config: &Config, old: &str) -> String {
    String::from_utf8(config.rewritten(old.as_bytes(), &[], &Included::default(), false)).unwrap()
}

const OLD: &str = "\
# my comment
port 0
# saves
save 900 1


save 300 10
HZ 10
slave-priority 50
include /etc/inc.conf
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit slave 256mb 64mb 60
requirepass \"abc\"
  nosuch 5
bind 127.0.0.1
hz 11
# tail
";

#[test]
fn rewriting_keeps_comments_and_order() {
    let config = changed(&[
        ("port", "0"),
        ("save", ""),
        ("hz", "12"),
        ("replica-priority", "50"),
        ("client-output-buffer-limit", "pubsub 1000 2048 3"),
        ("maxmemory", "1gb"),
        ("masterauth", "a\"b\nc"),
        ("bind", ""),
    ]);
    let expected = "\
# my comment
port 0
# saves
save \"\"

hz 12
replica-priority 50
include /etc/inc.conf
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit replica 256mb 64mb 60
requirepass \"\"
# ??? nosuch 5
bind \"\"

# tail

# Generated by CONFIG REWRITE
client-output-buffer-limit pubsub 1000 2kb 3
dir \"./data\"
maxmemory 1gb
masterauth \"a\\\"b\\nc\"
";
    let first = rewritten(&config, OLD);
    assert_eq!(first, expected);
    assert_eq!(rewritten(&config, &first), first, "a second time changes nothing");
}

#[test]
fn rewriting_an_empty_file_says_what_is_not_default() {
    let text = rewritten(&Config::default(), "");
    assert_eq!(
        text,
        "# Generated by CONFIG REWRITE\ndir \"./data\"\nsave 3600 1\nsave 300 100\nsave 60 10000\n"
    );
}

#[test]
fn users_are_written_unless_they_live_in_their_own_file() {
    let users = [b"default on nopass".to_vec(), b"foo off".to_vec()];
    let old = b"user gone on\nport 1\nuser gone2 on\nuser gone3 on\n";
    let text = Config::default().rewritten(old, &users, &Included::default(), false);
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("user default on nopass\nport 6379\nuser foo off\n\n# Gen"), "{text}");
    let line = b"aclfile users.acl".to_vec();
    let line = CommandLine { options: line, ..CommandLine::default() };
    let config = load(&line, &file::tests::Given::of(&[]), "/").unwrap().config;
    let text =
        String::from_utf8(config.rewritten(old, &users, &Included::default(), false)).unwrap();
    assert!(!text.contains("user "), "{text}");
}

/// What CONFIG REWRITE makes of `main`, which includes `inc`, after `pairs` were set; it must load to the same.
fn rewritten_over(main: &str, inc: &str, pairs: &[(&str, &str)], users: &[Vec<u8>]) -> String {
    let load_of = |main: &str| {
        let files = file::tests::Given::of(&[("/m", main), ("/inc", inc)]);
        let line = CommandLine { file: Some("/m".to_owned()), ..CommandLine::default() };
        (load(&line, &files, "/").unwrap().config, files)
    };
    let (config, files) = load_of(main);
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let config = config.changed(&pairs, true).unwrap().config;
    let text = |old: &str| {
        let included = included("/m", old.as_bytes(), &files, "/").unwrap();
        String::from_utf8(config.rewritten(old.as_bytes(), users, &included, false)).unwrap()
    };
    let first = text(main);
    assert_eq!(load_of(&first).0.get(&[b"*"]), config.get(&[b"*"]), "{first}");
    assert_eq!(text(&first), first, "a second time changes nothing");
    first
}

#[test]
fn rewriting_says_nothing_again_that_is_included() {
    let inc = "save 900 1\nmaxmemory 5mb\nhz 20\nuser alice on nopass\ndir /data\n";
    let users = [b"alice on nopass".to_vec(), b"bob off".to_vec()];
    let main = "# mine\nport 7\ninclude /inc\n";
    let text = rewritten_over(main, inc, &[], &users);
    let marked = "\n# Generated by CONFIG REWRITE\n";
    assert_eq!(text, format!("{main}{marked}user bob off\n"));
    // What differs is said behind the include, whatever was said before it.
    let before = "hz 30\nsave 60 5\ninclude /inc\nmaxmemory 7mb\n";
    let text = rewritten_over(before, inc, &[("hz", "40"), ("maxmemory", "5mb")], &[]);
    assert_eq!(text, format!("include /inc\n{marked}save \"\"\nsave 60 5\nsave 900 1\nhz 40\n"));
    let text = rewritten_over(main, inc, &[("save", "900 1 60 5")], &[]);
    assert_eq!(text, format!("{main}{marked}save 60 5\n"));
    let text = rewritten_over(main, inc, &[("save", "")], &[]);
    assert_eq!(text, format!("{main}{marked}save \"\"\n"));
}

#[test]
fn a_rewritten_file_loads_to_the_same_values() {
    let mut config = Config::default();
    for directive in directive::all() {
        let other = match directive.kind {
            Kind::Integer(min, _) => min.to_string(),
            Kind::Memory(..) => "1025kb".into(),
            Kind::MemoryOrPercent => "7%".into(),
            Kind::Octal(_) => "640".into(),
            Kind::Name(names) => names[names.len() - 1].into(),
            Kind::Flags(_) => "nosave now".into(),
            Kind::Events => "KEA".into(),
            Kind::YesNo => if directive.default == "yes" { "no" } else { "yes" }.into(),
            Kind::Text => "it's 'x'".into(),
            Kind::Words(_) | Kind::Line => continue,
        };
        let given = words::split_spaces(other.as_bytes());
        let given = if directive.kind.takes_several() { given } else { vec![other.into_bytes()] };
        let done = config.assign(directive, &given, false);
        assert!(done.is_ok() || directive.check.is_some(), "{} {done:?}", directive.name);
    }
    config.dir = "/data dir".into();
    config.requirepass = vec![0, 255, b'"', b'\n'];
    let options = config.rewritten(b"", &[], &Included::default(), false);
    let line = CommandLine { options, ..CommandLine::default() };
    let again = load(&line, &file::tests::Given::of(&[]), "/").unwrap().config;
    assert_eq!(again, config);
}

#[test]
fn places_and_kinds_agree() {
    for directive in directive::all() {
        let line = matches!(directive.kind, Kind::Line);
        assert!(!matches!(directive.place, Place::Field(..)) || !line, "{}", directive.name);
        assert!(!matches!(directive.place, Place::Line) || line, "{}", directive.name);
    }
}

#[test]
fn io_threads_follow_the_cores() {
    assert!((1..=8).contains(&Config::default().io_threads));
}

#[test]
fn any_bytes_are_fine_for_the_fuzz_target() {
    for text in
        ["", "hz 5\nsave 1 1\0# x\nsave 2 2\nhz 6\n", "bind\nuser a on\ninclude x\0", "\"\0\""]
    {
        fuzz_config(text.as_bytes());
    }
}

#[test]
fn limits_of_the_types_follow_the_directives() {
    assert_eq!(Config::default().limits(), Limits::default());
    let limits =
        changed(&[("zset-max-ziplist-value", "1kb"), ("proto-max-bulk-len", "2mb")]).limits();
    assert_eq!((limits.zset_max_listpack_value, limits.string_max_bytes), (1024, 2 << 20));
}

/// A line of any directive with arguments that many of them take.
fn any_line() -> impl Strategy<Value = String> {
    let names: Vec<&str> = directive::all().flat_map(Directive::names).collect();
    let argument = prop_oneof![
        prop::sample::select(vec![
            "yes",
            "no",
            "\"\"",
            "0",
            "1",
            "-1",
            "700",
            "1kb",
            "5%",
            "3gb",
            "KEA",
            "always",
            "nosave",
            "pubsub",
            "normal",
            "\"900 1\"",
            "\"\\x00\\xff \\\"\"",
            "'it'",
            "1e1",
            "save",
            "local",
            "#",
            "host",
            "force",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    (prop::sample::select(names), prop::collection::vec(argument, 0..5))
        .prop_map(|(name, arguments)| format!("{name} {}", arguments.join(" ")))
}

/// The text of a file whose lines are each accepted.
fn accepted(lines: Vec<String>) -> String {
    let mut text = String::new();
    for line in lines {
        let options = format!("{text}{line}\n").into_bytes();
        let candidate = CommandLine { options, ..CommandLine::default() };
        if load(&candidate, &file::tests::Given::of(&[]), "/").is_ok() {
            text += &line;
            text.push('\n');
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_accepted_file_survives_a_rewrite_of_any_other(
        lines in prop::collection::vec(any_line(), 0..40),
        old in prop::collection::vec(prop_oneof![any_line(), "[ -~]{0,20}"], 0..12),
    ) {
        let file = accepted(lines);
        fuzz_config(format!("{file}\0{}", old.join("\n")).as_bytes());
    }
}
