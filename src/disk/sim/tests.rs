//! Each behaviour of the simulated disk; a simulator that loses too little proves nothing.

use super::*;
use crate::rng::SeededRng;

fn file(disk: &SimDisk, path: &str) -> Box<dyn DiskFile> {
    disk.open(path, OpenMode::CreateOrOpen).unwrap()
}

/// A disk with the durable file `a` of 1024 bytes of 1 and pending on it: 2 over the whole file and 512 more.
fn pending() -> SimDisk {
    let disk = SimDisk::new();
    disk.put("a", &[1; 1024]);
    file(&disk, "a").write_all_at(0, &[2; 1536]).unwrap();
    disk
}

/// What crashes with 200 seeds leave of file `a`.
fn outcomes(disk: &SimDisk, mode: CrashMode) -> Vec<Option<Vec<u8>>> {
    let crash = |seed| disk.crash(mode, &mut SeededRng::new(seed)).bytes("a");
    let mut all: Vec<_> = (0..200).map(crash).collect();
    all.sort();
    all.dedup();
    all
}

fn runs(parts: &[(u8, usize)]) -> Option<Vec<u8>> {
    Some(parts.iter().flat_map(|(byte, len)| vec![*byte; *len]).collect())
}

#[test]
fn only_synced_bytes_survive_where_nothing_unsynced_does() {
    let disk = pending();
    assert_eq!(outcomes(&disk, CrashMode::NothingUnsynced), [runs(&[(1, 1024)])]);
    assert_eq!(outcomes(&disk, CrashMode::Everything), [runs(&[(2, 1536)])]);
    file(&disk, "a").sync_data().unwrap();
    for mode in CrashMode::ALL {
        assert_eq!(outcomes(&disk, mode), [runs(&[(2, 1536)])], "{mode:?}");
    }
}

#[test]
fn prefix_keeps_the_order_over_files_and_names() {
    let disk = SimDisk::new();
    for (path, byte) in [("b", 1), ("a", 2), ("b", 3)] {
        let file = file(&disk, path);
        file.write_all_at(file.len().unwrap(), &[byte]).unwrap();
    }
    let mut seen = Vec::new();
    for seed in 0..200 {
        let after = disk.crash(CrashMode::OrderedPrefix, &mut SeededRng::new(seed));
        seen.push((after.bytes("b"), after.bytes("a")));
    }
    seen.sort();
    seen.dedup();
    let (one, two) = (Some(vec![1]), Some(vec![2]));
    let mut right = vec![
        (None, None),
        (Some(vec![]), None),
        (one.clone(), None),
        (one.clone(), Some(vec![])),
        (one, two.clone()),
        (Some(vec![1, 3]), two),
    ];
    right.sort();
    assert_eq!(seen, right);
}

#[test]
fn any_subset_of_sectors_can_survive() {
    let seen = outcomes(&pending(), CrashMode::SectorSubset);
    for parts in [
        &[(1u8, 512usize), (2, 512)][..],
        &[(2, 512), (1, 512)],
        &[(1, 1024), (2, 512)],
        &[(2, 1024), (0, 512)],
        &[(1, 1024)],
        &[(2, 1536)],
    ] {
        assert!(seen.contains(&runs(parts)), "{parts:?}");
    }
    for image in seen.into_iter().flatten() {
        assert!(image.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
    }
}

#[test]
fn sectors_never_written_can_hold_what_another_file_left() {
    let disk = pending();
    disk.put("other", &[7; 2000]);
    assert!(outcomes(&disk, CrashMode::SectorSubset).contains(&runs(&[(1, 1024), (7, 512)])));
}

#[test]
fn torn_sector_ends_anywhere_with_garbage_behind_it_in_the_sector_only() {
    let seen = outcomes(&pending(), CrashMode::TornSector);
    assert!(seen.len() > 50);
    let mut garbage = 0;
    for image in seen.into_iter().flatten() {
        let done = image.iter().take_while(|byte| **byte == 2).count();
        let sector_end = done.next_multiple_of(512).min(image.len());
        let behind = &image[done..sector_end];
        garbage += usize::from(behind.iter().any(|byte| *byte > 2));
        assert!(image[sector_end..].iter().all(|byte| *byte == 1));
    }
    assert!(garbage > 10);
}

#[test]
fn torn_rewrite_keeps_the_bytes_that_it_does_not_change() {
    let disk = SimDisk::new();
    disk.put("a", &[1; 100]);
    file(&disk, "a").write_all_at(0, &[[1; 100], [2; 100]].concat()).unwrap();
    for image in outcomes(&disk, CrashMode::TornSector).into_iter().flatten() {
        assert_eq!(image[..100], [1; 100]);
    }
}

#[test]
fn names_and_content_go_separate_ways() {
    let disk = SimDisk::new();
    disk.put("d/a", b"old");
    file(&disk, "d/a").write_all_at(0, b"newer").unwrap();
    file(&disk, "d/b").write_all_at(0, b"b").unwrap();
    disk.rename("d/b", "d/c").unwrap();
    let crash = |mode, seed| disk.crash(mode, &mut SeededRng::new(seed));
    let content = crash(CrashMode::ContentWithoutNames, 1);
    assert_eq!(content.files(), ["d/a"]);
    assert_eq!(content.bytes("d/a").unwrap(), b"newer");
    let mut lens = Vec::new();
    for seed in 0..20 {
        let names = crash(CrashMode::NamesWithoutContent, seed);
        assert_eq!(names.files(), ["d/a", "d/c"]);
        assert!(names.bytes("d/a").unwrap().starts_with(b"old"));
        lens.push(names.bytes("d/a").unwrap().len());
    }
    assert!(lens.contains(&3) && lens.contains(&5));
}

#[test]
fn name_needs_its_directory_synced_and_a_file_in_it_too() {
    let disk = SimDisk::new();
    disk.create_dir("d").unwrap();
    let file = file(&disk, "d/a");
    file.write_all_at(0, b"x").unwrap();
    file.sync_all().unwrap();
    let found = |disk: &SimDisk| {
        disk.crash(CrashMode::NothingUnsynced, &mut SeededRng::new(1)).files().len()
    };
    assert_eq!(found(&disk), 0);
    disk.sync_dir("d").unwrap();
    assert_eq!(found(&disk), 0, "the directory itself is not durable");
    disk.sync_dir("").unwrap();
    assert_eq!(found(&disk), 1);
    disk.remove("d/a").unwrap();
    assert_eq!(found(&disk), 1);
    disk.sync_dir("d").unwrap();
    assert_eq!(found(&disk), 0);
    assert_eq!(file.len().unwrap(), 1, "an open file outlives its name");
}

#[test]
fn power_cut_fails_everything_after_it_and_its_own_effect_is_open() {
    let disk = SimDisk::new();
    let file = file(&disk, "a");
    disk.sync_dir("").unwrap();
    disk.fail_at(2, Fault::PowerCut);
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.sync_data().is_err() && disk.remove("a").is_err());
    assert!(file.read_at(0, &mut [0]).is_err());
    assert!(disk.open("a", OpenMode::Read).is_err());
    assert_eq!(outcomes(&disk, CrashMode::OrderedPrefix), [Some(vec![]), Some(vec![b'x'])]);
    assert!(disk.operations().ends_with("2 write a 0+1: PowerCut"), "{}", disk.operations());
}

#[test]
fn failed_sync_that_drops_pages_leaves_them_readable_and_not_durable() {
    for (fault, durable) in [(Fault::SyncDropsPages, &b"AB"[..]), (Fault::SyncKeepsPages, b"xB")] {
        let disk = SimDisk::new();
        disk.put("a", b"A");
        let file = file(&disk, "a");
        file.write_all_at(0, b"x").unwrap();
        disk.fail_at(1, fault);
        assert!(file.sync_data().is_err());
        assert_eq!(disk.bytes("a").unwrap(), b"x");
        file.write_all_at(1, b"B").unwrap();
        file.sync_data().unwrap();
        assert_eq!(outcomes(&disk, CrashMode::NothingUnsynced), [Some(durable.to_vec())]);
    }
}

#[test]
fn full_disk_takes_what_fits_and_more_when_there_is_room_again() {
    let disk = SimDisk::new();
    disk.put("b", &[0; 10]);
    disk.set_capacity(Some(16));
    let file = file(&disk, "a");
    assert_eq!(file.write_at(0, &[1; 10]).unwrap(), 6);
    let error = file.write_at(6, &[1; 4]).unwrap_err();
    assert!(error.is_full());
    assert_eq!(disk.free_bytes().unwrap(), 0);
    assert_eq!(file.write_at(0, &[2; 6]).unwrap(), 6, "overwriting needs no room");
    disk.remove("b").unwrap();
    assert_eq!(file.write_at(6, &[1; 4]).unwrap(), 4);
    assert_eq!(disk.used_bytes(), 10);
}

#[test]
fn short_writes_and_eio_happen_once() {
    let disk = SimDisk::new();
    let file = file(&disk, "a");
    disk.fail_at(1, Fault::ShortWrite(2));
    disk.fail_at(2, Fault::Eio);
    assert_eq!(file.write_at(0, b"abcd").unwrap(), 2);
    assert!(file.write_at(2, b"cd").is_err());
    assert_eq!(disk.bytes("a").unwrap(), b"ab");
    file.write_all_at(2, b"cd").unwrap();
    assert_eq!(disk.bytes("a").unwrap(), b"abcd");
}

#[test]
fn rot_and_unreadable_sectors_survive_a_restart() {
    let disk = SimDisk::new();
    disk.put("a", &[0; 1500]);
    assert!(disk.rot("a", 3, 0x80));
    assert!(!disk.rot("a", 1500, 1));
    assert!(disk.damage_sector("a", 600));
    let after = disk.crash(CrashMode::NothingUnsynced, &mut SeededRng::new(1));
    let file = file(&after, "a");
    let mut buffer = [0; 512];
    file.read_at(0, &mut buffer).unwrap();
    assert_eq!(buffer[3], 0x80);
    assert!(file.read_at(1, &mut buffer).is_err());
    file.read_at(1024, &mut buffer).unwrap();
}

#[test]
fn lock_is_exclusive_until_dropped() {
    let disk = SimDisk::new();
    let lock = disk.lock("lock", "pid 1").unwrap();
    assert!(disk.lock("lock", "pid 2").unwrap_err().to_string().ends_with("pid 1"));
    drop(lock);
    disk.lock("lock", "pid 2").unwrap();
}
