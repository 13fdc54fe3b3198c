//! Cells of the earth's surface: positions as 52-bit scores, distances, neighbours.
//!
//! A position is the cell of a grid that halves longitude and latitude 26 times each; the bits of both
//! are interleaved, so cells that share a prefix are close, and a larger cell is a range of scores.
//! The latitude ends at 85.05112878 degrees, where the Mercator projection is a square.

/// The longitudes and latitudes that can be stored.
pub(super) const LONGITUDE_MAX: f64 = 180.0;
pub(super) const LATITUDE_MAX: f64 = 85.05112878;
/// Halvings of each coordinate in a score.
pub(super) const STEPS: u32 = 26;
/// Metres.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half the length of the equator in the Mercator projection, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Position {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

/// A cell of the grid after `steps` halvings of each coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) bits: u64,
    pub(super) steps: u32,
}

/// The edges of a cell, in degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

/// The cell of a score. A score that ZADD set may be none: it is converted as Redis' is, on the
/// processors on which it runs most.
fn bits_of_score(score: f64) -> u64 {
    const TOP: f64 = 9_223_372_036_854_775_808.0;
    match score {
        _ if score >= TOP * 2.0 => 0,
        _ if score >= TOP => score as u64,
        _ if score < -TOP => 1 << 63,
        _ => (score as i64).cast_unsigned(),
    }
}

impl Position {
    /// The place that a score stands for: the middle of its cell.
    pub(super) fn of_score(score: f64) -> Self {
        let area = Cell { bits: bits_of_score(score), steps: STEPS }.area();
        Self {
            longitude: f64::midpoint(area.west, area.east).clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: f64::midpoint(area.south, area.north).clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// Metres to another place, along a great circle.
    pub(super) fn distance(self, other: Self) -> f64 {
        let (lon1, lon2) = (self.longitude.to_radians(), other.longitude.to_radians());
        let v = ((lon2 - lon1) / 2.0).sin();
        if v == 0.0 {
            return latitude_distance(self.latitude, other.latitude);
        }
        let (lat1, lat2) = (self.latitude.to_radians(), other.latitude.to_radians());
        let u = ((lat2 - lat1) / 2.0).sin();
        let a = u * u + lat1.cos() * lat2.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }
}

/// Metres between two latitudes of one meridian.
pub(super) fn latitude_distance(first: f64, second: f64) -> f64 {
    EARTH_RADIUS * (second.to_radians() - first.to_radians()).abs()
}

impl Cell {
    /// The cell of a place.
    pub(super) fn at(position: Position, steps: u32) -> Self {
        Self::within(position, steps, LATITUDE_MAX)
    }

    fn within(position: Position, steps: u32, latitude_max: f64) -> Self {
        let scale = (1u64 << steps) as f64;
        let part = |value: f64, max: f64| ((value + max) / (2.0 * max) * scale) as u64;
        let longitude = part(position.longitude, LONGITUDE_MAX);
        let latitude = part(position.latitude, latitude_max);
        Self { bits: spread(latitude) | (spread(longitude) << 1), steps }
    }

    pub(super) fn area(self) -> Area {
        let scale = (1u64 << self.steps) as f64;
        let (latitude, longitude) = (gather(self.bits), gather(self.bits >> 1));
        let edge = |part: u64, max: f64| -max + (part as f64 / scale) * (2.0 * max);
        Area {
            west: edge(longitude, LONGITUDE_MAX),
            east: edge(longitude + 1, LONGITUDE_MAX),
            south: edge(latitude, LATITUDE_MAX),
            north: edge(latitude + 1, LATITUDE_MAX),
        }
    }

    /// The cell so many columns east and rows north, around the edges of the map. A place on the
    /// eastern or northern edge is in a column or row behind the last one, and stays there when
    /// it is not moved: as in Redis, whose searches around such a place find little.
    pub(super) fn moved(self, east: i64, north: i64) -> Self {
        let mask = (1u64 << self.steps) - 1;
        let along = |place: u64, by: i64| match by {
            0 => place,
            _ => place.wrapping_add_signed(by) & mask,
        };
        let longitude = along(gather(self.bits >> 1), east);
        let latitude = along(gather(self.bits), north);
        Self { bits: spread(latitude) | (spread(longitude) << 1), steps: self.steps }
    }

    /// The scores in the cell: the first, and the first behind.
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS - self.steps);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// The standard geohash text of a score, whose latitudes go to 90 degrees.
pub(super) fn text(score: f64) -> [u8; 11] {
    let bits = Cell::within(Position::of_score(score), STEPS, 90.0).bits;
    let mut text = [b'0'; 11];
    // 52 bits are ten letters and two bits; the eleventh letter is always 0.
    for (place, letter) in text.iter_mut().take(10).enumerate() {
        let index = (bits >> (52 - (place + 1) * 5)) & 0x1F;
        *letter = ALPHABET[index as usize];
    }
    text
}

/// How small cells may be so that nine of them cover a circle.
pub(super) fn steps_for(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEPS;
    }
    let (mut radius, mut steps) = (radius, 1i32);
    while radius < MERCATOR_MAX {
        radius *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Cells are narrower towards the poles.
    if latitude.abs() > 66.0 {
        steps -= 1;
        if latitude.abs() > 80.0 {
            steps -= 1;
        }
    }
    u32::try_from(steps.max(1)).map_or(1, |steps| steps.min(STEPS))
}

/// The box around a place that reaches so many metres to each side.
pub(super) fn bounding_box(center: Position, half_width: f64, half_height: f64) -> Area {
    // Not `to_degrees`, which multiplies and rounds another way than Redis.
    let degrees = |radians: f64| radians / 1f64.to_radians();
    let up = degrees(half_height / EARTH_RADIUS);
    let across = |latitude: f64| degrees(half_width / EARTH_RADIUS / latitude.to_radians().cos());
    // The side nearer to the pole is the longer one in degrees.
    let side = if center.latitude < 0.0 { center.latitude - up } else { center.latitude + up };
    Area {
        west: center.longitude - across(side),
        east: center.longitude + across(side),
        south: center.latitude - up,
        north: center.latitude + up,
    }
}

/// Puts the low 32 bits on the even places.
fn spread(value: u64) -> u64 {
    let mut bits = value & 0xFFFF_FFFF;
    for (shift, mask) in [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555u64),
    ] {
        bits = (bits | (bits << shift)) & mask;
    }
    bits
}

/// Takes the bits of the even places together: undoes [`spread`].
fn gather(value: u64) -> u64 {
    let mut bits = value & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0F0F_0F0F_0F0F_0F0F),
        (4, 0x00FF_00FF_00FF_00FF),
        (8, 0x0000_FFFF_0000_FFFF),
        (16, 0x0000_0000_FFFF_FFFFu64),
    ] {
        bits = (bits | (bits >> shift)) & mask;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palermo_is_where_it_was() {
        let palermo = Position { longitude: 13.361389, latitude: 38.115556 };
        let cell = Cell::at(palermo, STEPS);
        assert_eq!(cell.bits, 3_479_099_956_230_698);
        assert_eq!(&text(cell.bits as f64), b"sqc8b49rny0");
        let catania = Position { longitude: 15.087269, latitude: 37.502669 };
        let catania = Position::of_score(Cell::at(catania, STEPS).bits as f64);
        let distance = Position::of_score(cell.bits as f64).distance(catania);
        assert_eq!(format!("{distance:.4}"), "166274.1516");
    }
}
