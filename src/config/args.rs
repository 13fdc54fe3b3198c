//! The server's command line, as redis-server reads it: `[FILE] [--directive argument ...] [-]`.
//!
//! Options become lines of a config file, so they follow the same rules and come last. What begins with
//! `--` is a directive's name unless the directive before it still waits for its first argument
//! (`--requirepass --secret`); `--save` alone may go without one, which stands for `""`. A name and
//! its arguments may be one word (`"--save 900 1"`). `-` as the first or last word reads standard input.

use super::words::{self, Word};

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The config file.
    pub file: Option<String>,
    /// Whether standard input is read, after the file.
    pub stdin: bool,
    /// The options, as the text of a config file.
    pub options: Vec<u8>,
}

impl CommandLine {
    /// Reads the words behind the program's name (and its subcommand).
    pub fn parse(words: &[Word]) -> Self {
        let mut line = Self::default();
        let mut rest = words;
        if let [first, others @ ..] = words
            && !first.starts_with(b"-")
        {
            line.file = Some(String::from_utf8_lossy(first).into_owned());
            rest = others;
        }
        let mut waits_for_argument = false;
        for (at, word) in rest.iter().enumerate() {
            let next = rest.get(at + 1);
            let is_first = at == 0 && line.file.is_none();
            if word == b"-" && (is_first || next.is_none()) {
                line.stdin = true;
            } else if let Some(name) = word.strip_prefix(b"--")
                && !waits_for_argument
            {
                waits_for_argument = line.name(name, next);
            } else {
                words::quote_into(&mut line.options, word);
                line.options.push(b' ');
                waits_for_argument = false;
            }
        }
        line
    }

    /// Starts the line of an option; returns whether the next word is its argument whatever it is.
    fn name(&mut self, name: &[u8], next: Option<&Word>) -> bool {
        if !self.options.is_empty() {
            self.options.push(b'\n');
        }
        self.options.extend_from_slice(name);
        self.options.push(b' ');
        if words::split_line(name).is_none_or(|words| words.len() > 1) {
            return false; // The arguments came with the name.
        }
        let ends_here = next.is_none_or(|next| next.starts_with(b"--"));
        if name.eq_ignore_ascii_case(b"save") && ends_here {
            self.options.extend_from_slice(b"\"\"");
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> (Option<String>, bool, String) {
        let words: Vec<Word> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let line = CommandLine::parse(&words);
        let options = String::from_utf8(line.options).unwrap();
        let lines: Vec<&str> = options.lines().map(str::trim_end).collect();
        (line.file, line.stdin, lines.join("\n"))
    }

    // Every expectation here was taken from redis-server 8.0.
    #[test]
    fn options_become_lines() {
        for (words, lines) in [
            (
                vec!["--port", "7000", "--bind", "127.0.0.1", "::1"],
                "port \"7000\"\nbind \"127.0.0.1\" \"::1\"",
            ),
            (
                vec!["--save", "900", "1", "--save", "300", "10"],
                "save \"900\" \"1\"\nsave \"300\" \"10\"",
            ),
            (vec!["--save", ""], "save \"\""),
            (vec!["--save"], "save \"\""),
            (vec!["--SAVE", "--hz", "11"], "SAVE \"\"\nhz \"11\""),
            (vec!["--save 900 1", "--hz", "3"], "save 900 1\nhz \"3\""),
            (vec!["--hz 33", "--port", "1"], "hz 33\nport \"1\""),
            (vec!["--hz ", "22"], "hz  \"22\""),
            (vec!["--requirepass", "--abc"], "requirepass \"--abc\""),
            (vec!["--appendfilename", "--save"], "appendfilename \"--save\""),
            (vec!["--daemonize", "--hz", "12"], "daemonize \"--hz\" \"12\""),
            (vec!["--masterauth", "a\"b\\c"], "masterauth \"a\\\"b\\\\c\""),
            (vec!["-x"], "\"-x\""),
            (vec!["---hz", "2"], "-hz \"2\""),
        ] {
            assert_eq!(parse(&words), (None, false, lines.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn file_and_standard_input_are_told_apart() {
        assert_eq!(parse(&["a.conf"]), (Some("a.conf".into()), false, String::new()));
        assert_eq!(parse(&["-", "--hz", "3"]), (None, true, "hz \"3\"".into()));
        assert_eq!(parse(&["--hz", "3", "-"]), (None, true, "hz \"3\"".into()));
        assert_eq!(parse(&["a.conf", "-"]), (Some("a.conf".into()), true, String::new()));
        assert_eq!(parse(&["--hz", "-", "3"]).2, "hz \"-\" \"3\"");
        assert_eq!(
            parse(&["a.conf", "-", "3"]),
            (Some("a.conf".into()), false, "\"-\" \"3\"".into())
        );
        assert_eq!(parse(&[]), (None, false, String::new()));
    }
}
