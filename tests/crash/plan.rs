//! What happens, drawn from a number: requests of several clients, and whose turn it is when.
//!
//! Requests come from the forms of the differential test, so every command that has one takes part. To
//! these come transactions, expiries that happen, pops that wait, rewrites, saves, WAITAOF, connections with
//! a durability of their own. How much of each differs from plan to plan: a plan with too much of
//! everything finds less than many plans with much of one thing.

use std::time::Duration;

use fastness::config::AppendFsync;

use crate::generate::{Form, command, data_forms};
use crate::support::rng::Rng;

/// The words of a request.
pub(crate) type Request = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client asks for something.
    Request(usize, Request),
    /// A reactor ends its turn.
    TurnEnd,
    /// The log's driver does a round.
    LogRound,
    /// Time passes, and the periodic work is done.
    Tick(Duration),
    /// The persistence worker does one stage.
    Persist,
    /// Somebody sets the clock on the wall by so many milliseconds.
    SetClock(i64),
    /// The disk has this much room left, or all it wants.
    Room(Option<u64>),
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) policy: AppendFsync,
    pub(crate) clients: usize,
    pub(crate) steps: Vec<Step>,
}

/// How likely, in percent, each kind of thing is in this plan.
struct Weights {
    transaction: usize,
    expiry: usize,
    blocking: usize,
    rewrite: usize,
    save: usize,
    wait: usize,
    tick: usize,
    round: usize,
    persist: usize,
    durability: usize,
    script: usize,
    clock: usize,
    /// How many keys there are from the start.
    filled: usize,
}

impl Weights {
    fn draw(rng: &mut Rng) -> Self {
        let mut of = |most: usize| if rng.chance(40) { 0 } else { rng.below(most) };
        Self {
            transaction: of(30),
            expiry: of(30),
            blocking: of(25),
            rewrite: of(14),
            save: of(6),
            wait: of(15),
            tick: of(30),
            durability: of(6),
            script: of(20),
            clock: of(8),
            filled: of(150),
            round: 10 + of(80),
            persist: 10 + of(60),
        }
    }
}

impl Plan {
    /// A short plan with some of everything, for looking at every operation. Every other one has a base in Redis' form.
    pub(crate) fn small(seed: u64) -> Self {
        let mut plan = Self::of(seed, 22);
        let third = plan.steps.len() / 3;
        let rewrite = Step::Request(0, words(&["BGREWRITEAOF"]));
        plan.steps.insert(third, rewrite);
        for at in 1..=8 {
            plan.steps.insert(third + at * 2, Step::Persist);
        }
        if seed.is_multiple_of(2) {
            let form = ["CONFIG", "SET", "rdbcompression", "yes"];
            plan.steps.insert(0, Step::Request(0, words(&form)));
        }
        plan
    }

    /// A plan of about so many requests.
    pub(crate) fn of(seed: u64, requests: usize) -> Self {
        let mut rng = Rng::new(seed);
        let forms = data_forms();
        let weights = Weights::draw(&mut rng);
        let policy = match rng.below(10) {
            0..6 => AppendFsync::Always,
            6..9 => AppendFsync::Everysec,
            _ => AppendFsync::No,
        };
        let clients = 1 + rng.below(4);
        let mut plan = Self { seed, policy, clients, steps: Vec::new() };
        if weights.filled > 0 {
            let pairs = (0..weights.filled).flat_map(|n| [format!("f{n}"), format!("v{n}")]);
            let mut fill = words(&["MSET"]);
            fill.extend(pairs.map(String::into_bytes));
            plan.steps.push(Step::Request(0, fill));
        }
        while plan.requests() < requests {
            plan.ask(&forms, &weights, &mut rng);
            plan.turns(&weights, &mut rng);
        }
        plan
    }

    fn requests(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Request(..))).count()
    }

    fn ask(&mut self, forms: &[Form], weights: &Weights, rng: &mut Rng) {
        let client = rng.below(self.clients);
        let mut push = |request: Request| self.steps.push(Step::Request(client, request));
        let key =
            |rng: &mut Rng| format!("{}{}", rng.pick(&["s", "h", "l", "t", "z"]), rng.below(4));
        if rng.chance(weights.transaction) {
            push(words(&["MULTI"]));
            for _ in 0..1 + rng.below(4) {
                push(form(forms, rng));
            }
            push(words(&["EXEC"]));
        } else if rng.chance(weights.script) {
            push(script(rng));
        } else if rng.chance(weights.expiry) {
            let pause = (1 + rng.below(400)).to_string();
            push(words(&["PEXPIRE", &key(rng), &pause]));
        } else if rng.chance(weights.blocking) {
            let (list, zset) = (format!("l{}", rng.below(4)), format!("z{}", rng.below(4)));
            let pause = *rng.pick(&["0", "0.2"]);
            match rng.below(4) {
                0 => push(words(&["BLPOP", &list, "l1", pause])),
                1 => push(words(&["BLMOVE", &list, "l0", "LEFT", "RIGHT", pause])),
                2 => push(words(&["BZPOPMIN", &zset, pause])),
                _ => push(words(&["DEL", &list, &zset])),
            }
        } else if weights.filled > 0 && rng.chance(30) {
            let key = format!("f{}", rng.below(weights.filled));
            match rng.below(4) {
                0 => push(words(&["DEL", &key])),
                1 => push(words(&["SET", &key, "changed", "PX", "100"])),
                2 => push(words(&["GET", &key])),
                _ => push(words(&["APPEND", &key, "+"])),
            }
        } else if rng.chance(4) {
            push(words(match rng.below(4) {
                0 => &["FLUSHALL"],
                1 => &["FLUSHDB", "ASYNC"],
                2 => &["SWAPDB", "0", "1"],
                _ => &["CONFIG", "SET", "appendfsync", "always"],
            }));
        } else if rng.chance(weights.rewrite) {
            push(words(&["BGREWRITEAOF"]));
        } else if rng.chance(weights.save) {
            push(words(&[*rng.pick(&["BGSAVE", "SAVE"])]));
        } else if rng.chance(weights.wait) {
            push(words(&["WAITAOF", "1", "0", *rng.pick(&["0", "300"])]));
        } else if rng.chance(weights.durability) {
            let word = *rng.pick(&["always", "everysec", "no", "default"]);
            push(words(&["CLIENT", "DURABILITY", word]));
        } else {
            push(form(forms, rng));
        }
    }

    fn turns(&mut self, weights: &Weights, rng: &mut Rng) {
        if rng.chance(70) {
            self.steps.push(Step::TurnEnd);
        }
        if rng.chance(weights.round) {
            self.steps.push(Step::LogRound);
        }
        if rng.chance(weights.persist) {
            self.steps.push(Step::Persist);
        }
        if rng.chance(weights.clock) {
            let most = *rng.pick(&[50, 2000, 100_000_000]);
            let by = 1 + rng.below(most) as i64;
            self.steps.push(Step::SetClock(if rng.chance(50) { by } else { -by }));
        }
        if rng.chance(weights.tick) {
            self.steps.push(Step::Tick(Duration::from_millis(rng.below(500) as u64)));
        }
    }

    /// The same with a disk that gets full somewhere, for a while.
    pub(crate) fn with_full_disk(mut self, rng: &mut Rng) -> Self {
        let from = rng.below(self.steps.len());
        let to = from + 1 + rng.below(self.steps.len() - from);
        self.steps.insert(to, Step::Room(None));
        self.steps.insert(from, Step::Room(Some(rng.below(900) as u64)));
        self
    }
}

pub(crate) fn words(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// A script that writes several keys: all of it is there afterwards, or nothing. One fails half-way.
fn script(rng: &mut Rng) -> Request {
    const BODIES: [&str; 5] = [
        "redis.call('SET',KEYS[1],ARGV[1]) redis.call('RPUSH',KEYS[2],ARGV[1]) return 1",
        "for i=1,5 do redis.call('RPUSH',KEYS[2],i) end return redis.call('LLEN',KEYS[2])",
        "redis.call('DEL',KEYS[1],KEYS[2]) redis.call('SET',KEYS[1],'x','PX',ARGV[1])",
        "redis.call('SET',KEYS[1],ARGV[1]) redis.call('INCR',KEYS[2]) return 'not reached'",
        "redis.call('SELECT',2) redis.call('SET',KEYS[1],redis.call('TIME')[2]) return 2",
    ];
    let keys = [format!("s{}", rng.below(4)), format!("l{}", rng.below(4))];
    let number = (1 + rng.below(300)).to_string();
    let body = *rng.pick(&BODIES);
    words(&["EVAL", body, "2", &keys[0], &keys[1], &number])
}

fn form(forms: &[Form], rng: &mut Rng) -> Request {
    let mut request = command(forms, rng).args;
    // What waits here waits until somebody comes, or until simulated time is over.
    if request[0].to_ascii_uppercase().starts_with(b"B") {
        for word in request.iter_mut().filter(|word| *word == b"0.001") {
            *word = b"0".to_vec();
        }
    }
    request
}
