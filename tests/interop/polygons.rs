//! GEOSEARCH BYPOLYGON beside Valkey, which has it since 9.0: the same members, at the same distances.

use crate::support::peers;
use crate::support::reply::Reply;
use crate::support::rng::Rng;
use crate::support::server::Server;

/// Members with their distances: of equal distances either may be first.
fn sorted(reply: &Reply) -> Vec<String> {
    let mut lines: Vec<String> = reply.items().iter().map(|item| format!("{item:?}")).collect();
    lines.sort();
    lines
}

#[test]
fn polygons_hold_what_they_hold_in_valkey() {
    let Some(valkey) = peers::valkey9() else { return };
    let (ours, theirs) = (Server::start(&peers::fastness(), &[]), Server::start(&valkey, &[]));
    let (mut ours, mut theirs) = (ours.client(), theirs.client());
    let mut rng = Rng::new(20_261_129);
    let mut place = |middle: f64, size: f64| {
        let share = rng.below(2_000_001) as f64 / 1_000_000.0 - 1.0;
        middle + share * size
    };
    for n in 0..2000 {
        let size = [0.01, 1.0, 20.0][n % 3];
        let add = format!("GEOADD all {} {} m{n}", place(10.0, size), place(40.0, size));
        ours.must(&add);
        theirs.must(&add);
    }
    let mut found = 0;
    for n in 0..400 {
        let size = [0.01, 0.3, 2.0, 15.0][n % 4];
        let vertices = 3 + n % 7;
        let corners: Vec<String> =
            (0..vertices).map(|_| format!("{} {}", place(10.0, size), place(40.0, size))).collect();
        let search =
            format!("GEOSEARCH all BYPOLYGON {vertices} {} WITHDIST ASC", corners.join(" "));
        let (left, right) = (ours.must(&search), theirs.must(&search));
        assert_eq!(sorted(&left), sorted(&right), "{search}");
        found += left.items().len();
    }
    assert!(found > 10_000, "{found}");
}
