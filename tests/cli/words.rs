//! What operators and their tools read in the log when a directory does not load, and what a command that
//! lost its name in the configuration answers, before and after a restart.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::server::free_port;
use crate::{MANIFEST, redis_directory};

fn serve(dir: &Path, port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastness"));
    command.arg("serve").args(more).args(["--appendonly", "yes", "--save", ""]);
    command.args(["--port", &port.to_string()]).arg("--dir").arg(dir);
    command
}

/// What a server says that refuses to start on a directory.
fn refusal(dir: &Path) -> String {
    let more = ["--aof-load-truncated", "no"];
    let output = serve(dir, free_port(), &more).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_log_names_damage_as_redis_does() {
    let set = "*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\nb\r\n";
    for (records, expected) in [
        (format!("{set}!!!{set}"), "Bad file format reading the append only file"),
        (set[..set.len() - 1].to_owned(), "Unexpected end of file reading the append only file"),
        (
            format!("*1\r\n$5\r\nmulti\r\n{set}"),
            "Unexpected end of file reading the append only file",
        ),
        (format!("{set}*1\r\n$3\r\nbla\r\n"), "Unknown command 'bla' reading the append only file"),
    ] {
        let dir = redis_directory(records.as_bytes());
        let log = refusal(dir.path());
        assert!(log.contains(expected), "{expected}: {log}");
    }
    let base = "file appendonly.aof.1.base.rdb seq 1 type b\n";
    for (manifest, expected) in [
        (String::new(), "Found an empty AOF manifest"),
        (format!("{base}{base}"), "Found duplicate base file information"),
        (format!("{base}\n"), "Invalid AOF manifest file format"),
        ("file a seq 1 type x\n".to_owned(), "Unknown AOF file type"),
        (
            "file a seq 2 type i\nfile b seq 1 type i\n".to_owned(),
            "Found a non-monotonic sequence number",
        ),
        ("file nothere.aof seq 1 type i\n".to_owned(), "nothere.aof: No such file or directory"),
    ] {
        let dir = redis_directory(set.as_bytes());
        fs::write(dir.path().join(MANIFEST), manifest).unwrap();
        let log = refusal(dir.path());
        assert!(log.contains(expected), "{expected}: {log}");
    }
}

/// A server that is killed when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(port: u16) -> TcpStream {
    for _ in 0..200 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            if ask(&mut stream, "PING") == "+PONG\r\n" {
                return stream;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no server at port {port}");
}

fn ask(stream: &mut TcpStream, line: &str) -> String {
    stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut reply = [0; 4096];
    let len = stream.read(&mut reply).unwrap();
    String::from_utf8_lossy(&reply[..len]).into_owned()
}

#[test]
fn a_renamed_command_answers_to_its_new_name_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("redis.conf");
    fs::write(&config, "rename-command INCRBY addto\nrename-command GETDEL \"\"\n").unwrap();
    let config = config.to_str().unwrap();
    let (dir, port) = (folder.path().join("data"), free_port());
    let spawn = || {
        let mut command = serve(&dir, port, &[config]);
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let server = spawn();
    let mut client = connect(port);
    assert_eq!(ask(&mut client, "addto n 5"), ":5\r\n");
    let unknown = |reply: String| assert!(reply.starts_with("-ERR unknown command"), "{reply}");
    unknown(ask(&mut client, "INCRBY n 5"));
    unknown(ask(&mut client, "GETDEL n"));
    assert_eq!(ask(&mut client, "MULTI"), "+OK\r\n");
    assert_eq!(ask(&mut client, "AddTo n 1"), "+QUEUED\r\n");
    assert_eq!(ask(&mut client, "EXEC"), "*1\r\n:6\r\n");
    let script = |word: &str| format!("EVAL \"return redis.call('{word}','n',1)\" 0");
    assert_eq!(ask(&mut client, &script("addto")), ":7\r\n");
    let refused = ask(&mut client, &script("incrby"));
    assert!(refused.starts_with("-ERR Unknown Redis command"), "{refused}");
    drop(server);
    // The log has the commands' own names.
    let _server = spawn();
    assert_eq!(ask(&mut connect(port), "GET n"), "$1\r\n7\r\n");
}

/// The first thing that a client hears that connects as soon as there is somebody.
fn first_word(port: u16) -> String {
    for _ in 0..20_000 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            return ask(&mut stream, "PING");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    panic!("no server at port {port}");
}

#[test]
fn clients_of_a_small_data_set_do_not_hear_that_it_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    for start in 0..15 {
        let port = free_port();
        let mut command = serve(&dir, port, &[]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let _server = Running(server);
        assert_eq!(first_word(port), "+PONG\r\n", "start {start}");
        assert_eq!(ask(&mut connect(port), &format!("SET key {start}")), "+OK\r\n");
    }
}

#[test]
fn a_link_with_the_name_of_redis_server_is_asked_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("redis-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fastness"), &link).unwrap();
    let said = |args: &[&str]| {
        let output = Command::new(&link).args(args).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    for option in ["-v", "--version"] {
        let (code, text) = said(&[option]);
        assert!(code == 0 && text.starts_with("Redis server v="), "{text}");
    }
    let (code, text) = said(&["--check-system"]);
    assert_eq!(code == 1, text.contains("WARNING"), "{text}");
    assert!(text.contains("[slow-clocksource]..."), "{text}");
    assert_eq!(said(&["--test-memory", "2"]), (0, "Your memory passed this test.\n".to_owned()));
    assert_eq!(said(&["--test-memory", "none"]).0, 1);
    let port = free_port();
    let mut command = Command::new(&link);
    command.args(["--port", &port.to_string(), "--save", ""]).arg("--dir").arg(folder.path());
    let _server = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    assert_eq!(first_word(port), "+PONG\r\n");
}
