//! The endpoint for Prometheus, asked as Prometheus asks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::peers;
use crate::support::server::{Server, free_port};

fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    // A request that is too long is not read to its end: then the connection may be reset.
    match stream.read_to_string(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => answer,
    }
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing in {metrics}")).parse().unwrap()
}

#[test]
fn metrics_follow_the_server() {
    let port = free_port();
    let options = [format!("metrics-port {port}"), "metrics-bind 127.0.0.1".to_owned()];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = Server::start(&peers::fastness(), &options);
    let mut client = server.client();
    client.must("SET a 1");
    client.must("SET b 2 EX 1000");
    client.line("GET nothing extra").unwrap();
    let get = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    let answer = ask(port, get);
    let (head, metrics) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", metrics.len())), "{head}");
    assert_eq!(value(metrics, "redis_up"), 1.0);
    assert_eq!(value(metrics, "redis_db_keys{db=\"db0\"}"), 2.0);
    assert_eq!(value(metrics, "redis_db_keys_expiring{db=\"db0\"}"), 1.0);
    assert_eq!(value(metrics, "redis_commands_total{cmd=\"set\"}"), 2.0);
    assert_eq!(value(metrics, "fastness_aof_state{state=\"ready\"}"), 1.0);
    assert_eq!(value(metrics, "redis_errors_total{err=\"ERR\"}"), 1.0);
    assert!(value(metrics, "redis_memory_used_bytes") > 100_000.0);
    assert!(value(metrics, "fastness_aof_position_appended") > 0.0);
    client.must("SET c 3");
    let later = ask(port, get);
    assert_eq!(value(&later, "redis_commands_total{cmd=\"set\"}"), 3.0);
    assert!(ask(port, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(ask(port, "DELETE /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(ask(port, &format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000))).is_empty());
    let head = ask(port, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"));
}

#[test]
fn without_a_port_nobody_listens() {
    let server = Server::start(&peers::fastness(), &[]);
    let reply = server.client().must("CONFIG GET metrics-port");
    assert!(format!("{reply}").contains('0'), "{reply}");
}
