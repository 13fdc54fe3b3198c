//! Where a passphrase comes from: a file, the environment, or whoever sits at the terminal; never the command line.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::terms::{FILE_BYTES_MAX, anywhere};
use crate::backup::BackupError;
use crate::backup::passphrase::Passphrase;
use crate::disk::durable;

/// The variable that may have it.
pub(crate) const VARIABLE: &str = "FASTNESS_PASSPHRASE";
/// Longer ones are typed by nobody.
const TYPED_BYTES_MAX: usize = 4096;
const HOW: &str =
    "set FASTNESS_PASSPHRASE, pass --passphrase-file FILE, or run the command at a terminal";

/// The passphrase of a file, or of the environment; `None`: nobody gave one.
pub(crate) fn given(file: Option<&String>) -> Result<Option<Passphrase>, BackupError> {
    let text = match file {
        Some(path) => {
            let bytes = durable::read_small(anywhere().as_ref(), path, FILE_BYTES_MAX)?;
            let bytes = bytes.ok_or_else(|| {
                BackupError::refused(format!("there is no {path}"), "name a file with a passphrase")
            })?;
            String::from_utf8(bytes).map_err(|_| {
                BackupError::refused(format!("{path} is not text"), "name a file with a passphrase")
            })?
        }
        None => match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => text,
            _ => return Ok(None),
        },
    };
    match Passphrase::new(&text) {
        Some(passphrase) => Ok(Some(passphrase)),
        None => Err(BackupError::refused("the passphrase is empty", HOW)),
    }
}

/// Asks at the terminal; refused where there is none.
pub(crate) fn ask(what: &str) -> Result<Passphrase, BackupError> {
    let refused = |why: String| BackupError::refused(why, HOW);
    let terminal = rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|_| refused(format!("{what}: nobody is there to be asked")))?;
    let typed = Silent::new(terminal)
        .and_then(|silent| silent.line(what))
        .map_err(|error| refused(format!("{what}: {error}")))?;
    let text = typed.ok_or_else(|| refused("no passphrase was typed".to_owned()))?;
    Passphrase::new(&text).ok_or_else(|| refused("the passphrase is empty".to_owned()))
}

/// Asks for a new one, twice.
pub(crate) fn ask_new() -> Result<Passphrase, BackupError> {
    let first = ask("new passphrase: ")?;
    match ask("the same again: ")?.is(&first) {
        true => Ok(first),
        false => Err(BackupError::refused("the two passphrases differ", "run the command again")),
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent {
    terminal: OwnedFd,
    before: Termios,
}

impl Silent {
    fn new(terminal: OwnedFd) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut silent = before.clone();
        // Signals as well, so that a Ctrl-C does not leave the terminal as it is now.
        silent.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(terminal.as_fd(), OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }

    fn write(&self, text: &str) -> rustix::io::Result<()> {
        rustix::io::write(self.terminal.as_fd(), text.as_bytes()).map(drop)
    }

    /// What is typed up to the end of the line; `None`: it was given up.
    fn line(&self, what: &str) -> rustix::io::Result<Option<String>> {
        self.write(what)?;
        let mut typed = Vec::new();
        let mut byte = [0];
        loop {
            if rustix::io::read(self.terminal.as_fd(), &mut byte)? == 0 {
                return Ok(None);
            }
            match byte[0] {
                b'\r' | b'\n' => break,
                // Ctrl-C, Ctrl-D, Ctrl-\.
                3 | 4 | 28 => return Ok(None),
                // Backspace takes a character, Ctrl-U all of them.
                8 | 127 => while typed.pop().is_some_and(|byte: u8| byte & 0xC0 == 0x80) {},
                21 => typed.clear(),
                other if typed.len() < TYPED_BYTES_MAX => typed.push(other),
                _ => {}
            }
        }
        Ok(Some(String::from_utf8_lossy(&typed).into_owned()))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.write("\n");
        let _ = tcsetattr(self.terminal.as_fd(), OptionalActions::Now, &self.before);
    }
}
