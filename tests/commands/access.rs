//! Users in files: the ACL file, `user` lines of the config file, and what is said when they are wrong.

use std::fs;

use super::support::client::Client;
use super::support::peers;
use super::support::server::{Place, Server};

const DEFAULT: &str = "user default on nopass sanitize-payload ~* &* +@all\n";
const BOB: &str = "user bob on sanitize-payload #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ~b* resetchannels -@all +@read +ping (~x resetchannels -@all +set)\n";

fn place_with(name: &str, text: &str) -> Place {
    let place = Place::new();
    fs::write(place.data().join(name), text).unwrap();
    place
}

fn users(client: &mut Client) -> String {
    let list = client.must("ACL LIST");
    list.items().iter().map(|line| line.text().unwrap() + "\n").collect()
}

fn answer(client: &mut Client, line: &str) -> String {
    client.line(line).unwrap().to_string()
}

#[test]
fn users_of_the_acl_file_are_there_at_start_and_what_is_saved_survives_kill_9() {
    let place = place_with("users.acl", &format!("\n{BOB}\r\n{DEFAULT}"));
    let mut server = Server::start_on(&peers::fastness(), &place, &["aclfile users.acl", "save "]);
    let mut client = server.client();
    assert_eq!(users(&mut client), format!("{BOB}{DEFAULT}"));
    let mut bob = server.client();
    assert!(answer(&mut bob, "AUTH bob wrong").contains("WRONGPASS"));
    bob.must("AUTH bob secret");
    bob.must("GET b1");
    bob.must("SET x 1");
    assert!(answer(&mut bob, "GET x").contains("NOPERM"));
    client.must("ACL SETUSER carol on nopass +get");
    client.must("ACL SAVE");
    client.must("ACL SETUSER dave on");
    server.crash();
    let carol = "user carol on nopass sanitize-payload resetchannels -@all +get\n";
    let saved = format!("{BOB}{carol}{DEFAULT}");
    assert_eq!(users(&mut server.client()), saved);
    assert_eq!(fs::read_to_string(place.data().join("users.acl")).unwrap(), saved);
    let left: Vec<_> = fs::read_dir(place.data()).unwrap().map(|one| one.unwrap()).collect();
    assert!(!left.iter().any(|one| one.file_name().to_string_lossy().contains("temp")));
}

#[test]
fn loading_is_all_or_nothing_and_disconnects_who_is_gone() {
    let place =
        place_with("users.acl", &format!("{BOB}user carol on nopass +@all ~* &*\n{DEFAULT}"));
    let server = Server::start_on(&peers::fastness(), &place, &["aclfile users.acl", "save "]);
    let (mut client, mut bob) = (server.client(), server.client());
    let (mut carol, mut listener) = (server.client(), server.client());
    bob.must("AUTH bob secret");
    carol.must("AUTH carol x");
    listener.must("AUTH carol x");
    listener.must("SUBSCRIBE news");
    let before = users(&mut client);
    for (text, start) in [
        (
            "user bob +nosuch\nfoo\n",
            "ERR users.acl:1: Error in applying operation '+nosuch': Unknown",
        ),
        ("user a (+get\n", "ERR users.acl:1: Unmatched parenthesis in selector definition"),
        ("user a on\nuser a off\n", "ERR WARNING: Duplicate user 'a' found on line 2."),
    ] {
        fs::write(place.data().join("users.acl"), text).unwrap();
        let reply = answer(&mut client, "ACL LOAD");
        assert!(reply.contains(start), "{reply}");
        assert_eq!(users(&mut client), before);
    }
    fs::remove_file(place.data().join("users.acl")).unwrap();
    let missing = answer(&mut client, "ACL LOAD");
    assert!(missing.contains("opening file 'users.acl': No such file or directory"), "{missing}");
    bob.must("PING");
    // Carol stays but hears less; bob is gone; default is as it always was.
    fs::write(place.data().join("users.acl"), "user carol on nopass +@all ~* &other\n").unwrap();
    client.must("ACL LOAD");
    assert!(bob.line("PING").is_err());
    carol.must("PING");
    assert!(listener.line("PING").is_err());
    let carols = "user carol on nopass sanitize-payload ~* resetchannels &other +@all\n";
    assert_eq!(users(&mut client), format!("{carols}{DEFAULT}"));
}

#[test]
fn a_wrong_file_stops_the_start_with_file_and_line_but_without_passwords() {
    for (options, name, text, expected) in [
        (
            "aclfile users.acl",
            "users.acl",
            "user a on >topsecret\nuser b >topsecret topsecret\n",
            "users.acl:2: Syntax error",
        ),
        ("aclfile none.acl", "users.acl", "", "opening file 'none.acl': No such file or directory"),
        (
            "",
            "server.conf",
            "port 0\nuser a on >topsecret ~* +nosuch\n",
            "server.conf:2: Error loading ACL rule '+nosuch' for the user named 'a': Unknown command",
        ),
        (
            "",
            "server.conf",
            "user a on ?topsecret\n",
            "server.conf:1: Error loading ACL rule number 2 for the user named 'a': Syntax error",
        ),
        (
            "",
            "server.conf",
            "user a (+get topsecret\n",
            "server.conf:1: Unmatched parenthesis in selector definition of user 'a'",
        ),
    ] {
        let place = place_with(name, text);
        let file = place.data().join(name).display().to_string();
        let options = if options.is_empty() { file.as_str() } else { options };
        let Err(printed) = Server::try_start_on(&peers::fastness(), &place, &[options]) else {
            panic!("{text} was accepted");
        };
        assert!(printed.contains(expected), "{printed}");
        assert!(!printed.contains("topsecret"), "{printed}");
    }
}

#[test]
fn user_lines_are_read_and_rewritten() {
    let lines = "requirepass first\nuser \"quo\\\"te\" on >pw ~a* (+get ~b*)\nuser off\n# end\n";
    let place = place_with("server.conf", lines);
    let file = place.data().join("server.conf").display().to_string();
    let mut server = Server::start_on(&peers::fastness(), &place, &[&file, "save "]);
    let mut client = server.client();
    assert!(answer(&mut client, "PING").contains("NOAUTH"));
    client.must("AUTH first");
    client.must("ACL SETUSER new on nopass %R~r* &c +@read -get");
    client.must("ACL SETUSER default >second");
    client.must("CONFIG REWRITE");
    let before = users(&mut client);
    assert!(before.contains("user quo\"te on sanitize-payload #30c952fab1"), "{before}");
    assert!(before.contains("user off off"), "{before}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains(
            "\nuser new on nopass sanitize-payload %R~r* resetchannels &c -@all +@read -get\n"
        ),
        "{text}"
    );
    assert!(!text.contains("second") && !text.contains(">pw"), "{text}");
    server.crash();
    let mut client = server.client();
    client.must("AUTH second");
    assert_eq!(users(&mut client), before);
}
