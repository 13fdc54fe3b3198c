use proptest::prelude::*;

use super::log::{AclLog, Entry};
use super::user::join_selectors;
use super::*;
use crate::command::table::table;
use crate::resp::OwnedArgs;

fn user_with(rules: &[&str]) -> User {
    let mut user = User::new(b"u", false);
    for rule in rules {
        user.apply(rule.as_bytes(), false).unwrap_or_else(|error| panic!("{rule}: {error}"));
    }
    user
}

fn text(user: &User) -> String {
    String::from_utf8(user.describe()).unwrap()
}

/// What happens when this user asks for this in database 0.
fn ask(user: &User, request: &str) -> Result<(), Denied> {
    ask_in(user, 0, request)
}

fn ask_in(user: &User, db: usize, request: &str) -> Result<(), Denied> {
    let mut acl = Acl::default();
    acl.put(user.clone());
    let id = acl.handle(&user.name).unwrap().id;
    let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
    let owned = OwnedArgs::from_slices(words);
    let args = owned.as_args();
    acl.check(id, (table().find(&args).unwrap(), &args), Place { db, databases: 4 })
}

fn denied(reason: Reason, at: usize) -> Result<(), Denied> {
    Err(Denied { reason, at })
}

#[test]
fn the_default_user_may_do_everything_and_its_limits_are_noticed() {
    let mut acl = Acl::default();
    assert!(acl.is_unrestricted(UserId::DEFAULT) && !acl.needs_auth());
    let mut limited = acl.by_name(b"default").unwrap().clone();
    limited.apply(b"-get", false).unwrap();
    acl.put(limited.clone());
    assert!(!acl.is_unrestricted(UserId::DEFAULT));
    limited.apply(b"+get", false).unwrap();
    acl.put(limited.clone());
    // The bitmap is not compared with "all": it is asked.
    assert!(ask(&limited, "GET k").is_ok());
    limited.apply(b"allcommands", false).unwrap();
    acl.put(limited);
    assert!(acl.is_unrestricted(UserId::DEFAULT));
    acl.set_default_password(b"secret");
    assert!(acl.needs_auth() && acl.authenticate(b"default", b"other").is_none());
    assert!(acl.authenticate(b"default", b"secret").is_some());
    acl.set_default_password(b"");
    assert!(!acl.needs_auth());
}

#[test]
fn ids_are_used_again_and_a_replaced_set_of_users_keeps_them() {
    let mut acl = Acl::default();
    acl.put(User::new(b"a", false));
    acl.put(User::new(b"b", false));
    let (a, b) = (acl.handle(b"a").unwrap().id, acl.handle(b"b").unwrap().id);
    let (gone, former) =
        acl.replace_all(vec![User::new(b"b", true), User::new(b"c", true), User::new(b"d", true)]);
    assert_eq!(gone, [a]);
    assert_eq!(former.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [b, UserId::DEFAULT]);
    assert_eq!(acl.handle(b"b").unwrap().id, b);
    assert_eq!(acl.handle(b"c").unwrap().id, a);
    assert!(acl.by_name(b"a").is_none() && acl.by_name(b"default").unwrap().nopass);
    let names: Vec<&[u8]> = acl.iter().map(|user| user.name.as_slice()).collect();
    assert_eq!(names, [b"b".as_slice(), b"c", b"d", b"default"]);
}

#[test]
fn passwords_are_hashed_and_never_printed_by_debug() {
    let user = user_with(&["on", ">secret", ">other"]);
    let shown = format!("{user:?}");
    assert!(!shown.contains("secret") && !shown.contains("2bb80d"), "{shown}");
    assert!(
        text(&user).contains("#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b")
    );
    assert!(user.accepts(b"secret") && user.accepts(b"other") && !user.accepts(b"Secret"));
    let mut off = user.clone();
    off.apply(b"off", false).unwrap();
    assert!(!off.accepts(b"secret"));
    let mut any = user;
    any.apply(b"nopass", false).unwrap();
    assert!(any.accepts(b"whatever") && any.passwords().is_empty());
}

#[test]
fn keys_need_the_access_that_the_request_makes() {
    let user = user_with(&["+@all", "%R~r*", "%W~w*", "~a*"]);
    for allowed in ["GET r1", "SET w1 x", "SET a1 x GET", "COPY r1 w1", "LLEN w1", "DEL w1"] {
        assert_eq!(ask(&user, allowed), Ok(()), "{allowed}");
    }
    for (request, at) in [
        ("GET w1", 1),
        ("SET r1 x", 1),
        ("SET w1 x GET", 1),
        ("MSET a1 x b1 y", 3),
        ("COPY w1 a1", 1),
        ("SORT r1 STORE r2", 3),
        ("BITFIELD r1 SET u8 0 1", 1),
        ("ZUNIONSTORE a1 2 r1 w1", 4),
    ] {
        assert_eq!(ask(&user, request), denied(Reason::Key, at), "{request}");
    }
}

#[test]
fn one_selector_must_allow_all_of_it_and_the_weightiest_denial_is_told() {
    let user = user_with(&["+get", "~g*", "(+set ~s*)", "(+mget ~g* ~s*)"]);
    assert_eq!(ask(&user, "GET g1"), Ok(()));
    assert_eq!(ask(&user, "SET s1 x"), Ok(()));
    assert_eq!(ask(&user, "MGET g1 s1"), Ok(()));
    assert_eq!(ask(&user, "GET s1"), denied(Reason::Key, 1));
    assert_eq!(ask(&user, "MGET g1 x1"), denied(Reason::Key, 2));
    assert_eq!(ask(&user, "DEL g1"), denied(Reason::Command, 0));
    assert_eq!(ask(&user, "AUTH x"), Ok(()), "needs no permission");
    assert!(user_with(&["+get", "(allcommands allkeys &*)"]).is_unrestricted());
}

#[test]
fn containers_and_first_arguments() {
    let user = user_with(&["+config", "-config|set", "+select|0", "+client|id"]);
    assert_eq!(ask(&user, "CONFIG GET x"), Ok(()));
    assert_eq!(ask(&user, "CONFIG SET x y"), denied(Reason::Command, 0));
    assert_eq!(ask(&user, "SELECT 0"), Ok(()));
    assert_eq!(ask(&user, "SELECT 1"), denied(Reason::Command, 0));
    assert_eq!(ask(&user, "CLIENT ID"), Ok(()));
    assert_eq!(ask(&user, "CLIENT LIST"), denied(Reason::Command, 0));
    assert_eq!(
        text(&user),
        "u off sanitize-payload resetchannels -@all +config -config|set +select|0 +client|id"
    );
}

#[test]
fn databases_are_listed_once_in_order_and_only_where_there_is_a_limit() {
    let listed = |rule: &str| {
        let text = text(&user_with(&["alldbs", rule]));
        text.strip_prefix("u off sanitize-payload resetchannels").unwrap().to_owned()
    };
    assert_eq!(listed("db=3,1,1,0"), " db=0,1,3 -@all");
    assert_eq!(listed("DB=2147483647,+5, 00,-0"), " db=0,5,2147483647 -@all");
    assert_eq!(listed("ResetDbs"), " resetdbs -@all");
    assert_eq!(listed("alldbs"), " -@all");
    assert_eq!(listed("(db=1)"), " -@all (resetchannels db=1 -@all)");
    assert_eq!(
        text(&user_with(&["db=1", "db=2"])),
        "u off sanitize-payload resetchannels db=2 -@all"
    );
    assert_eq!(text(&user_with(&["db=1", "reset"])), "u off sanitize-payload resetchannels -@all");
    let error = |rule: &str| User::new(b"u", false).apply(rule.as_bytes(), false).unwrap_err();
    for rule in
        ["db=", "db=,0", "db=0,", "db=0,,1", "db=x", "db=1x", "db=1 ", "db=+", "db", "(db=)"]
    {
        assert_eq!(error(rule), RuleError::Syntax, "{rule}");
    }
    for rule in ["db=-1", "db=2147483648", "db=99999999999999999999", "db=0,-1,x", "(db=-1)"] {
        assert_eq!(error(rule), RuleError::NoSuchDatabase, "{rule}");
    }
}

#[test]
fn what_touches_data_needs_its_database() {
    let user = user_with(&["+@all", "~*", "&*", "db=0,1"]);
    assert!(!user.is_unrestricted());
    assert!(user_with(&["+@all", "~*", "&*", "db=0", "alldbs"]).is_unrestricted());
    for request in ["GET k", "DBSIZE", "KEYS *", "WATCH k", "EVAL x 0", "FLUSHDB", "MOVE k 1"] {
        assert_eq!(ask_in(&user, 1, request), Ok(()), "{request}");
        assert_eq!(ask_in(&user, 2, request), denied(Reason::Database, 0), "{request}");
    }
    for request in ["PING", "PUBLISH c m", "SELECT 0", "SWAPDB 0 1", "MULTI", "AUTH x", "COMMAND"] {
        assert_eq!(ask_in(&user, 2, request), Ok(()), "{request}");
    }
    for (request, at) in [
        ("SELECT 2", 1),
        ("MOVE k 3", 2),
        ("SWAPDB 0 2", 2),
        ("SWAPDB 2 0", 1),
        ("COPY a b DB 2", 4),
        ("COPY a b DB 2 DB 1", 4),
        ("COPY a b DB 1 REPLACE db 2", 7),
        ("FLUSHALL", 0),
    ] {
        assert_eq!(ask(&user, request), denied(Reason::Database, at), "{request}");
    }
    // What names no database is refused for that.
    for request in ["SELECT 4", "SELECT -1", "SELECT x", "SWAPDB 2 4", "MOVE k x"] {
        assert_eq!(ask(&user, request), Ok(()), "{request}");
    }
    for request in ["COPY a b DB 2 DB", "COPY a b DB 2 DB 4", "COPY a b X DB 2", "COPY a b"] {
        assert_eq!(ask(&user, request), Ok(()), "{request}");
    }
    assert_eq!(ask(&user_with(&["+@all", "db=0,1,2,3,9"]), "FLUSHALL"), Ok(()));
    let none = user_with(&["+@all", "~*", "resetdbs"]);
    assert_eq!(ask(&none, "SELECT 0"), denied(Reason::Database, 1));
    assert_eq!(ask(&none, "PING"), Ok(()));
}

#[test]
fn a_denied_database_weighs_less_than_anything_else() {
    let user = user_with(&["db=1", "(+get ~k)"]);
    assert_eq!(ask(&user, "GET k"), Ok(()));
    assert_eq!(ask(&user, "GET x"), denied(Reason::Key, 1));
    assert_eq!(ask(&user, "SET k x"), denied(Reason::Command, 0));
    assert_eq!(ask_in(&user_with(&["db=1"]), 0, "GET k"), denied(Reason::Database, 0));
    let two = user_with(&["+@all", "~*", "(+@all ~* db=2)"]);
    assert_eq!(ask(&two, "COPY a b DB 1 DB 2"), Ok(()));
    let two = user_with(&["+@all", "~*", "db=0,1", "(+@all ~* db=0,2)"]);
    assert_eq!(ask(&two, "COPY a b DB 2 DB 1"), denied(Reason::Database, 6));
}

#[test]
fn the_last_target_of_georadius_is_checked() {
    let user = user_with(&["+@all", "~src", "~a"]);
    for request in
        ["GEORADIUS src 0 0 1 km STORE a", "GEORADIUSBYMEMBER src m 1 km STORE b STORE a"]
    {
        assert_eq!(ask(&user, request), Ok(()), "{request}");
    }
    for (request, at) in [
        ("GEORADIUS src 0 0 1 km STORE a STORE b", 9),
        ("GEORADIUS src 0 0 1 km STOREDIST a STOREDIST b", 9),
        ("GEORADIUS src 0 0 1 km STORE a STOREDIST b", 9),
        ("GEORADIUS src 0 0 1 km STORE a STOREDIST a STORE b", 11),
        ("GEORADIUS src 0 0 1 km STORE STORE STORE b", 9),
        ("GEORADIUSBYMEMBER src m 1 km STORE a STORE b", 8),
    ] {
        assert_eq!(ask(&user, request), denied(Reason::Key, at), "{request}");
    }
}

#[test]
fn names_are_told_as_the_bytes_that_they_are() {
    let denied = Denied { reason: Reason::Command, at: 0 };
    let refusal = permit::Refusal { denied, user: b"n\xff".to_vec(), command: "get".to_owned() };
    assert_eq!(refusal.text(), b"User n\xff has no permissions to run the 'get' command");
    let mut reply = crate::resp::Reply::default();
    refusal.error().write(&mut reply);
    assert_eq!(
        &reply.buffer[..],
        b"-NOPERM User n\xff has no permissions to run the 'get' command\r\n"
    );
    let args = OwnedArgs::from_slices([b"GET".as_slice(), b"k\xff"]);
    let told = |reason, at| {
        let refusal = permit::Refusal { denied: Denied { reason, at }, ..refusal.clone() };
        refusal.verbose_text(&args.as_args())
    };
    assert_eq!(told(Reason::Key, 1), b"User n\xff has no permissions to access the 'k\xff' key");
    assert_eq!(told(Reason::Database, 0), b"User n\xff has no permissions to access database GET");
    let mut acl = Acl::default();
    acl.put(User::new(b"n\xff", false));
    assert_eq!(&*acl.handle(b"n\xff").unwrap().name, b"n\xff");
}

#[test]
fn a_file_is_loaded_whole_or_not_at_all_and_errors_name_the_line() {
    let good =
        b"user default on nopass ~* &* +@all\n\nuser b on >pw  (+get ~x db=1) db=0 \r\nuser a\n";
    let users = file::parse(good, "f", false).unwrap();
    let names: Vec<&[u8]> = users.iter().map(|user| user.name.as_slice()).collect();
    assert_eq!(names, [b"default".as_slice(), b"b", b"a"]);
    let mut acl = Acl::default();
    acl.replace_all(users);
    let printed = file::print(&acl);
    let mut again = Acl::default();
    again.replace_all(file::parse(&printed, "f", false).unwrap());
    assert_eq!(file::print(&again), printed);
    let error = |text: &str| file::parse(text.as_bytes(), "f", false).unwrap_err();
    for (text, start) in [
        ("user a on\nfoo", "f:2 should start with user keyword followed by the username. WARNING"),
        (
            "user a +nosuch ~* ~x",
            "f:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. f:1: Adding a pattern after the *",
        ),
        ("user a\nuser a", "WARNING: Duplicate user 'a' found on line 2. WARNING: ACL errors"),
        ("user a\tb on", "'f:1: username 'a\tb' contains invalid characters. WARNING"),
        ("user a (+get", "f:1: Unmatched parenthesis in selector definition."),
        ("user a >secret secret", "f:1: Syntax error. WARNING"),
        ("user a db=-1", "f:1: The provided database ID is out of range. WARNING"),
    ] {
        assert!(error(text).starts_with(start), "{text}: {}", error(text));
    }
}

#[test]
fn the_log_merges_what_is_alike_and_stays_short() {
    let entry = |object: &str, at: i64| Entry {
        id: 0,
        count: 1,
        reason: Reason::Key,
        context: Context::TopLevel,
        object: object.as_bytes().to_vec(),
        username: b"u".to_vec(),
        client: Vec::new(),
        created_at: at,
        updated_at: at,
    };
    let mut log = AclLog::default();
    log.note(entry("a", 0), 3);
    log.note(entry("b", 1), 3);
    log.note(entry("a", 60_000), 3);
    let seen = |log: &AclLog| -> Vec<(u64, u64, i64, i64)> {
        let parts = |one: &Entry| (one.id, one.count, one.created_at, one.updated_at);
        log.entries().iter().map(parts).collect()
    };
    assert_eq!(seen(&log), [(0, 2, 0, 60_000), (1, 1, 1, 1)]);
    log.note(entry("a", 120_001), 3);
    log.note(entry("c", 120_001), 3);
    assert_eq!(log.entries().len(), 3);
    assert_eq!(log.entries()[0].id, 3, "numbers go on");
    log.reset();
    log.note(entry("c", 120_002), 3);
    assert_eq!(seen(&log), [(4, 1, 120_002, 120_002)]);
    log.note(entry("d", 120_002), 0);
    assert!(log.entries().is_empty());
}

/// Any rule that is about permissions, and some that make no sense.
fn rules() -> impl Strategy<Value = Vec<String>> {
    let names = prop::sample::select(vec![
        "get",
        "SET",
        "config",
        "config|get",
        "Config|Set",
        "select|0",
        "select",
        "acl|whoami",
        "@read",
        "@write",
        "@all",
        "@ADMIN",
        "client|kill",
        "nosuch",
        "get|x",
    ]);
    let pattern = "[a-c*?\\[)(\"']{0,3}";
    let one = prop_oneof![
        (prop::bool::ANY, names)
            .prop_map(|(allow, name)| format!("{}{name}", if allow { '+' } else { '-' })),
        (prop::sample::select(vec!["~", "%R~", "%W~", "%RW~", "%wr~", "%", "&"]), pattern)
            .prop_map(|(kind, pattern)| format!("{kind}{pattern}")),
        prop::sample::select(vec![
            "allkeys",
            "resetkeys",
            "allchannels",
            "resetchannels",
            "allcommands",
            "nocommands",
            "alldbs",
            "resetdbs",
            "db=0",
            "db=2,0,1",
            "db=1,",
            "~*",
            "&*",
        ])
        .prop_map(str::to_owned),
    ];
    let selector =
        prop::collection::vec(one.clone(), 0..4).prop_map(|rules| format!("({})", rules.join(" ")));
    let of_user = prop_oneof![
        8 => one,
        2 => selector,
        2 => prop::sample::select(vec![
            "on", "off", "nopass", "resetpass", ">pw", ">other", "<pw", "sanitize-payload",
            "skip-sanitize-payload", "clearselectors", "reset", "", "wrong",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(of_user, 0..16)
}

proptest! {
    /// What is printed, split at its spaces as a file is, makes the same user: same text, same answers.
    #[test]
    fn printed_users_read_back_the_same(rules in rules(), all_channels: bool) {
        let mut user = User::new(b"u", all_channels);
        for rule in &rules {
            let mut next = user.clone();
            if next.apply(rule.as_bytes(), all_channels).is_ok() {
                user = next;
            }
        }
        let printed = user.describe();
        let words = printed.split(|byte| *byte == b' ').skip(1);
        let joined = join_selectors(words).unwrap();
        let mut again = User::new(b"u", false);
        for rule in &joined {
            again.apply(rule, false).unwrap();
        }
        prop_assert_eq!(&again.describe(), &printed);
        for request in ["GET a", "SET b x", "CONFIG GET x", "CONFIG SET x y", "SELECT 0", "SELECT 1", "DBSIZE", "ACL WHOAMI", "SORT a STORE c"] {
            prop_assert_eq!(ask(&again, request), ask(&user, request), "{}", request);
        }
    }

    /// No rule, whatever its bytes, does harm.
    #[test]
    fn any_bytes_are_a_rule_or_an_error(rule: Vec<u8>) {
        let mut user = User::new(b"u", false);
        let _ = user.apply(&rule, false);
        let _ = file::parse(&[b"user a ", rule.as_slice()].concat(), "f", false);
    }
}
