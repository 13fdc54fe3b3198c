//! The polygon of GEOSEARCH BYPOLYGON (Valkey 9.0): vertices joined by straight lines on the map.
//!
//! The lines are straight in longitude and latitude and do not cross the 180th meridian. What lines enclose an
//! odd number of times is within, the place of a vertex or on a lower or left line too, as in Valkey. Distances are
//! from the middle of the vertices on the sphere.

use super::cell::{Area, Cell, Position, STEPS};
use super::{Args, CommandError, parse_position};
use crate::number::parse_i64;

const VERTICES_MIN: i64 = 3;

/// A polygon of three vertices or more.
#[derive(Clone, Debug)]
pub(super) struct Polygon {
    vertices: Vec<Position>,
}

impl Polygon {
    /// Reads the number of vertices and the vertices.
    pub(super) fn parse(args: &Args, at: usize) -> Result<Self, CommandError> {
        let count = parse_i64(args.at(at)).filter(|count| *count <= i64::from(i32::MAX));
        let count = count.ok_or(CommandError::text("ERR invalid number of vertices"))?;
        let left = args.len() - at - 1;
        let count = usize::try_from(count)
            .ok()
            .filter(|vertices| count >= VERTICES_MIN && *vertices <= left / 2)
            .ok_or(CommandError::text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices"))?;
        let vertices = (0..count).map(|vertex| parse_position(args, at + 1 + vertex * 2));
        Ok(Self { vertices: vertices.collect::<Result<_, _>>()? })
    }

    /// The arguments it was read from.
    pub(super) fn args(&self) -> usize {
        1 + self.vertices.len() * 2
    }

    /// The middle of the vertices, as points of a sphere.
    pub(super) fn center(&self) -> Position {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for vertex in &self.vertices {
            let (longitude, latitude) =
                (vertex.longitude.to_radians(), vertex.latitude.to_radians());
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        let count = self.vertices.len() as f64;
        let (x, y, z) = (x / count, y / count, z / count);
        Position { longitude: y.atan2(x).to_degrees(), latitude: z.atan2(x.hypot(y)).to_degrees() }
    }

    /// Whether a place is within.
    pub(super) fn contains(&self, place: Position) -> bool {
        let mut within = false;
        let mut before = self.vertices.last();
        for vertex in &self.vertices {
            if let Some(from) = before.replace(vertex)
                && (vertex.latitude > place.latitude) != (from.latitude > place.latitude)
            {
                let along = (place.latitude - vertex.latitude) / (from.latitude - vertex.latitude);
                let crossing = vertex.longitude + (from.longitude - vertex.longitude) * along;
                within ^= place.longitude < crossing;
            }
        }
        within
    }

    /// The cells that cover it: the smallest of which nine are enough.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let middle = Position {
            longitude: f64::midpoint(bounds.west, bounds.east),
            latitude: f64::midpoint(bounds.south, bounds.north),
        };
        let covering = |cell: &Cell| {
            let area = cell.area();
            let (width, height) = (area.east - area.west, area.north - area.south);
            area.west - width <= bounds.west
                && area.east + width >= bounds.east
                && area.south - height <= bounds.south
                && area.north + height >= bounds.north
        };
        let mut sizes = (1..=STEPS).rev().map(|steps| Cell::at(middle, steps));
        let cell = sizes.find(covering).unwrap_or_else(|| Cell::at(middle, 1));
        let mut cells: Vec<Cell> = Vec::new();
        for (columns, rows) in
            (-1..=1).flat_map(|columns| (-1..=1).map(move |rows| (columns, rows)))
        {
            let cell = cell.moved(columns, rows);
            let area = cell.area();
            let meets = area.west <= bounds.east
                && area.east >= bounds.west
                && area.south <= bounds.north
                && area.north >= bounds.south;
            // Of very large cells there are fewer than nine on the earth.
            if meets && !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }

    fn bounds(&self) -> Area {
        let none = Area {
            west: f64::INFINITY,
            east: f64::NEG_INFINITY,
            south: f64::INFINITY,
            north: f64::NEG_INFINITY,
        };
        self.vertices.iter().fold(none, |area, vertex| Area {
            west: area.west.min(vertex.longitude),
            east: area.east.max(vertex.longitude),
            south: area.south.min(vertex.latitude),
            north: area.north.max(vertex.latitude),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng as _, SeededRng};

    #[test]
    fn cells_cover_whatever_is_within() {
        let mut rng = SeededRng::new(9);
        let mut found = 0;
        for size in [0.001, 0.1, 3.0, 60.0, 360.0] {
            for _ in 0..200 {
                let mut near = |middle: f64, most: f64| {
                    let share = rng.index(2001) as f64 / 1000.0 - 1.0;
                    (middle + share * size / 2.0).clamp(-most, most)
                };
                let middle = Position { longitude: near(0.0, 180.0), latitude: near(40.0, 85.0) };
                let mut place = || Position {
                    longitude: near(middle.longitude, 180.0),
                    latitude: near(middle.latitude, 85.0),
                };
                let polygon = Polygon { vertices: (0..5).map(|_| place()).collect() };
                let cells = polygon.cells();
                for _ in 0..20 {
                    let place = place();
                    if !polygon.contains(place) {
                        continue;
                    }
                    found += 1;
                    let covered = cells.iter().filter(|cell| {
                        let area = cell.area();
                        (area.west..=area.east).contains(&place.longitude)
                            && (area.south..=area.north).contains(&place.latitude)
                    });
                    assert!(covered.count() >= 1, "{place:?} {polygon:?}");
                }
            }
        }
        assert!(found > 1000, "{found}");
    }
}
