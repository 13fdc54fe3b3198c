//! What was counted, for people at a terminal.

use std::fmt::Write as _;

use super::prefix::Node;
use super::statistics::{Count, KINDS, SIZES, Statistics, TIMES};
use crate::cli::backup::terms::bytes;

/// Widest bar of a histogram.
const BAR: u64 = 30;
/// Prefixes shown on each level, and levels.
const PREFIXES: usize = 10;
const LEVELS: usize = 3;
/// Patterns shown.
const PATTERNS: usize = 15;

/// Everything as text.
pub(super) fn text(input: &str, counted: &Statistics) -> String {
    let mut out = String::new();
    let Count { keys, memory } = counted.all;
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{input}: {keys} keys, {} of memory", bytes(memory));
    if counted.functions > 0 {
        let _ = writeln!(out, "{} function libraries", counted.functions);
    }
    if counted.databases.len() > 1 {
        out.push_str("\nDATABASES         keys      expire        memory\n");
        for (db, of) in &counted.databases {
            let (count, expires) = (of.count, of.expires);
            let _ = writeln!(
                out,
                "  {db:<8} {:>12} {expires:>11} {:>13}",
                count.keys,
                bytes(count.memory)
            );
        }
    }
    types(&mut out, counted);
    histogram(&mut out, "TIME TO LIVE, up to", TIMES.iter().map(|(name, _)| *name), &counted.times);
    histogram(
        &mut out,
        "MEMORY OF A KEY, up to",
        SIZES.iter().map(|(name, _)| *name),
        &counted.sizes,
    );
    biggest(&mut out, counted);
    out.push_str("\nKEYS THAT ARE ALIKE                    keys        memory   average\n");
    for (pattern, Count { keys, memory }) in counted.patterns.largest(PATTERNS) {
        let average = bytes(memory.checked_div(keys).unwrap_or(0));
        let name = pattern.escape_ascii().to_string();
        let _ = writeln!(out, "  {name:<30} {keys:>10} {:>13} {average:>9}", bytes(memory));
    }
    if !counted.prefixes.root.children.is_empty() {
        out.push_str("\nPREFIXES\n");
        prefixes(&mut out, &counted.prefixes.root, 0, memory / 200);
        if counted.prefixes.pruned {
            out.push_str("  (small prefixes were left out to save memory)\n");
        }
    }
    out
}

fn types(out: &mut String, counted: &Statistics) {
    out.push_str("\nTYPES             keys        memory   average    elements\n");
    for (place, kind) in KINDS.iter().enumerate() {
        let Some(of) = counted.types.get(&place) else { continue };
        let Count { keys, memory } = of.count;
        let average = memory.checked_div(keys).unwrap_or(0);
        let _ = writeln!(
            out,
            "  {:<8} {keys:>12} {:>13} {:>9} {:>11}",
            kind.name(),
            bytes(memory),
            bytes(average),
            of.elements
        );
        for (name, Count { keys, memory }) in &of.encodings {
            let _ = writeln!(out, "    {name:<10} {keys:>8} {:>13}", bytes(*memory));
        }
    }
}

fn histogram<'n>(
    out: &mut String,
    title: &str,
    names: impl Iterator<Item = &'n str>,
    counts: &[Count],
) {
    let _ = writeln!(out, "\n{title}");
    let most = counts.iter().map(|count| count.keys).max().unwrap_or(0).max(1);
    for (name, Count { keys, memory }) in names.zip(counts) {
        // A few are not nothing.
        let bar = usize::try_from((keys * BAR).div_ceil(most)).unwrap_or(0);
        let _ = writeln!(
            out,
            "  {name:<9} {keys:>11} {:>13} {}",
            if *keys > 0 { bytes(*memory) } else { "-".to_owned() },
            "#".repeat(bar)
        );
    }
}

fn biggest(out: &mut String, counted: &Statistics) {
    out.push_str("\nBIGGEST KEYS\n");
    for (place, kind) in KINDS.iter().enumerate() {
        let Some(of) = counted.types.get(&place) else { continue };
        for large in of.largest() {
            let unit = if place == 0 { "bytes" } else { "elements" };
            let db = if counted.databases.len() > 1 {
                format!(" (db {})", large.db)
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "  {:<7} {:>11} {:>11} {unit:<8} {:<10} {}{db}",
                kind.name(),
                bytes(large.memory),
                large.elements,
                large.encoding,
                large.key.escape_ascii()
            );
        }
    }
}

/// Those that hold at least `least` bytes; there may be very many others.
fn prefixes(out: &mut String, node: &Node, level: usize, least: u64) {
    let mut children: Vec<_> = node.children.iter().collect();
    children.sort_by_key(|(_, child)| std::cmp::Reverse(child.memory));
    let all = children.len();
    children.retain(|(_, child)| child.memory >= least);
    children.truncate(PREFIXES);
    let indent = "  ".repeat(level + 1);
    for (part, child) in &children {
        let name = format!("{indent}{}", part.escape_ascii());
        let _ = writeln!(out, "{name:<32} {:>11} {:>13}", child.keys, bytes(child.memory));
        if level + 1 < LEVELS {
            prefixes(out, child, level + 1, least);
        }
    }
    if all > children.len() {
        let _ = writeln!(out, "{indent}... {} more", all - children.len());
    }
}
