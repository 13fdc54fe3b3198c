//! A server process on a free loopback port, with its own folder, that never outlives its test.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::Client;
use super::peers::{Kind, Program};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) port: u16,
    child: Child,
    place: Place,
    options: Vec<String>,
}

/// A temporary folder with the data directory and, beside it, what the server printed.
#[derive(Clone)]
pub(crate) struct Place {
    root: Arc<TempDir>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("fastness-test-").tempdir().unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        Self { root: Arc::new(root) }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("server.log")
    }

    /// The end of what the server printed.
    pub(crate) fn printed(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(20_000)..]).into_owned()
    }
}

impl Server {
    /// Starts a server on a new data directory. `options` are configuration directives in the
    /// form of the command line: `--appendonly yes --save ""` is `["appendonly yes", "save "]`. An
    /// absolute path is a configuration file.
    pub(crate) fn start(program: &Program, options: &[&str]) -> Self {
        Self::start_on(program, &Place::new(), options)
    }

    /// Starts a server on a data directory that may hold data already.
    pub(crate) fn start_on(program: &Program, place: &Place, options: &[&str]) -> Self {
        Self::try_start_on(program, place, options).unwrap_or_else(|message| panic!("{message}"))
    }

    /// `start_on` for tests that expect a refusal: the error is what the server printed.
    pub(crate) fn try_start_on(
        program: &Program,
        place: &Place,
        options: &[&str],
    ) -> Result<Self, String> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let mut message = String::new();
        // The port is free when it is chosen and may be taken a moment later.
        for _ in 0..3 {
            let port = free_port();
            let child = spawn(program, place, port, &options);
            let mut server = Self {
                program: program.clone(),
                port,
                child,
                place: place.clone(),
                options: options.clone(),
            };
            match server.wait_until_ready() {
                Ok(()) => return Ok(server),
                Err(why) => message = format!("{}: {why}\n{}", program.name, place.printed()),
            }
            if !message.contains("in use") {
                break;
            }
        }
        Err(message)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port).unwrap_or_else(|error| {
            panic!("{}: connect: {error}\n{}", self.program.name, self.place.printed())
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.place.data()
    }

    /// Whether the process is no more.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// SHUTDOWN, and waits for the end of the process.
    pub(crate) fn stop(&mut self) {
        if let Ok(mut client) = Client::connect(self.port) {
            client.send(&["SHUTDOWN"]).ok();
            if let Ok(reply) = client.receive() {
                panic!("{}: SHUTDOWN answered {reply}", self.program.name);
            }
        }
        let deadline = Instant::now() + STOP_WITHIN;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "{} does not stop", self.program.name);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops the server, if it still runs, and starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.stop();
        }
        self.start_again();
    }

    /// kill -9, then a start on the same data.
    pub(crate) fn crash(&mut self) {
        self.kill();
        self.start_again();
    }

    /// kill -9, then a start on the same data and the same port, for clients that connect again.
    pub(crate) fn crash_on_same_port(&mut self) {
        self.kill();
        self.child = spawn(&self.program, &self.place, self.port, &self.options);
        if let Err(why) = self.wait_until_ready() {
            panic!("{}: {why}\n{}", self.program.name, self.place.printed());
        }
    }

    fn start_again(&mut self) {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let next = Self::start_on(&self.program, &self.place, &options);
        // The old value is dropped here, with its process ended already.
        *self = next;
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("ended at start: {status}"));
            }
            match answers_ping(self.port) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(3));
                }
                _ => return Err("not ready in time".into()),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn answers_ping(port: u16) -> io::Result<bool> {
    let mut client = Client::connect(port)?;
    client.set_timeout(Duration::from_secs(10))?;
    let reply = client.line("PING")?;
    let text = reply.text().unwrap_or_default();
    // A server that wants a password is ready, too.
    Ok(text == "PONG" || text.starts_with("NOAUTH"))
}

fn spawn(program: &Program, place: &Place, port: u16, options: &[String]) -> Child {
    let log = fs::File::create(place.log()).unwrap();
    let mut command = Command::new(&program.path);
    if program.kind == Kind::Fastness {
        command.arg("serve");
    }
    command.args(options.iter().filter(|option| option.starts_with('/')));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--dir", &place.data().display().to_string()]);
    if program.kind == Kind::Redis || program.kind == Kind::Valkey {
        command.args(["--daemonize", "no", "--logfile", ""]);
    }
    for option in options.iter().filter(|option| !option.starts_with('/')) {
        let (name, value) = option.split_once(' ').unwrap_or((option, ""));
        command.arg(format!("--{name}")).arg(value);
    }
    command.current_dir(place.data()).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.path.display()))
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until `done` holds, at most `within`.
pub(crate) fn wait_for(what: &str, within: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Copies the files of a folder and the folders in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
