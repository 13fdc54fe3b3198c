//! What is sent: commands with placeholders, made into bytes once and patched before each use.
//!
//! `__rand_int__` becomes a number of twelve digits, drawn from the key space anew at every place, and
//! `__data__` the value of `--data-size` bytes, as in redis-benchmark. Twelve digits always, so that a request
//! has one length and only its digits change.

use std::sync::Arc;

use super::keys::Keys;
use crate::rng::{Rng as _, SeededRng};

const NUMBER: &[u8] = b"__rand_int__";
const DATA: &str = "__data__";

/// The tests that have a name, as redis-benchmark has them. Its LRANGE tests fill their list first; here `--setup` does.
const NAMED: [(&str, &str); 22] = [
    ("ping", "PING"),
    ("set", "SET key:__rand_int__ __data__"),
    ("get", "GET key:__rand_int__"),
    ("incr", "INCR counter:__rand_int__"),
    ("append", "APPEND string:__rand_int__ __data__"),
    ("del", "DEL key:__rand_int__"),
    ("expire", "EXPIRE key:__rand_int__ 3600"),
    ("lpush", "LPUSH mylist __data__"),
    ("rpush", "RPUSH mylist __data__"),
    ("lpop", "LPOP mylist"),
    ("rpop", "RPOP mylist"),
    ("sadd", "SADD myset element:__rand_int__"),
    ("spop", "SPOP myset"),
    ("hset", "HSET myhash element:__rand_int__ __data__"),
    ("hget", "HGET myhash element:__rand_int__"),
    ("zadd", "ZADD myzset __rand_int__ element:__rand_int__"),
    ("zpopmin", "ZPOPMIN myzset"),
    ("lrange_100", "LRANGE mylist 0 99"),
    ("lrange_300", "LRANGE mylist 0 299"),
    ("lrange_600", "LRANGE mylist 0 599"),
    (
        "mset",
        "MSET key:__rand_int__ __data__ key:__rand_int__ __data__ key:__rand_int__ __data__ key:__rand_int__ \
         __data__ key:__rand_int__ __data__ key:__rand_int__ __data__ key:__rand_int__ __data__ \
         key:__rand_int__ __data__ key:__rand_int__ __data__ key:__rand_int__ __data__",
    ),
    ("xadd", "XADD mystream * myfield __data__"),
];

/// One command, ready to be patched and sent.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) name: String,
    bytes: Vec<u8>,
    /// Where the numbers of twelve digits stand.
    numbers: Vec<usize>,
}

impl Template {
    /// A test's name, or a command with its arguments.
    pub(super) fn parse(text: &str, data: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let named = NAMED.iter().find(|(name, _)| *name == lower);
        let words = split(named.map_or(text, |(_, command)| command))?;
        if words.is_empty() {
            return Err("an empty command".to_owned());
        }
        if named.is_none()
            && words.len() == 1
            && lower.starts_with(|c: char| c.is_ascii_lowercase())
        {
            let is_word = text.trim().chars().all(|c| c.is_ascii_uppercase());
            if !is_word {
                let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
                return Err(format!("no test is named {text:?}; there are {}", names.join(", ")));
            }
        }
        let name = named.map_or(text.trim(), |(name, _)| name).to_owned();
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        let mut numbers = Vec::new();
        for word in words {
            let word = word.replace(DATA, data);
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            let mut rest = word.as_bytes();
            while let Some(at) = rest.windows(NUMBER.len()).position(|found| found == NUMBER) {
                let (before, behind) = rest.split_at(at);
                bytes.extend_from_slice(before);
                numbers.push(bytes.len());
                bytes.extend_from_slice(b"000000000000");
                rest = behind.get(NUMBER.len()..).unwrap_or_default();
            }
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(b"\r\n");
        }
        Ok(Self { name, bytes, numbers })
    }

    /// Appends the command with numbers from `next`.
    pub(super) fn write(&self, out: &mut Vec<u8>, mut next: impl FnMut() -> u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for at in &self.numbers {
            let mut number = next();
            let digits = out.get_mut(start + at..start + at + NUMBER.len());
            for digit in digits.into_iter().flatten().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
            }
        }
    }

    /// Whether it is other than itself from one time to the next.
    pub(super) fn counts(&self) -> bool {
        !self.numbers.is_empty()
    }
}

/// Words at blanks; quotes hold blanks together, and a backslash takes the next character as it is.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(next) = characters.next() {
        match (next, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
            (next, Some(open)) if next == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(next);
                word.get_or_insert_default();
            }
            (next, None) if next.is_whitespace() => words.extend(word.take()),
            (next, _) => word.get_or_insert_default().push(next),
        }
    }
    if quote.is_some() {
        return Err(format!("a quote is not closed in {text:?}"));
    }
    words.extend(word);
    Ok(words)
}

/// Commands with weights, and where their numbers come from.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    pub(super) name: String,
    pub(super) templates: Arc<Vec<Template>>,
    /// The weights added up.
    sums: Vec<u64>,
    pub(super) keys: Keys,
}

impl Mix {
    /// One command alone.
    pub(super) fn single(template: Template, keys: Keys) -> Self {
        let name = template.name.clone();
        Self { name, templates: Arc::new(vec![template]), sums: vec![1], keys }
    }

    /// `get=80,set=20`; what stands before a `=` may be any command without a comma.
    pub(super) fn parse(text: &str, data: &str, keys: Keys) -> Result<Self, String> {
        let (mut templates, mut sums, mut sum) = (Vec::new(), Vec::new(), 0u64);
        for part in text.split(',') {
            let (command, weight) = part.rsplit_once('=').unwrap_or((part, "1"));
            let weight: u32 = weight
                .trim()
                .parse()
                .map_err(|_| format!("{weight:?} is no weight: write a mix as get=80,set=20"))?;
            templates.push(Template::parse(command, data)?);
            sum += u64::from(weight);
            sums.push(sum);
        }
        if sum == 0 {
            return Err("the weights of a mix are all 0".to_owned());
        }
        Ok(Self { name: text.to_owned(), templates: Arc::new(templates), sums, keys })
    }

    /// Appends a command of the mix; its place among `templates`.
    pub(super) fn write(&self, out: &mut Vec<u8>, rng: &mut SeededRng) -> usize {
        let which = match self.sums.as_slice() {
            [_] => 0,
            sums => {
                let drawn = rng.below(sums.last().copied().unwrap_or(1));
                sums.partition_point(|sum| *sum <= drawn)
            }
        };
        if let Some(template) = self.templates.get(which) {
            template.write(out, || self.keys.draw(rng));
        }
        which
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_lengths_are_right() {
        let template = Template::parse("SET 'a b:__rand_int__' __data__", "xyz").unwrap();
        let mut out = Vec::new();
        template.write(&mut out, || 7_123);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$16\r\na b:000000007123\r\n$3\r\nxyz\r\n");
        assert!(template.counts());
    }

    #[test]
    fn a_misspelt_name_is_not_sent_as_a_command() {
        assert!(Template::parse("gett", "").unwrap_err().contains("zpopmin"));
        assert_eq!(Template::parse("RANDOMKEY", "").unwrap().name, "RANDOMKEY");
        assert!(Template::parse("SET 'a", "").is_err());
    }

    #[test]
    fn a_mix_draws_by_weight() {
        let keys = Keys::parse("uniform", 10).unwrap();
        let mix = Mix::parse("get=90,SET k v=10,del=0", "", keys).unwrap();
        let mut rng = SeededRng::new(1);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[mix.write(&mut Vec::new(), &mut rng)] += 1;
        }
        assert!((8_800..9_200).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
        for bad in ["get=x", "get=0", ""] {
            assert!(Mix::parse(bad, "", mix.keys.clone()).is_err(), "{bad}");
        }
    }
}
