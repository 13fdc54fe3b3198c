//! Counts the replies in a stream of bytes, RESP2 or RESP3, without building them: large ones are skipped as they come.

/// What one reply was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fine,
    Error,
}

/// The place in the stream, between any two of its bytes.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// A line that is not whole yet.
    line: Vec<u8>,
    /// Bytes of a string, and its end of line, that are still to come.
    skip: usize,
    /// For each open array, map or set: how many values it still lacks.
    open: Vec<usize>,
    /// What the reply began with.
    first: u8,
    /// The first error reply, for people.
    pub(super) error: Option<String>,
}

impl Scanner {
    /// Takes the next bytes, and calls `done` for each reply that they complete.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut done: impl FnMut(Kind),
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let step = self.skip.min(bytes.len());
                bytes = bytes.get(step..).unwrap_or_default();
                self.skip -= step;
                if self.skip == 0 {
                    self.value_ends(&mut done);
                }
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                self.take(line, &mut done)?;
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.take(&line, &mut done)?;
                self.line = line;
                self.line.clear();
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8], done: &mut impl FnMut(Kind)) -> Result<(), String> {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        let (kind, rest) = text.split_first().ok_or("the server sent an empty line")?;
        if self.open.is_empty() {
            self.first = *kind;
        }
        let len = || -> Result<i64, String> {
            let len = str::from_utf8(rest).ok().and_then(|digits| digits.parse().ok());
            len.ok_or_else(|| format!("the server sent {:?}", String::from_utf8_lossy(text)))
        };
        let many = match kind {
            b'-' => {
                if self.open.is_empty() && self.error.is_none() {
                    self.error = Some(String::from_utf8_lossy(rest).into_owned());
                }
                0
            }
            b'+' | b':' | b'_' | b',' | b'#' | b'(' => 0,
            b'$' | b'=' | b'!' => match usize::try_from(len()?) {
                Ok(len) => {
                    self.skip = len + 2;
                    return Ok(());
                }
                Err(_) => 0,
            },
            b'*' | b'~' | b'>' => usize::try_from(len()?).unwrap_or(0),
            // Attributes stand before the value that they belong to.
            b'%' => usize::try_from(len()?).unwrap_or(0) * 2,
            b'|' => usize::try_from(len()?).unwrap_or(0) * 2 + 1,
            _ => return Err(format!("the server sent {:?}", String::from_utf8_lossy(text))),
        };
        if many > 0 {
            self.open.push(many);
        } else {
            self.value_ends(done);
        }
        Ok(())
    }

    fn value_ends(&mut self, done: &mut impl FnMut(Kind)) {
        while let Some(lacking) = self.open.last_mut() {
            *lacking -= 1;
            if *lacking > 0 {
                return;
            }
            self.open.pop();
        }
        match self.first {
            // A push answers nothing.
            b'>' => {}
            b'-' | b'!' => done(Kind::Error),
            _ => done(Kind::Fine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_replies_however_the_bytes_are_cut() {
        let stream = b"+OK\r\n-ERR no\r\n:1\r\n$5\r\na\r\nbc\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n\
            *2\r\n*1\r\n:1\r\n$1\r\nx\r\n>2\r\n+a\r\n+b\r\n%1\r\n+k\r\n~2\r\n:1\r\n:2\r\n\
            |1\r\n+ttl\r\n:3\r\n#t\r\n_\r\n,1.5\r\n(123\r\n=5\r\ntxt:a\r\n!3\r\nERR\r\n";
        let expected = 8 + 1 + 1 + 1 + 4 + 1;
        for step in 1..stream.len() {
            let mut scanner = Scanner::default();
            let mut seen = Vec::new();
            for part in stream.chunks(step) {
                scanner.feed(part, |kind| seen.push(kind)).unwrap();
            }
            assert_eq!(seen.len(), expected, "step {step}");
            assert_eq!(seen.iter().filter(|kind| **kind == Kind::Error).count(), 2);
            assert_eq!(scanner.error.as_deref(), Some("ERR no"));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [&b"HTTP/1.1 400\r\n"[..], b"\r\n", b"$x\r\n"] {
            assert!(Scanner::default().feed(bytes, |_| ()).is_err());
        }
    }
}
