//! Which of the pending changes a power loss keeps.
//!
//! A file's image after the loss is put together from versions: version k is the durable image with its
//! first k pending changes applied. Modes differ in which version each file, or each sector, gets.

use std::collections::BTreeMap;

use super::CrashMode;
use super::world::{Change, Entry, Node, SECTOR, World};
use crate::rng::Rng;

/// The disk that is found after power loss.
pub(crate) fn after_power_loss(world: &World, mode: CrashMode, rng: &mut dyn Rng) -> World {
    let cut = cut(world, mode, rng);
    let names = surviving_names(world, mode, cut, rng);
    let images = world.nodes.iter().map(|node| match mode {
        CrashMode::SectorSubset => sector_subset(world, node, rng),
        CrashMode::TornSector => torn(node, cut, rng),
        CrashMode::NamesWithoutContent => {
            let mut image = node.durable.clone();
            if rng.below(2) == 1 {
                image.resize(node.live.len(), 0);
            }
            image
        }
        CrashMode::Everything | CrashMode::NothingUnsynced => version(node, cut),
        CrashMode::OrderedPrefix | CrashMode::ContentWithoutNames => version(node, cut),
    });
    let nodes = images.zip(&world.nodes).map(|(image, node)| Node {
        live: image.clone(),
        durable: image,
        pending: Vec::new(),
        damaged: node.damaged.clone(),
        older: node.older.clone(),
    });
    let nodes = nodes.collect();
    World { nodes, names: names.clone(), durable_names: names, ..World::default() }
}

/// The sequence number up to which (inclusive) changes of bytes are kept.
fn cut(world: &World, mode: CrashMode, rng: &mut dyn Rng) -> u64 {
    match mode {
        CrashMode::Everything | CrashMode::ContentWithoutNames => u64::MAX,
        CrashMode::NothingUnsynced | CrashMode::NamesWithoutContent => 0,
        CrashMode::OrderedPrefix | CrashMode::TornSector | CrashMode::SectorSubset => {
            let files = world.nodes.iter().flat_map(|node| &node.pending).map(|(at, _)| *at);
            let names = world.pending_names.iter().map(|(at, _)| *at);
            let mut instants: Vec<u64> = files.chain(names).chain([0]).collect();
            instants.sort_unstable();
            instants.get(rng.index(instants.len())).copied().unwrap_or(0)
        }
    }
}

fn surviving_names(
    world: &World,
    mode: CrashMode,
    cut: u64,
    rng: &mut dyn Rng,
) -> BTreeMap<String, Entry> {
    let mut names = world.durable_names.clone();
    for (at, change) in &world.pending_names {
        let kept = match mode {
            CrashMode::Everything | CrashMode::NamesWithoutContent => true,
            CrashMode::NothingUnsynced | CrashMode::ContentWithoutNames => false,
            CrashMode::OrderedPrefix | CrashMode::TornSector => *at <= cut,
            CrashMode::SectorSubset => rng.below(2) == 1,
        };
        if kept {
            change.apply(&mut names);
        }
    }
    // A name needs its directory, and that one its own.
    loop {
        let count = names.len();
        let dirs = names.clone();
        names.retain(|path, _| {
            let dir = crate::disk::durable::parent(path);
            dir.is_empty() || dirs.get(dir) == Some(&Entry::Dir)
        });
        if names.len() == count {
            return names;
        }
    }
}

/// The durable image with the pending changes up to sequence number `cut`.
fn version(node: &Node, cut: u64) -> Vec<u8> {
    let mut image = node.durable.clone();
    for (_, change) in node.pending.iter().take_while(|(at, _)| *at <= cut) {
        change.apply(&mut image);
    }
    image
}

/// Like `version`, but the first write that is not kept is done up to some byte, and the rest of its sector
/// there is old, or garbage where the write would have changed it.
fn torn(node: &Node, cut: u64, rng: &mut dyn Rng) -> Vec<u8> {
    let mut image = version(node, cut);
    let next = node.pending.iter().find(|(at, _)| *at > cut);
    let Some((_, Change::Write { offset, bytes })) = next else {
        return image;
    };
    let done = rng.index(bytes.len() + 1);
    let garbage_end = (offset + done).next_multiple_of(SECTOR).min(offset + bytes.len());
    let mut torn = bytes.get(..done).unwrap_or_default().to_vec();
    if rng.below(2) == 1 {
        for at in offset + done..garbage_end {
            let (old, new) = (image.get(at), bytes.get(at - offset));
            torn.push(if old == new {
                *new.unwrap_or(&0)
            } else {
                rng.next_u64().to_le_bytes()[0]
            });
        }
    }
    Change::Write { offset: *offset, bytes: torn }.apply(&mut image);
    image
}

/// Each sector, and the length, from any of some versions.
fn sector_subset(world: &World, node: &Node, rng: &mut dyn Rng) -> Vec<u8> {
    if node.pending.is_empty() {
        return node.durable.clone();
    }
    let last = node.pending.len();
    let cuts = [0, rng.index(last + 1), rng.index(last + 1), last];
    let cuts = cuts.map(|count| match count {
        0 => 0,
        count => node.pending.get(count - 1).map_or(0, |(at, _)| *at),
    });
    let versions = cuts.map(|cut| version(node, cut));
    let pick = |rng: &mut dyn Rng| rng.index(versions.len());
    let len = versions.get(pick(rng)).map_or(0, Vec::len);
    // What a sector holds that was given to the file but never written to.
    let stale =
        if rng.below(3) == 0 { world.nodes.get(rng.index(world.nodes.len())) } else { None };
    let mut image = Vec::with_capacity(len);
    while image.len() < len {
        let from = image.len();
        let to = (from + SECTOR).min(len);
        let chosen = versions.get(pick(rng)).and_then(|version| version.get(from..));
        let chosen = chosen.filter(|rest| !rest.is_empty());
        let rest = chosen.or_else(|| stale.and_then(|other| other.live.get(from..)));
        let rest = rest.unwrap_or_default();
        image.extend_from_slice(rest.get(..rest.len().min(to - from)).unwrap_or_default());
        image.resize(to, 0);
    }
    image
}
