//! What a mounted file system asks of a simulated disk beyond the `Disk` trait: second names, directories that
//! move, syncs that cover what was written before they began, and names that become durable with their file.

use std::collections::BTreeSet;
use std::io;

use super::super::durable::parent;
use super::world::{Entry, NodeId, World};

type Result<T> = io::Result<T>;

impl World {
    /// Gives a file a second name.
    pub(crate) fn link(&mut self, id: NodeId, to: &str) -> Result<()> {
        self.must_be_dir(parent(to))?;
        if self.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.begin_plain(|| format!("link {to}"))?;
        self.change_names(parent(to), vec![(to.to_owned(), Some(Entry::File(id)))]);
        self.end(())
    }

    /// Renames a file, or a directory with all that is in it, as one change.
    pub(crate) fn move_entry(&mut self, from: &str, to: &str) -> Result<()> {
        if self.names.get(from) != Some(&Entry::Dir) {
            return self.rename(from, to);
        }
        self.must_be_dir(parent(to))?;
        match self.names.get(to) {
            Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            Some(Entry::Dir) if !self.is_empty_dir(to) => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            _ => {}
        }
        self.begin_plain(|| format!("rename directory {from} to {to}"))?;
        let inside = format!("{from}/");
        let moved =
            self.names.iter().filter(|(path, _)| *path == from || path.starts_with(&inside));
        let mut sets = Vec::new();
        for (path, entry) in moved {
            let rest = path.get(from.len()..).unwrap_or_default();
            sets.push((path.clone(), None));
            sets.push((format!("{to}{rest}"), Some(*entry)));
        }
        self.change_names(parent(to), sets);
        self.end(())
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&mut self, dir: &str) -> Result<()> {
        match self.names.get(dir) {
            Some(Entry::Dir) if self.is_empty_dir(dir) => {}
            Some(Entry::Dir) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        self.begin_plain(|| format!("rmdir {dir}"))?;
        self.change_names(parent(dir), vec![(dir.to_owned(), None)]);
        self.end(())
    }

    fn is_empty_dir(&self, dir: &str) -> bool {
        !self.names.keys().any(|path| parent(path) == dir)
    }

    /// The end of a sync that began when `until` was the newest change: later ones are not covered.
    pub(crate) fn sync_until(&mut self, id: NodeId, until: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        let covered = node.pending.iter().take_while(|(at, _)| *at <= until).count();
        for (_, change) in node.pending.drain(..covered) {
            change.apply(&mut node.durable);
        }
        Ok(())
    }

    /// Makes the names of a file durable, and those of the directories that they are in.
    pub(crate) fn sync_names_of(&mut self, id: NodeId, until: u64) {
        let of_file =
            |(path, entry): (&String, &Entry)| (*entry == Entry::File(id)).then(|| path.clone());
        let names: Vec<String> = self.names.iter().filter_map(of_file).collect();
        let mut wanted = BTreeSet::new();
        for name in names {
            with_parents(&name, &mut wanted);
        }
        self.sync_names(wanted, until);
    }

    /// Makes the names in a directory durable, and its own.
    pub(crate) fn sync_names_in(&mut self, dir: &str, until: u64) {
        let mut wanted = BTreeSet::new();
        with_parents(dir, &mut wanted);
        for (_, change) in &self.pending_names {
            let inside =
                change.sets.iter().map(|(path, _)| path).filter(|path| parent(path) == dir);
            wanted.extend(inside.cloned());
        }
        self.sync_names(wanted, until);
    }

    /// Makes pending changes of these names durable, and those that they rest on.
    fn sync_names(&mut self, mut wanted: BTreeSet<String>, until: u64) {
        let mut covered = BTreeSet::new();
        for (at, change) in self.pending_names.iter().rev().filter(|(at, _)| *at <= until) {
            if change.sets.iter().any(|(path, _)| wanted.contains(path)) {
                covered.insert(*at);
                wanted.extend(change.sets.iter().map(|(path, _)| path.clone()));
            }
        }
        let pending = std::mem::take(&mut self.pending_names);
        let (now, later) = pending.into_iter().partition(|(at, _)| covered.contains(at));
        self.pending_names = later;
        let now: Vec<_> = now;
        for (_, change) in now {
            change.apply(&mut self.durable_names);
        }
    }

    /// Forgets the bytes of files that have no name any more, after a crash: nobody holds them open.
    pub(crate) fn drop_nameless(&mut self) {
        let named: BTreeSet<NodeId> = self.names.values().filter_map(Entry::node).collect();
        for (id, node) in self.nodes.iter_mut().enumerate() {
            if !named.contains(&id) {
                *node = super::world::Node::default();
            }
        }
    }
}

fn with_parents(path: &str, into: &mut BTreeSet<String>) {
    let mut path = path;
    while !path.is_empty() {
        into.insert(path.to_owned());
        path = parent(path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::OpenMode;
    use super::*;

    #[test]
    fn a_synced_file_keeps_its_names_and_what_they_rest_on() {
        let mut world = World::default();
        world.create_dir("log").unwrap();
        let kept = world.open("log/temp", OpenMode::CreateOrOpen).unwrap();
        let lost = world.open("log/other", OpenMode::CreateOrOpen).unwrap();
        world.write(lost, "log/other", 0, b"gone").unwrap();
        world.write(kept, "log/temp", 0, b"before").unwrap();
        world.rename("log/temp", "log/file").unwrap();
        let until = world.sequence;
        world.write(kept, "log/file", 6, b"after").unwrap();
        world.sync_until(kept, until).unwrap();
        world.sync_names_of(kept, until);
        let names: Vec<&str> = world.durable_names.keys().map(String::as_str).collect();
        assert_eq!(names, ["log", "log/file"]);
        assert_eq!(world.node(kept).unwrap().durable, b"before");
        assert_eq!(world.pending_names.len(), 1);
        world.sync_names_in("log", world.sequence);
        assert!(world.durable_names.contains_key("log/other"));
    }

    #[test]
    fn a_directory_moves_with_what_is_in_it() {
        let mut world = World::default();
        world.create_dir("a").unwrap();
        let file = world.open("a/x", OpenMode::CreateOrOpen).unwrap();
        world.move_entry("a", "b").unwrap();
        assert_eq!(world.file("b/x"), Some(file));
        assert!(world.remove_dir("b").is_err());
        world.remove("b/x").unwrap();
        world.remove_dir("b").unwrap();
        world.link(file, "c").unwrap();
        assert_eq!(world.file_paths(), ["c"]);
    }
}
