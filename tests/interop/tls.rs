//! Servers that speak TLS: real ones, with certificates of an authority of our own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::dataset::{VALUES, assert_same, dump};
use crate::support::peers;
use crate::support::server::Server;
use crate::{Features, fill};

fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/tls");
    folder.join(name).to_str().unwrap().to_owned()
}

/// Runs `fastness ARGS --json` with one more variable; the exit code and what it printed.
fn fastness(args: &[&str], variable: Option<(&str, &str)>) -> (i32, Value) {
    let mut command = Command::new(peers::fastness().path);
    command.args(args).arg("--json").env_remove("SSL_CERT_FILE").envs(variable);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

fn done(args: &[&str]) -> Value {
    let (code, value) = fastness(args, None);
    assert_eq!(code, 0, "{args:?}: {value}");
    value
}

/// A server with a port of its own for TLS; `auth`: whether clients need a certificate.
fn start(program: &peers::Program, auth: &str) -> (Server, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = [
        format!("tls-port {port}"),
        format!("tls-cert-file {}", file("server.pem")),
        format!("tls-key-file {}", file("server.key")),
        format!("tls-ca-cert-file {}", file("ca.pem")),
        format!("tls-auth-clients {auth}"),
        "save ".to_owned(),
        "enable-debug-command yes".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    (Server::start(program, &options), port)
}

#[test]
fn servers_are_backed_up_compared_and_restored_into_through_tls() {
    for program in [peers::redis8(), peers::valkey9()].into_iter().flatten() {
        let (server, port) = start(&program, "no");
        let mut client = Client::connect(server.port).unwrap();
        fill(&mut client, Features { field_expiry: false, streams: true });
        let expected = dump(&mut client, VALUES).unwrap();
        let root = tempfile::tempdir().unwrap();
        let repository = root.path().join("repository").to_str().unwrap().to_owned();
        let address = format!("rediss://127.0.0.1:{port}");
        let create = ["backup", "create", "--from", &address, "--to", &repository];
        // Nobody knows the authority.
        let (code, answer) = fastness(&create, Some(("SSL_CERT_FILE", &file("client.pem"))));
        assert_eq!(code, 1, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("--cacert"), "{answer}");
        let ca = file("ca.pem");
        let made = done(&[&create[..], &["--cacert", &ca]].concat());
        assert_eq!(made["from"], "replication", "{made}");
        // As the system's, and as nobody's.
        assert_eq!(fastness(&create, Some(("SSL_CERT_FILE", &ca))).0, 0);
        done(&[&create[..], &["--insecure"]].concat());
        // Of that authority, but for another name.
        let (code, answer) =
            fastness(&[&create[..], &["--cacert", &ca, "--sni", "other.example"]].concat(), None);
        assert_eq!(code, 1, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("--sni"), "{answer}");
        let by_name = format!("rediss://localhost:{port}");
        let diff = ["backup", "diff", &repository, &by_name, "--cacert", &ca];
        done(&diff);
        // Into another one, which wants to know who comes.
        let (other, port) = start(&program, "yes");
        let to = format!("rediss://127.0.0.1:{port}");
        let restore = ["restore", "--from", &repository, "--to", &to, "--cacert", &ca];
        assert_eq!(fastness(&restore, None).0, 1, "without a certificate");
        let (cert, key) = (file("client.pem"), file("client.key"));
        done(&[&restore[..], &["--cert", &cert, "--key", &key]].concat());
        let found = dump(&mut Client::connect(other.port).unwrap(), VALUES).unwrap();
        assert_same(program.name, &expected, &found);
        let inspected = done(&["inspect", &by_name, "--cacert", &ca]);
        assert!(inspected.is_object(), "{inspected}");
    }
}

#[test]
fn a_server_without_tls_is_told_in_words() {
    let server = Server::start(&peers::fastness(), &[]);
    let address = format!("rediss://127.0.0.1:{}", server.port);
    let root = tempfile::tempdir().unwrap();
    let repository = root.path().join("repository").to_str().unwrap().to_owned();
    let create = ["backup", "create", "--from", &address, "--to", &repository, "--insecure"];
    let (code, answer) = fastness(&create, None);
    assert_eq!(code, 1, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("TLS"), "{answer}");
}
