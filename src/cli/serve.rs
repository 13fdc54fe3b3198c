//! `fastness serve`: from the command line to a running server and back.
//!
//! Order: configuration, data directory and its lock, listening sockets, then the data set is recovered. If that
//! takes longer than [`LOADING_SHOWS_AFTER`] the reactors start meanwhile and answer -LOADING; clients of a small data
//! set wait for their first reply instead, as with Redis. When it is there the log is opened, the banner says
//! what is promised, and `Ready to accept connections tcp` is printed. Any failure before that ends the
//! process with the reason and the next step; nothing on disk has been changed then.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::background;
use crate::clock::{Clock, SystemClock};
use crate::command::renamed::Renamed;
use crate::command::state::Loading;
use crate::config::{CommandLine, Config, ConfigError, DiskFiles, Loaded, Supervised, load};
use crate::disk::SharedDisk;
use crate::disk::os::OsDisk;
use crate::engine::descriptors;
pub use crate::engine::start::server_state;
use crate::engine::{Engine, ShutdownState};
use crate::logger::Logger;
use crate::number::human_bytes;
use crate::recovery;
use crate::rng::SeededRng;
use crate::server::listener::{self, ListenOptions};
use crate::server::run::Running;
use crate::server::{self, Shared};

/// How long clients wait for their first reply before they are told that the data set is being loaded. Their
/// connections are in the listening sockets' queues so long.
const LOADING_SHOWS_AFTER: Duration = Duration::from_millis(300);
/// How often a server that loads looks whether it is to end.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(50);

/// Bound for clients, and for Prometheus.
type Sockets = (Vec<listener::Listener>, Vec<std::net::TcpListener>);

/// A failure to start: what, and what to do.
struct StartError {
    what: String,
    next: String,
}

impl StartError {
    fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

/// Runs the server until it is shut down.
pub fn run(args: &[OsString]) -> ExitCode {
    let mut words: Vec<Vec<u8>> = args.iter().cloned().map(OsStringExt::into_vec).collect();
    match arm_crash_point(&mut words).and_then(|()| start(&words)) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            background::tell_starter(Err(&error.what));
            eprintln!("fastness: {}", error.what);
            if !error.next.is_empty() {
                eprintln!("  next: {}", error.next);
            }
            ExitCode::from(1)
        }
    }
}

/// Takes `--fail-at "N bytes|commands|syncs"` (or `--fail-at N UNIT`) out of the command line.
fn arm_crash_point(words: &mut Vec<Vec<u8>>) -> Result<(), StartError> {
    let Some(at) = words.iter().position(|word| word == b"--fail-at") else { return Ok(()) };
    let text = |at: usize| words.get(at).map(|word| String::from_utf8_lossy(word).into_owned());
    let value = text(at + 1).unwrap_or_default();
    let (count, unit, used) = match value.split_once(' ') {
        Some((count, unit)) => (count.to_owned(), unit.trim().to_owned(), 2),
        None => (value, text(at + 2).unwrap_or_default(), 3),
    };
    let armed = crate::disk::crash_point::arm(&count, &unit);
    armed.map_err(|why| {
        StartError::new(format!("--fail-at: {why}"), "pass for example --fail-at \"3 syncs\"")
    })?;
    words.drain(at..(at + used).min(words.len()));
    Ok(())
}

fn start(words: &[Vec<u8>]) -> Result<i32, StartError> {
    let cwd = std::env::current_dir()
        .map_err(|error| StartError::new(format!("no working directory: {error}"), ""))?;
    let cwd = cwd.to_string_lossy().into_owned();
    let anywhere = OsDisk::new(&cwd);
    background::leave_session();
    server::run::ignore_hangups()
        .map_err(|error| StartError::new(format!("cannot ignore SIGHUP: {error}"), ""))?;
    let files = DiskFiles(&anywhere);
    let files = background::Remembering::new(&files);
    let mut loaded = load(&CommandLine::parse(words), &files, &cwd).map_err(bad_config)?;
    // What a supervisor watches stays in the foreground.
    loaded.config.supervised = background::supervisor(&loaded.config);
    let supervised = loaded.config.supervised != Supervised::No;
    let reads_once = files.read_what_is_gone(&anywhere);
    if loaded.config.daemonize && !supervised && !background::is_detached() {
        if let Some(path) = reads_once.first() {
            return Err(StartError::new(
                format!(
                    "{path} can be read only once, and the process in the background reads it again"
                ),
                "pass a file, or standard input: fastness serve - --daemonize yes < FILE",
            ));
        }
        let started = background::detach(words, &files.into_stdin());
        return started.map(|()| 0).map_err(|why| StartError::new(why, ""));
    }
    // What cannot be read again is no file that CONFIG REWRITE could write.
    loaded.file = loaded.file.filter(|path| !reads_once.contains(path));
    let config = &loaded.config;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let files: SharedDisk = Arc::new(OsDisk::new(&cwd));
    let logger = Logger::from_config(config, Arc::clone(&clock), files);
    logger.open().map_err(|error| {
        let next = "make its directory, or pass another file with --logfile; an empty name is standard output";
        StartError::new(format!("cannot open the log file: {error}"), next)
    })?;
    for warning in &loaded.warnings {
        logger.warning(warning);
    }
    let disk = open_directory(&config.dir)?;
    let run_id = crate::rng::random_hex(40);
    let _lock = lock_directory(&disk, &config.dir, &run_id)?;
    serve(loaded, disk, clock, logger, run_id)
}

fn bad_config(error: ConfigError) -> StartError {
    StartError::new(
        error.to_string(),
        "docs/configuration.md lists every directive; `fastness serve --help` shows how to pass them",
    )
}

/// The data directory, made if it is not there.
fn open_directory(dir: &str) -> Result<SharedDisk, StartError> {
    let disk: SharedDisk = Arc::new(OsDisk::new(dir));
    disk.create_dir("").map_err(|error| {
        let what = format!("cannot make the data directory {dir}: {}", error.source);
        StartError::new(what, next_for_directory(error.source.kind()))
    })?;
    Ok(disk)
}

/// The lock tells who holds it: a process id alone says little to who looks from outside of a container.
fn lock_directory(
    disk: &SharedDisk,
    dir: &str,
    run_id: &str,
) -> Result<crate::disk::DiskLock, StartError> {
    let pid = std::process::id();
    disk.lock("fastness.lock", &format!("{pid} {run_id}\n")).map_err(|error| {
        let held = error.source.kind() == std::io::ErrorKind::WouldBlock;
        let next = "stop that process, or pass another directory with --dir";
        match held {
            true => StartError::new(
                format!("{dir} is in use by another process: {}", error.source),
                next,
            ),
            false => StartError::new(
                format!("cannot write to the data directory {dir}: {error}"),
                next_for_directory(error.source.kind()),
            ),
        }
    })
}

/// What helps when the data directory cannot be made or written.
fn next_for_directory(kind: std::io::ErrorKind) -> String {
    use std::io::ErrorKind;
    let user = rustix::process::geteuid();
    match kind {
        ErrorKind::NotFound => {
            "make the directory above it first, or pass another one with --dir".to_owned()
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "that is a file, or below one: pass a directory with --dir".to_owned()
        }
        ErrorKind::PermissionDenied => format!(
            "give it to the user of the server, whose id is {}, or pass another one with --dir",
            user.as_raw()
        ),
        ErrorKind::ReadOnlyFilesystem => {
            "mount that file system for writing, or pass another directory with --dir".to_owned()
        }
        _ => "pass another directory with --dir".to_owned(),
    }
}

fn serve(
    loaded: Loaded,
    disk: SharedDisk,
    clock: Arc<dyn Clock>,
    logger: Logger,
    run_id: String,
) -> Result<i32, StartError> {
    let mut config = loaded.config;
    descriptors::make_room_at_start(&mut config, &logger).map_err(|why| {
        StartError::new(why, "raise the limit: ulimit -n, or LimitNOFILE= of systemd")
    })?;
    let supervisor = config.supervised;
    let port = config.port;
    let (listeners, metrics) = listen(&config, &logger)?;
    // Not before: the sockets are what a second server of the same configuration fails at.
    let pidfile = background::PidFile::write(&config, &logger);
    let kinds = listener::kinds(&listeners);
    let reactors = usize::try_from(config.io_threads).unwrap_or(1);
    let mut state = server_state(config, loaded.file.unwrap_or_default(), &clock);
    state.run_id = run_id;
    let renamed = Renamed::new(&state.config.renamed_commands);
    state.renamed = renamed.map_err(|why| {
        StartError::new(why, "correct the rename-command lines of the configuration file")
    })?;
    let mut engine = Engine::new(
        state,
        Arc::clone(&clock),
        Arc::clone(&disk),
        SeededRng::from_os(),
        logger.clone(),
    );
    engine.start_access().map_err(|error| {
        StartError::new(
            format!("cannot load the ACL users: {error}"),
            "correct the ACL file or the user lines, and start again",
        )
    })?;
    if let Err(cause) = engine.adjust_oom_score() {
        logger.warning(format!("Cannot adjust the OOM score: {cause}"));
    }
    engine.persist.threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    engine.server.loading = Some(Loading { started_at: clock.wall(), ..Loading::default() });
    let shared = Shared::new(engine, reactors);
    log_beginning(&logger, port);
    let open = || server::run::start(&shared, listeners, metrics, &clock);
    let leave = |code| -> Infallible {
        background::tell_stopping(supervisor, &logger);
        pidfile.remove();
        std::process::exit(code);
    };
    let load = || watched(&shared, &clock, || recover(&shared, &logger));
    let running = while_loading(&shared, (open, leave), load)?;
    for kind in kinds {
        logger.notice(format!("Ready to accept connections {kind}"));
    }
    background::tell_ready(supervisor, &logger);
    background::tell_starter(Ok(()));
    let code = running.wait();
    background::tell_stopping(supervisor, &logger);
    Ok(code)
}

/// The sockets for clients, of which there is one at least, and those for Prometheus.
fn listen(config: &Config, logger: &Logger) -> Result<Sockets, StartError> {
    let listeners = listener::bind(&ListenOptions::of(config), logger).map_err(|error| {
        StartError::new(
            error.to_string(),
            "pass another address with --bind or --port, or another path with --unixsocket",
        )
    })?;
    if listeners.is_empty() {
        logger.warning("Configured to not listen anywhere, exiting.");
        return Err(StartError::new(
            "configured to not listen anywhere",
            "pass --port, with an address of this machine in --bind, or --unixsocket; a tls-port is not served",
        ));
    }
    let metrics = listener::bind_metrics(&config.metrics_bind, config.metrics_port, logger);
    let metrics = metrics.map_err(|error| {
        StartError::new(
            format!("metrics: {error}"),
            "pass another address with --metrics-bind or --metrics-port",
        )
    })?;
    Ok((listeners, metrics))
}

/// Loads, and has the reactors start when that is done or takes long. A shutdown before the end does not wait for it: nobody
/// was promised anything yet, and what recovery does to files may end at any point.
fn while_loading(
    shared: &Shared,
    (open, leave): (
        impl FnOnce() -> std::io::Result<Running> + Send,
        impl FnOnce(i32) -> Infallible + Send,
    ),
    load: impl FnOnce() -> Result<(), StartError>,
) -> Result<Running, StartError> {
    let cannot = |why: String| StartError::new(format!("cannot start threads: {why}"), "");
    let (loading, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let opening = std::thread::Builder::new().name("start".to_owned());
        let opening = opening.spawn_scoped(scope, move || {
            // Nothing is ever sent: this is the end of the loading, or of the patience.
            let mut wait = ended.recv_timeout(LOADING_SHOWS_AFTER);
            let running = open();
            while wait == Err(RecvTimeoutError::Timeout) {
                if let ShutdownState::Done { exit_code } = shared.lock().shutdown {
                    match leave(exit_code) {}
                }
                wait = ended.recv_timeout(LOOKED_AT_EVERY);
            }
            running
        });
        let opening = opening.map_err(|error| cannot(error.to_string()))?;
        let loaded = load();
        if loaded.is_err() {
            shared.stop();
        }
        drop(loading);
        let running = opening.join().unwrap_or_else(|_| Err(std::io::Error::other("panicked")));
        if loaded.is_err() {
            // What was opened since takes its files along, too.
            shared.stop_listening();
        }
        loaded?;
        running.map_err(|error| cannot(error.to_string()))
    })
}

/// The lines by which tools that start a Redis server know that theirs is up: the process id, the port,
/// `Server initialized`.
fn log_beginning(logger: &Logger, port: u16) {
    logger.notice(format!(
        "Fastness {} (Redis {} compatible), PID: {}",
        env!("CARGO_PKG_VERSION"),
        crate::REDIS_VERSION,
        std::process::id()
    ));
    logger.notice(format!("Running mode=standalone, port={port}."));
    logger.notice("Server initialized");
}

/// Does the loading, and shows somebody at a terminal how far it is.
fn watched<R>(shared: &Arc<Shared>, clock: &Arc<dyn Clock>, load: impl FnOnce() -> R) -> R {
    if !std::io::stderr().is_terminal() {
        return load();
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut shown = false;
            while !ended.load(Ordering::Acquire) {
                clock.sleep(Duration::from_millis(100));
                if let Some(line) = loading_line(shared) {
                    eprint!("\r\x1b[K{line}");
                    shown = true;
                }
            }
            if shown {
                eprint!("\r\x1b[K");
            }
        });
        let loaded = load();
        ended.store(true, Ordering::Release);
        loaded
    })
}

/// How far the loading is; `None` when it has hardly begun, is over, or busy with something else.
fn loading_line(shared: &Shared) -> Option<String> {
    let engine = shared.lock_unless_busy()?;
    let loading = engine.server.loading.as_ref()?;
    let (done, all) = (loading.loaded_bytes, loading.total_bytes);
    let elapsed_ms = u64::try_from(engine.clock.wall() - loading.started_at).ok()?;
    if all == 0 || elapsed_ms < 500 {
        return None;
    }
    let percent = done.saturating_mul(100) / all;
    let left_s = elapsed_ms.saturating_mul(all.saturating_sub(done)).checked_div(done)? / 1000;
    Some(format!("Loading: {percent} % of {}, {left_s} s left", human_bytes(all)))
}

/// Loads the data set into the running, still refusing server.
fn recover(shared: &Arc<Shared>, logger: &Logger) -> Result<(), StartError> {
    let dir = shared.lock().server.config.dir.clone();
    match recovery::start_up(shared.engine(), logger) {
        Ok(banner) => {
            shared.adopt_log();
            for line in banner {
                logger.notice(&line);
            }
            if !shared.lock().server.config.appendonly {
                logger.warning(
                    "appendonly is no, whatever appendfsync says: writes since the last snapshot are lost with the \
                     process; --appendonly yes, or CONFIG SET appendonly yes, keeps them",
                );
            }
            Ok(())
        }
        Err(error) => {
            for line in error.log_lines() {
                logger.warning(line);
            }
            Err(StartError::new(error.to_string(), error.next_step(&dir)))
        }
    }
}
