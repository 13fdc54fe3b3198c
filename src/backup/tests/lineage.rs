//! A clock that was wrong, and which backup is the newest one in spite of it.

use std::sync::Arc;
use std::time::Duration;

use super::{World, digest_of, digest_of_restored, repository};
use crate::backup::cut::Target;
use crate::backup::prune::{Retention, prune};
use crate::backup::store::memory::MemoryStore;
use crate::clock::Clock as _;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_clock_that_was_ahead_once_does_not_make_an_older_state_the_newest_one() {
    // With a rewrite in between the log does not tell any more which one is older.
    for rewritten in [false, true] {
        let mut world = World::new(81);
        let repository = repository(&Arc::new(MemoryStore::new()));
        world.run(&["SET", "v", "one"]);
        world.write();
        let right = world.clock.wall();
        world.clock.set_wall(right + 3_600_000);
        let ahead = world.back_up(&repository).unwrap().manifest.id;
        world.clock.set_wall(right + 60_000);
        if rewritten {
            world.engine.rewrite_now().unwrap();
        }
        world.run(&["SET", "v", "two"]);
        world.write();
        let newest = world.back_up(&repository).unwrap().manifest.id;
        let listed = repository.ids().unwrap();
        assert_eq!(listed, [newest.clone(), ahead.clone()], "by their names");
        let in_order = repository.backups().unwrap();
        let last = &in_order.last().unwrap().id;
        assert_eq!(last, if rewritten { &ahead } else { &newest });
        if !rewritten {
            let found = digest_of_restored(&repository, &Target::Latest).unwrap();
            assert_eq!(found, digest_of(&world.engine));
        }
        // The one of the future stays, and does not push out another one.
        let keep_one = Retention { last: 1, ..Retention::default() };
        let now = world.clock.wall();
        let pruned = prune(&repository, &keep_one, now, "00", true).unwrap();
        assert_eq!(pruned.removed, [""; 0], "{pruned:?}");
        assert!(pruned.notes.iter().any(|note| note.contains(&ahead)), "{:?}", pruned.notes);
        if !rewritten {
            world.clock.advance(2 * HOUR);
            let now = world.clock.wall();
            let pruned = prune(&repository, &keep_one, now, "00", true).unwrap();
            assert_eq!((pruned.removed, pruned.notes), (vec![ahead], Vec::new()));
            let found = digest_of_restored(&repository, &Target::Latest).unwrap();
            assert_eq!(found, digest_of(&world.engine));
        }
    }
}
