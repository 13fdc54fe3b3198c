//! What `redis-server` does instead of serving, on `fastness serve`: `--version`, `--check-system`, `--test-memory`.
//!
//! Tools that manage servers ask for the first one and take the version from its line. The checks are of what concerns
//! Fastness: nothing here forks, so that strict accounting of memory is a fault and the kernel's default is not.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Clock sources that a program reads without a call into the kernel.
const FAST_CLOCKS: &[&str] =
    &["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
/// What is tested at once, in words of 8 bytes.
const BLOCK_WORDS: usize = 1 << 17;
const WORDS_PER_MEGABYTE: usize = (1 << 20) / 8;

/// Does what the options ask for; `None` when they ask for a server.
pub(super) fn run(args: &[OsString]) -> Option<ExitCode> {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        ["-v" | "--version"] => {
            println!("{}", version());
            Some(ExitCode::SUCCESS)
        }
        ["--check-system"] => Some(check_system()),
        ["--test-memory", megabytes] => Some(test_memory(megabytes)),
        ["--test-memory"] => Some(test_memory("")),
        _ => None,
    }
}

/// The line of `redis-server --version`: the version of Redis that clients may count on, and our own.
fn version() -> String {
    format!(
        "Redis server v={} sha=00000000:0 malloc={} bits={} build=fastness-{}",
        crate::REDIS_VERSION,
        crate::memory::ALLOCATOR_NAME,
        usize::BITS,
        env!("CARGO_PKG_VERSION")
    )
}

/// A setting of the kernel that may be in the way: why it is, and what helps.
type Finding = Result<(), String>;

#[allow(clippy::disallowed_methods, reason = "the kernel's files are no data")]
fn check_system() -> ExitCode {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let clock = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let checks = [
        ("slow-clocksource", check_clock(&clock)),
        ("overcommit", check_overcommit(&read("/proc/sys/vm/overcommit_memory"))),
        ("THP", check_huge_pages(&read("/sys/kernel/mm/transparent_hugepage/enabled"))),
    ];
    for (name, finding) in &checks {
        match finding {
            Ok(()) => println!("[{name}]...OK"),
            Err(why) => println!("[{name}]...WARNING:\n{why}"),
        }
    }
    ExitCode::from(u8::from(checks.iter().any(|(_, finding)| finding.is_err())))
}

fn check_clock(source: &str) -> Finding {
    let source = source.trim();
    if source.is_empty() || FAST_CLOCKS.contains(&source) {
        return Ok(());
    }
    Err(format!(
        "The clock source '{source}' is read by a call into the kernel, which each request pays for. \
         /sys/devices/system/clocksource/clocksource0/available_clocksource lists others; 'tsc' is the fast one."
    ))
}

fn check_overcommit(mode: &str) -> Finding {
    if mode.trim() != "2" {
        return Ok(());
    }
    Err("Memory is accounted for strictly (vm.overcommit_memory = 2): allocations may be refused while memory is free. \
         Run 'sysctl vm.overcommit_memory=0', and put it into /etc/sysctl.conf."
        .to_owned())
}

fn check_huge_pages(enabled: &str) -> Finding {
    if !enabled.contains("[always]") {
        return Ok(());
    }
    Err("Transparent huge pages are on for everybody: memory that was freed stays in use, and a page that is made \
         takes longer. Run 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled', also after a reboot."
        .to_owned())
}

/// What the word at this place is to hold.
type Pattern = fn(u64) -> u64;

/// Writes patterns over so much memory and reads them back.
fn test_memory(megabytes: &str) -> ExitCode {
    let count = megabytes.parse::<usize>().ok().filter(|count| (1..1 << 24).contains(count));
    let Some(count) = count else {
        eprintln!("Please specify the amount of memory to test in megabytes.");
        eprintln!("  next: fastness serve --test-memory 4096");
        return ExitCode::from(1);
    };
    let mut memory: Vec<u64> = Vec::new();
    if memory.try_reserve_exact(count * WORDS_PER_MEGABYTE).is_err() {
        eprintln!("{count} megabytes cannot be had.");
        return ExitCode::from(1);
    }
    memory.resize(count * WORDS_PER_MEGABYTE, 0);
    let shows = std::io::stderr().is_terminal();
    let patterns: [(&str, Pattern); 4] = [
        ("addresses", |at| at),
        ("alternating bits", |at| {
            if at % 2 == 0 { 0x5555_5555_5555_5555 } else { !0x5555_5555_5555_5555 }
        }),
        ("all bits", |_| u64::MAX),
        ("scattered bits", |at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ at >> 7),
    ];
    for (name, pattern) in patterns {
        if let Some(wrong) = first_wrong(&mut memory, pattern, |percent| {
            if shows {
                eprint!("\r\x1b[Ktesting {name}: {percent} %");
                let _ = std::io::stderr().flush();
            }
        }) {
            println!("\n*** MEMORY ERROR DETECTED: word {wrong} of {}, {name}", memory.len());
            return ExitCode::from(1);
        }
    }
    if shows {
        eprint!("\r\x1b[K");
    }
    println!("Your memory passed this test.");
    ExitCode::SUCCESS
}

/// The index of the first word that does not keep its pattern.
fn first_wrong(
    memory: &mut [u64],
    pattern: impl Fn(u64) -> u64,
    mut progress: impl FnMut(usize),
) -> Option<usize> {
    let all = memory.len().max(1);
    for (block, words) in memory.chunks_mut(BLOCK_WORDS).enumerate() {
        let first = block * BLOCK_WORDS;
        words.iter_mut().zip(first as u64..).for_each(|(word, at)| *word = pattern(at));
        progress(first * 50 / all);
    }
    // All is written before anything is read: a word that another one is written to shows.
    for (block, words) in std::hint::black_box(memory).chunks(BLOCK_WORDS).enumerate() {
        let first = block * BLOCK_WORDS;
        let wrong = words.iter().zip(first as u64..).position(|(word, at)| *word != pattern(at));
        if let Some(wrong) = wrong {
            return Some(first + wrong);
        }
        progress(50 + first * 50 / all);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(words: &[&str]) -> bool {
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        run(&args).is_some()
    }

    #[test]
    fn only_what_stands_alone_is_not_a_server() {
        assert!(run_with(&["--version"]) && run_with(&["-v"]) && run_with(&["--test-memory", "1"]));
        assert!(
            !run_with(&[]) && !run_with(&["--port", "6379"]) && !run_with(&["redis.conf", "-v"])
        );
    }

    #[test]
    fn the_version_is_where_tools_look_for_it() {
        let line = version();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..3], ["Redis", "server", &format!("v={}", crate::REDIS_VERSION)]);
        assert!(words.contains(&"bits=64") && words.iter().any(|word| word.starts_with("build=")));
    }

    #[test]
    fn settings_in_the_way_are_found() {
        assert!(check_clock("tsc\n").is_ok() && check_clock("").is_ok());
        assert!(check_clock("hpet\n").unwrap_err().contains("'hpet'"));
        assert!(check_overcommit("0\n").is_ok() && check_overcommit("2\n").is_err());
        assert!(check_huge_pages("always [madvise] never\n").is_ok());
        assert!(check_huge_pages("[always] madvise never\n").is_err());
    }

    #[test]
    fn a_word_that_does_not_keep_its_pattern_is_found() {
        const WORDS: usize = BLOCK_WORDS + 10;
        let (mut memory, mut seen) = (vec![0; WORDS], 0);
        assert_eq!(first_wrong(&mut memory, |at| at, |percent| seen = percent), None);
        assert!((50..=100).contains(&seen));
        // A pattern that does not say the same twice looks like memory that forgets.
        let asked = std::cell::Cell::new(0);
        let fickle = |at: u64| {
            asked.set(asked.get() + 1);
            at + u64::from(asked.get() == 2 * WORDS - 3)
        };
        assert_eq!(first_wrong(&mut memory, fickle, |_| {}), Some(WORDS - 4));
    }
}
