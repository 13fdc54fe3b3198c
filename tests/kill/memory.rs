//! Memory of a real process: a limit that the data is above prevents no start.

use std::time::Duration;

use super::support::client::Client;
use super::support::peers;
use super::support::server::{Place, Server, wait_for};

const OPTIONS: &[&str] = &["appendfsync no", "save ", "enable-debug-command yes"];

fn fill(client: &mut Client) {
    client.must("DEBUG POPULATE 20000 key 100");
    let requests: Vec<Vec<String>> = (0..2000)
        .map(|n| format!("RPUSH list:{} item:{n} item:{n}", n % 20))
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect();
    assert!(client.pipeline(&requests).unwrap().iter().all(|reply| !reply.is_error()));
}

/// All is there; it is only that nothing more is taken until there is room.
fn check_above_limit(server: &Server, digest: &str) {
    let mut client = server.client();
    assert_eq!(client.must("DBSIZE").int(), Some(20_020));
    assert_eq!(client.must("DEBUG DIGEST").text().unwrap(), digest);
    let refused = client.line("SET new value").unwrap();
    assert!(refused.to_string().contains("OOM"), "{refused}");
    client.must("DEL key:1");
    client.must("CONFIG SET maxmemory 0");
    client.must("SET key:1 value");
}

#[test]
fn a_limit_below_the_data_prevents_no_start() {
    for form in ["log", "base", "snapshot"] {
        let log = if form == "snapshot" { "appendonly no" } else { "appendonly yes" };
        let place = Place::new();
        let options = [OPTIONS, &[log]].concat();
        let mut server = Server::start_on(&peers::fastness(), &place, &options);
        let mut client = server.client();
        fill(&mut client);
        match form {
            "log" => (),
            "snapshot" => drop(client.must("SAVE")),
            _ => {
                client.must("BGREWRITEAOF");
                wait_for("the rewrite", Duration::from_secs(60), || {
                    info(&mut client, "persistence", "aof_rewrite_in_progress") == 0
                        && info(&mut client, "persistence", "aof_rewrite_scheduled") == 0
                });
            }
        }
        let digest = client.must("DEBUG DIGEST").text().unwrap();
        server.stop();
        let options = [&options[..], &["maxmemory 1mb", "maxmemory-policy noeviction"]].concat();
        let mut server = Server::start_on(&peers::fastness(), &place, &options);
        check_above_limit(&server, &digest);
        server.stop();
    }
}

fn info(client: &mut Client, section: &str, field: &str) -> i64 {
    let text = client.must(&format!("INFO {section}")).text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().parse().unwrap()
}
