//! Files that we write, in real servers: they load them, say they hold the same, and their own
//! checkers find nothing.

use std::path::Path;
use std::process::Command;

use fastness::snapshot::encode::Encoder;
use fastness::snapshot::target::Target;

use super::rdb::{image, vectors};
use super::support::peers::{self, Kind, Program};
use super::support::server::{Place, Server};
use super::text;

/// The greatest RDB version that a server reads.
fn version_max(program: &Program) -> u32 {
    let output = Command::new(&program.path).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split("v=").nth(1).unwrap().split(' ').next().unwrap();
    let parts: Vec<u32> = number.split('.').map(|part| part.parse().unwrap()).collect();
    match (program.kind, parts[0], parts[1]) {
        (Kind::Redis, 7, 0) => 10,
        (Kind::Redis, 7, 2) | (Kind::Valkey, ..) => 11,
        (Kind::Redis, 6, _) => 9,
        _ => 12,
    }
}

/// What the server says it holds after it started on the file.
fn loaded_text(program: &Program, file: &[u8]) -> String {
    let place = Place::new();
    std::fs::write(place.data().join("dump.rdb"), file).unwrap();
    check(program, &place.data().join("dump.rdb"));
    let options = ["sanitize-dump-payload yes", "save ", "dbfilename dump.rdb"];
    let server = Server::start_on(program, &place, &options);
    text::of_server(&mut server.client())
}

/// Runs the checker that comes with the server.
fn check(program: &Program, file: &Path) {
    let name = program.path.file_name().unwrap().to_str().unwrap().replace("server", "check-rdb");
    let checker = program.path.with_file_name(name);
    if !checker.exists() {
        return;
    }
    let output = Command::new(&checker).arg(file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("looks OK"), "{}: {text}", program.name);
}

#[test]
fn real_servers_load_what_we_write() {
    for program in peers::all() {
        let most = version_max(&program);
        for (name, bytes, text) in vectors() {
            let (image, _) = image(&bytes);
            let mut encoder = match most {
                10 => Encoder::for_target(true, Target::Redis(10)),
                _ => Encoder::new(name.contains("redis")),
            };
            if image.has_field_expiry() && most < 12 {
                continue;
            }
            let file = image.file(&mut encoder);
            let said = loaded_text(&program, &file);
            // Servers before 7.2 have no active time of consumers; what they say instead differs.
            let comparable = |text: &str| -> Vec<String> {
                let cut = |line: &str| line.split(" active ").next().unwrap_or(line).to_owned();
                text.trim_end().lines().map(cut).collect()
            };
            assert_eq!(comparable(&said), comparable(&text), "{name} in {}", program.name);
        }
    }
}
