//! Client libraries and applications at work on our server: redis-py, ioredis and node-redis
//! through every command family, and locks, rate limiters and job queues doing their real job.
//!
//! Each test runs a driver of `clients/python` or `clients/node`, programs that a user of the
//! library could have written. What a driver prints is compared with what it prints on the real
//! Redis 8, so that a reply which a library takes apart differently is seen; what must hold on
//! any server (no job lost, never two holders of a lock) the driver asserts by itself. A driver's
//! line `@crash` makes this side kill -9 the server and start it again on the same port and data.
//!
//! `scripts/clients.sh` brings the libraries. `INTEROP=redis8` puts Redis in our place.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::ours;
use crate::support::peers::{self, Program};
use crate::support::server::Server;

const WITHIN: Duration = Duration::from_secs(80);

/// What every server is started with: an acknowledged write is one that a crash does not take.
const OPTIONS: [&str; 3] = ["appendonly yes", "appendfsync always", "save "];

/// The interpreter that runs a driver, with the libraries that it needs.
fn interpreter(driver: &str) -> Option<Command> {
    let home = peers::cache_folder("FASTNESS_CLIENTS", "fastness-clients");
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop/clients");
    let (installed, mut command, folder) = if driver.ends_with(".py") {
        let mut command = Command::new(home.join("python/bin/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore");
        (home.join("python/installed.txt"), command, "python")
    } else {
        let mut command = Command::new("node");
        command.env("NODE_PATH", home.join("node/node_modules"));
        (home.join("node/installed.json"), command, "node")
    };
    if !installed.is_file() {
        peers::not_run(&format!("no libraries for {driver}: run scripts/clients.sh"));
        return None;
    }
    command.arg(scripts.join(folder).join(driver));
    Some(command)
}

/// A driver's process and those that it started. They end with this value.
struct Driver {
    name: String,
    child: Child,
    answers: ChildStdin,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Driver {
    fn start(driver: &str, server: &Server) -> Option<Self> {
        let mut command = interpreter(driver)?;
        // Worker processes leave their files where they are started.
        command.arg(server.port.to_string()).current_dir(server.data());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for (number, output) in outputs.into_iter().enumerate() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    let mark = if number == 0 { "" } else { "! " };
                    let line = format!("{mark}{}", String::from_utf8_lossy(&line));
                    sender.send(line).ok();
                }
            });
        }
        let answers = child.stdin.take().unwrap();
        let name = format!("{driver} on {}", server.program.name);
        Some(Self { name, child, answers, lines, printed: Vec::new() })
    }

    /// Goes along with the driver to its end. Returns what it printed.
    fn finish(mut self, server: &mut Server) -> Vec<String> {
        let deadline = Instant::now() + WITHIN;
        let status = loop {
            match self.lines.recv_timeout(Duration::from_millis(20)) {
                Ok(line) if line == "@crash" => {
                    server.crash_on_same_port();
                    writeln!(self.answers, "up").ok();
                }
                Ok(line) => self.printed.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if let Some(status) = self.child.try_wait().unwrap() {
                        break status;
                    }
                }
            }
            if Instant::now() > deadline {
                panic!("{}: not done within {WITHIN:?}\n{}", self.name, self.printed.join("\n"));
            }
        };
        self.printed.extend(self.lines.try_iter());
        assert!(status.success(), "{}: {status}\n{}", self.name, self.printed.join("\n"));
        // What a library says on standard error is for a failure's output only.
        self.printed.retain(|line| !line.starts_with("! "));
        std::mem::take(&mut self.printed)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status().ok();
        self.child.wait().ok();
    }
}

/// Runs a driver on one server. None without its libraries.
fn run(driver: &str, program: &Program) -> Option<Vec<String>> {
    let started = Instant::now();
    let mut server = Server::start(program, &OPTIONS);
    let printed = Driver::start(driver, &server)?.finish(&mut server);
    eprintln!("interop: {driver} on {}, {:.1?}", program.name, started.elapsed());
    Some(printed)
}

/// The driver does its job on our server.
fn works(driver: &str) {
    let Some(program) = ours() else { return };
    let Some(printed) = run(driver, &program) else { return };
    assert!(!printed.is_empty(), "{driver} printed nothing");
}

/// The driver sees the same replies from our server as from Redis.
fn sees_the_same(driver: &str) {
    let (Some(ours), Some(redis)) = (ours(), peers::redis8()) else { return };
    let other = driver.to_owned();
    let theirs = std::thread::spawn(move || run(&other, &redis));
    let printed = run(driver, &ours);
    let (Some(printed), Some(expected)) = (printed, theirs.join().unwrap()) else { return };
    assert!(expected.len() > 100, "{driver} printed {} lines only", expected.len());
    let differing: Vec<String> = expected
        .iter()
        .zip(&printed)
        .filter(|(theirs, ours)| theirs != ours)
        .map(|(theirs, ours)| format!("  redis    {theirs}\n  fastness {ours}"))
        .collect();
    assert!(differing.is_empty(), "{driver}:\n{}", differing.join("\n"));
    assert_eq!(expected.len(), printed.len(), "{driver} printed more on one of the servers");
}

#[test]
fn redis_py_sees_what_it_sees_on_redis() {
    sees_the_same("redis_py.py");
}

#[test]
fn ioredis_sees_what_it_sees_on_redis() {
    sees_the_same("ioredis.js");
}

#[test]
fn node_redis_sees_what_it_sees_on_redis() {
    sees_the_same("node_redis.js");
}

#[test]
fn a_lock_of_redis_py_has_one_holder() {
    works("locks.py");
}

#[test]
fn redlock_has_one_holder() {
    works("redlock.js");
}

#[test]
fn limits_lets_through_exactly_the_limit() {
    works("rate_limits.py");
}

#[test]
fn rate_limiter_flexible_lets_through_exactly_the_limit() {
    works("rate_limiter.js");
}

#[test]
fn bullmq_completes_every_job_through_a_crash() {
    works("bullmq.js");
}

#[test]
fn rq_runs_every_job_through_a_crash() {
    works("rq_jobs.py");
}

#[test]
fn celery_keeps_every_task_and_result_through_a_crash() {
    works("celery_jobs.py");
}

#[test]
fn django_keeps_cache_and_sessions_through_a_crash() {
    works("django_sessions.py");
}

#[test]
fn web_sessions_and_socket_io_go_on_after_a_crash() {
    works("sessions.js");
}
