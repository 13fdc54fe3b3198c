//! What a search covers: a circle, a box or a polygon; which cells, and what of them is within.

use super::cell::{self, Area, Cell, Position};
use super::polygon::Polygon;

/// What is searched, in metres.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
    Polygon(Polygon),
}

impl Shape {
    /// Metres from the center to a place within; `None`: it is outside.
    pub(super) fn distance(&self, center: Position, place: Position) -> Option<f64> {
        match *self {
            Self::Polygon(ref polygon) => polygon.contains(place).then(|| center.distance(place)),
            Self::Circle { radius } => {
                let distance = center.distance(place);
                // Rounding makes it no number on the other side of the earth: that is within.
                if distance > radius { None } else { Some(distance) }
            }
            Self::Box { width, height } => {
                if cell::latitude_distance(place.latitude, center.latitude) > height / 2.0 {
                    return None;
                }
                let beside = Position { latitude: place.latitude, ..center };
                if place.distance(beside) > width / 2.0 {
                    return None;
                }
                Some(center.distance(place))
            }
        }
    }

    /// Nine cells at most that cover the shape: the center's and its neighbours.
    pub(super) fn cells(&self, center: Position) -> Vec<Cell> {
        let (half_width, half_height, radius) = match *self {
            Self::Polygon(ref polygon) => return polygon.cells(),
            Self::Circle { radius } => (radius, radius, radius),
            Self::Box { width, height } => {
                (width / 2.0, height / 2.0, (width / 2.0).hypot(height / 2.0))
            }
        };
        let bounds = cell::bounding_box(center, half_width, half_height);
        let mut steps = cell::steps_for(radius, center.latitude);
        let middle = Cell::at(center, steps);
        if steps > 1 && !reaches(middle, &bounds) {
            steps -= 1;
        }
        let middle = Cell::at(center, steps);
        let area = middle.area();
        // Small cells: a side that the shape does not reach needs no neighbours.
        let cuts = steps >= 2;
        let north = !(cuts && area.north > bounds.north);
        let south = !(cuts && area.south < bounds.south);
        let east = !(cuts && area.east > bounds.east);
        let west = !(cuts && area.west < bounds.west);
        [
            (true, 0, 0),
            (north, 0, 1),
            (south, 0, -1),
            (east, 1, 0),
            (west, -1, 0),
            (north && east, 1, 1),
            (north && west, -1, 1),
            (south && east, 1, -1),
            (south && west, -1, -1),
        ]
        .into_iter()
        .filter(|(wanted, ..)| *wanted)
        .map(|(_, columns, rows)| middle.moved(columns, rows))
        .collect()
    }
}

/// Whether the neighbours of a cell reach beyond the bounds on every side.
fn reaches(middle: Cell, bounds: &Area) -> bool {
    middle.moved(0, 1).area().north >= bounds.north
        && middle.moved(0, -1).area().south <= bounds.south
        && middle.moved(1, 0).area().east >= bounds.east
        && middle.moved(-1, 0).area().west <= bounds.west
}
