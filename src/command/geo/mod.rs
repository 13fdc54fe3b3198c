//! Geospatial commands: sorted sets whose scores are cells of the earth's surface (`cell`).
//!
//! `search` has the searches, `shape` and `polygon` what they cover. The log gets GEOADD as the ZADD that it is.

mod cell;
mod polygon;
mod search;
mod shape;

use super::zset::{Conditions, Score, put};
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::number::{fixed_point, parse_double};
use crate::resp::Reply;
use crate::types::ZSet;
use cell::{Cell, LATITUDE_MAX, LONGITUDE_MAX, Position, STEPS};

pub const COMMANDS: &[Command] = &[
    GEOADD,
    GEODIST,
    GEOHASH,
    GEOPOS,
    search::GEORADIUS,
    search::GEORADIUSBYMEMBER,
    search::GEORADIUSBYMEMBER_RO,
    search::GEORADIUS_RO,
    search::GEOSEARCH,
    search::GEOSEARCHSTORE,
];

pub const GEOADD: Command = Command {
    name: "GEOADD",
    arity: -5,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Geo,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["update"])],
    args: "key [NX | XX] [CH] (longitude:double latitude:double member) ...",
    propagate: Propagate::Effect,
    doc: Doc {
        since: "3.2.0",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        summary: "Puts members with their longitude and latitude into a geospatial index, which is created if it is not there.",
        history: &[("6.2.0", "Added the `CH`, `NX` and `XX` options.")],
        deprecated: None,
    },
    handler: Handler::Plain(geoadd),
    ..Command::BASE
};

fn geoadd(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let mut conditions = Conditions::default();
    let mut at = 2;
    while at < args.len() {
        let option = match args.at(at).to_ascii_uppercase().as_slice() {
            b"NX" => &mut conditions.nx,
            b"XX" => &mut conditions.xx,
            b"CH" => &mut conditions.ch,
            _ => break,
        };
        *option = true;
        at += 1;
    }
    let rest = args.tail(at);
    if rest.is_empty() || !rest.len().is_multiple_of(3) || (conditions.nx && conditions.xx) {
        return Err(CommandError::Syntax);
    }
    let mut scores = Vec::with_capacity(rest.len() / 3);
    for at in (0..rest.len()).step_by(3) {
        let position = parse_position(&rest, at)?;
        let score = Cell::at(position, STEPS).bits as f64;
        scores.push(Score { member: rest.at(at + 2), score });
    }
    let dirty = ctx.ks.effects.dirty;
    put(ctx, args.at(1), conditions, &scores)?;
    if ctx.ks.effects.dirty > dirty {
        let texts: Vec<String> =
            scores.iter().map(|item| (item.score as u64).to_string()).collect();
        let mut record: Vec<&[u8]> = vec![b"ZADD", args.at(1)];
        for (given, word) in [(conditions.nx, "NX"), (conditions.xx, "XX"), (conditions.ch, "CH")] {
            if given {
                record.push(word.as_bytes());
            }
        }
        for (item, text) in scores.iter().zip(&texts) {
            record.extend([text.as_bytes(), item.member]);
        }
        ctx.effect(&record);
    }
    Ok(())
}

pub const GEODIST: Command = Command {
    name: "GEODIST",
    arity: -4,
    flags: Flags::READONLY,
    group: Group::Geo,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key member1 member2 [M | KM | FT | MI]",
    doc: doc("3.2.0", "O(1)", "Returns the distance between two members of a geospatial index."),
    handler: Handler::Plain(geodist),
    ..Command::BASE
};

fn geodist(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.len() > 5 {
        return Err(CommandError::Syntax);
    }
    let unit = args.get(4).map_or(Ok(1.0), parse_unit)?;
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?;
    let place = |at| set.and_then(|set| set.score(args.at(at))).map(Position::of_score);
    match (place(2), place(3)) {
        (Some(first), Some(second)) => distance(ctx.reply, first.distance(second) / unit),
        _ => ctx.reply.null(),
    }
    Ok(())
}

pub const GEOHASH: Command = Command {
    name: "GEOHASH",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Geo,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key [member ...]",
    doc: doc(
        "3.2.0",
        "O(1) for each member requested.",
        "Returns the positions of members as geohash strings.",
    ),
    handler: Handler::Plain(geohash),
    ..Command::BASE
};

fn geohash(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?;
    let members = args.tail(2);
    ctx.reply.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => ctx.reply.bulk(&cell::text(score)),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

pub const GEOPOS: Command = Command {
    name: "GEOPOS",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::Geo,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key [member ...]",
    doc: doc(
        "3.2.0",
        "O(1) for each member requested.",
        "Returns the longitude and latitude of members.",
    ),
    handler: Handler::Plain(geopos),
    ..Command::BASE
};

fn geopos(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(1))?;
    let members = args.tail(2);
    ctx.reply.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => coordinates(ctx.reply, Position::of_score(score)),
            None => ctx.reply.null_array(),
        }
    }
    Ok(())
}

/// Reads longitude and latitude at arguments `at` and `at + 1`.
fn parse_position(args: &Args, at: usize) -> Result<Position, CommandError> {
    let longitude = parse_double(args.at(at)).ok_or(CommandError::NotFloat)?;
    let latitude = parse_double(args.at(at + 1)).ok_or(CommandError::NotFloat)?;
    if longitude.abs() > LONGITUDE_MAX || latitude.abs() > LATITUDE_MAX {
        return Err(CommandError::owned(format!(
            "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
        )));
    }
    Ok(Position { longitude, latitude })
}

/// Metres in a unit.
fn parse_unit(text: &[u8]) -> Result<f64, CommandError> {
    match text.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// Writes a distance with four decimals.
fn distance(reply: &mut Reply, value: f64) {
    reply.bulk(fixed_point(value, 4).as_bytes());
}

/// Writes longitude and latitude.
fn coordinates(reply: &mut Reply, position: Position) {
    reply.array(2);
    reply.double(position.longitude);
    reply.double(position.latitude);
}
