//! Searches around a place or within a polygon: GEOSEARCH and the older GEORADIUS commands.
//!
//! The cells that cover the area (`shape`) are ranges of scores; their members are measured one by one.

use std::cmp::Ordering;

use super::cell::Position;
use super::polygon::Polygon;
use super::shape::Shape;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, coordinates, parse_position, parse_unit,
};
use crate::command::keyspec::{Begin, Find};
use crate::command::sort_part::sort_part;
use crate::command::store::store;
use crate::command::zset::{is_signed, pairs, restate_stored};
use crate::keyspace::event;
use crate::number::{parse_double, parse_i64};
use crate::types::ZSet;
use crate::types::zset::{Direction, ScoreBound};

/// Which options a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// GEOSEARCH: center and shape are options.
    Search,
    /// GEOSEARCHSTORE
    SearchStore,
    /// GEORADIUS: may store.
    Radius,
    /// GEORADIUS_RO
    RadiusOnly,
}

/// A search as it was asked for.
#[derive(Debug)]
struct Search<'a> {
    center: Option<Position>,
    /// The member to search around, found or not.
    from_member: bool,
    shape: Option<Shape>,
    /// Metres in the unit of distances.
    unit: f64,
    with_distance: bool,
    with_score: bool,
    with_position: bool,
    /// 0: all.
    count: usize,
    any: bool,
    ascending: Option<bool>,
    store: Option<&'a [u8]>,
    store_distance: bool,
}

/// A member that was found.
struct Hit {
    member: Vec<u8>,
    score: f64,
    distance: f64,
}

impl Hit {
    /// As Redis compares: no number is less than anything.
    fn order(&self, other: &Self) -> Ordering {
        self.distance.partial_cmp(&other.distance).unwrap_or(Ordering::Less)
    }
}

pub(super) const GEOSEARCH: Command = Command {
    name: "GEOSEARCH",
    arity: -7,
    flags: Flags::READONLY,
    group: Group::Geo,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key <<<FROMMEMBER member | FROMLONLAT longitude:double latitude:double> <<BYRADIUS radius:double <M | KM | FT | MI>> | <BYBOX width:double height:double <M | KM | FT | MI>>>> | <BYPOLYGON num-vertices:integer <longitude:double latitude:double>...>> [ASC | DESC] [COUNT count:integer [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
    doc: Doc {
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        summary: "Returns the members within a circle, a box or a polygon.",
        history: &[("7.0.0", "Added support for uppercase unit names.")],
        deprecated: None,
    },
    handler: Handler::Plain(geosearch),
    ..Command::BASE
};

fn geosearch(ctx: &mut Ctx, args: &Args) -> CommandResult {
    search(ctx, args, 1, 2, Form::Search)
}

pub(super) const GEOSEARCHSTORE: Command = Command {
    name: "GEOSEARCHSTORE",
    arity: -8,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Geo,
    keys: &[
        KeySpec::at(1, Access::Overwrite, &["update"]),
        KeySpec::at(2, Access::Read, &["access"]),
    ],
    args: "destination:key source:key <<<FROMMEMBER member | FROMLONLAT longitude:double latitude:double> <<BYRADIUS radius:double <M | KM | FT | MI>> | <BYBOX width:double height:double <M | KM | FT | MI>>>> | <BYPOLYGON num-vertices:integer <longitude:double latitude:double>...>> [ASC | DESC] [COUNT count:integer [ANY]] [STOREDIST]",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        summary: "Stores the members within a circle, a box or a polygon.",
        history: &[("7.0.0", "Added support for uppercase unit names.")],
        deprecated: None,
    },
    handler: Handler::Plain(geosearchstore),
    ..Command::BASE
};

fn geosearchstore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    search(ctx, args, 2, 3, Form::SearchStore)
}

/// The key and the target of GEORADIUS and GEORADIUSBYMEMBER, whose options begin at argument `options`. Of several
/// targets the last one counts, which the specifications do not see: they look for the first.
fn radius_keys(args: &Args, options: usize) -> Vec<usize> {
    let mut keys = vec![1];
    let mut at = options;
    while at + 1 < args.len() {
        if args.is(at, "STORE") || args.is(at, "STOREDIST") {
            at += 1;
            keys.truncate(1);
            keys.push(at);
        }
        at += 1;
    }
    keys
}

pub(super) const GEORADIUS: Command = Command {
    name: "GEORADIUS",
    arity: -6,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    group: Group::Geo,
    keys: &[
        KeySpec::at(1, Access::Read, &["access"]),
        KeySpec {
            begin: Begin::Keyword("STORE", 6),
            find: Find::Range { last: 0, step: 1, limit: 0 },
            access: Access::Overwrite,
            notes: &["update"],
        },
        KeySpec {
            begin: Begin::Keyword("STOREDIST", 6),
            find: Find::Range { last: 0, step: 1, limit: 0 },
            access: Access::Overwrite,
            notes: &["update"],
        },
    ],
    key_finder: Some(|args| radius_keys(args, 6)),
    args: "key longitude:double latitude:double radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC] [STORE storekey:key | STOREDIST storedistkey:key]",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns the members within a distance of a position, or stores them.",
        history: &[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
    },
    handler: Handler::Plain(georadius),
    ..Command::BASE
};

fn georadius(ctx: &mut Ctx, args: &Args) -> CommandResult {
    search(ctx, args, 1, 6, Form::Radius)
}

pub(super) const GEORADIUS_RO: Command = Command {
    name: "GEORADIUS_RO",
    arity: -6,
    flags: Flags::READONLY,
    group: Group::Geo,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key longitude:double latitude:double radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC]",
    doc: Doc {
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns the members within a distance of a position.",
        history: &[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
    },
    handler: Handler::Plain(georadius_ro),
    ..Command::BASE
};

fn georadius_ro(ctx: &mut Ctx, args: &Args) -> CommandResult {
    search(ctx, args, 1, 6, Form::RadiusOnly)
}

pub(super) const GEORADIUSBYMEMBER: Command = Command {
    name: "GEORADIUSBYMEMBER",
    arity: -5,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    group: Group::Geo,
    keys: &[
        KeySpec::at(1, Access::Read, &["access"]),
        KeySpec {
            begin: Begin::Keyword("STORE", 5),
            find: Find::Range { last: 0, step: 1, limit: 0 },
            access: Access::Overwrite,
            notes: &["update"],
        },
        KeySpec {
            begin: Begin::Keyword("STOREDIST", 5),
            find: Find::Range { last: 0, step: 1, limit: 0 },
            access: Access::Overwrite,
            notes: &["update"],
        },
    ],
    key_finder: Some(|args| radius_keys(args, 5)),
    args: "key member radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC] [STORE storekey:key | STOREDIST storedistkey:key]",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns the members within a distance of a member, or stores them.",
        history: &[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
    },
    handler: Handler::Plain(georadiusbymember),
    ..Command::BASE
};

fn georadiusbymember(ctx: &mut Ctx, args: &Args) -> CommandResult {
    search(ctx, args, 1, 5, Form::Radius)
}

pub(super) const GEORADIUSBYMEMBER_RO: Command = Command {
    name: "GEORADIUSBYMEMBER_RO",
    arity: -5,
    flags: Flags::READONLY,
    group: Group::Geo,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key member radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC | DESC]",
    doc: Doc {
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns the members within a distance of a member.",
        history: &[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    },
    handler: Handler::Plain(georadiusbymember_ro),
    ..Command::BASE
};

fn georadiusbymember_ro(ctx: &mut Ctx, args: &Args) -> CommandResult {
    search(ctx, args, 1, 5, Form::RadiusOnly)
}

/// Runs a search of the set at argument `key_at`, with its options from `options_at` on.
fn search(
    ctx: &mut Ctx,
    args: &Args,
    key_at: usize,
    options_at: usize,
    form: Form,
) -> CommandResult {
    let set = ctx.ks.read::<ZSet>(ctx.db, args.at(key_at))?;
    let mut request = Search::new();
    if form == Form::SearchStore {
        request.store = args.get(1);
    }
    if matches!(form, Form::Radius | Form::RadiusOnly) {
        let by_place = options_at == 6;
        request.center = if by_place {
            Some(parse_position(args, 2)?)
        } else {
            request.around(set, args.at(2))?
        };
        // Around a member of nothing there is nothing: not even the radius is looked at.
        request.shape = Some(Shape::Circle { radius: 0.0 });
        if by_place || set.is_some() {
            request.circle(args, options_at - 2)?;
        }
    }
    request.options(args, options_at, form, set)?;
    request.check(args, form)?;
    let hits = match (set, request.center, &request.shape) {
        (Some(set), Some(center), Some(shape)) => request.run(set, center, shape),
        _ => Vec::new(),
    };
    match request.store {
        Some(destination) => request.keep(ctx, destination, &hits),
        None => request.reply(ctx, &hits),
    }
    Ok(())
}

fn number(text: &[u8], error: &'static str) -> Result<f64, CommandError> {
    parse_double(text).ok_or(CommandError::text(error))
}

fn not_negative(value: f64, error: &'static str) -> CommandResult {
    if value < 0.0 { Err(CommandError::text(error)) } else { Ok(()) }
}

impl<'a> Search<'a> {
    fn new() -> Self {
        Self {
            center: None,
            from_member: false,
            shape: None,
            unit: 1.0,
            with_distance: false,
            with_score: false,
            with_position: false,
            count: 0,
            any: false,
            ascending: None,
            store: None,
            store_distance: false,
        }
    }

    /// The place of a member; without a set there is nothing to find, whatever the place.
    fn around(
        &mut self,
        set: Option<&ZSet>,
        member: &[u8],
    ) -> Result<Option<Position>, CommandError> {
        self.from_member = true;
        let Some(set) = set else { return Ok(None) };
        let score = set
            .score(member)
            .ok_or(CommandError::text("ERR could not decode requested zset member"))?;
        Ok(Some(Position::of_score(score)))
    }

    /// Reads a radius and its unit.
    fn circle(&mut self, args: &Args, at: usize) -> CommandResult {
        let radius = number(args.at(at), "ERR need numeric radius")?;
        not_negative(radius, "ERR radius cannot be negative")?;
        self.unit = parse_unit(args.at(at + 1))?;
        self.shape = Some(Shape::Circle { radius: radius * self.unit });
        Ok(())
    }

    fn options(
        &mut self,
        args: &Args<'a>,
        mut at: usize,
        form: Form,
        set: Option<&ZSet>,
    ) -> CommandResult {
        let searches = matches!(form, Form::Search | Form::SearchStore);
        while at < args.len() {
            let left = args.len() - at - 1;
            let word = args.at(at).to_ascii_uppercase();
            // Of options that say the same twice the last one counts.
            let at_place = !self.from_member && self.center.is_some();
            let in_circle = matches!(self.shape, Some(Shape::Circle { .. }));
            let in_box = matches!(self.shape, Some(Shape::Box { .. }));
            // A polygon is a place, too.
            let in_polygon = matches!(self.shape, Some(Shape::Polygon(_)));
            at += 1;
            match word.as_slice() {
                b"WITHDIST" => self.with_distance = true,
                b"WITHHASH" => self.with_score = true,
                b"WITHCOORD" => self.with_position = true,
                b"ANY" => self.any = true,
                b"ASC" => self.ascending = Some(true),
                b"DESC" => self.ascending = Some(false),
                b"STOREDIST" if form == Form::SearchStore => self.store_distance = true,
                b"COUNT" if left >= 1 => {
                    let count = parse_i64(args.at(at)).ok_or(CommandError::NotInteger)?;
                    self.count = usize::try_from(count)
                        .ok()
                        .filter(|count| *count > 0)
                        .ok_or(CommandError::text("ERR COUNT must be > 0"))?;
                    at += 1;
                }
                b"STORE" | b"STOREDIST" if left >= 1 && form == Form::Radius => {
                    self.store = args.get(at);
                    self.store_distance = word == b"STOREDIST";
                    at += 1;
                }
                b"FROMMEMBER" if left >= 1 && searches && !at_place && !in_polygon => {
                    self.center = self.around(set, args.at(at))?;
                    at += 1;
                }
                b"FROMLONLAT" if left >= 2 && searches && !self.from_member && !in_polygon => {
                    self.center = Some(parse_position(args, at)?);
                    at += 2;
                }
                b"BYRADIUS" if left >= 2 && searches && !in_box && !in_polygon => {
                    self.circle(args, at)?;
                    at += 2;
                }
                b"BYBOX" if left >= 3 && searches && !in_circle && !in_polygon => {
                    let width = number(args.at(at), "ERR need numeric width")?;
                    let height = number(args.at(at + 1), "ERR need numeric height")?;
                    not_negative(width.min(height), "ERR height or width cannot be negative")?;
                    self.unit = parse_unit(args.at(at + 2))?;
                    let (width, height) = (width * self.unit, height * self.unit);
                    self.shape = Some(Shape::Box { width, height });
                    at += 3;
                }
                b"BYPOLYGON"
                    if left >= 1
                        && searches
                        && (in_polygon
                            || self.shape.is_none() && !at_place && !self.from_member) =>
                {
                    let polygon = Polygon::parse(args, at)?;
                    at += polygon.args();
                    self.center = Some(polygon.center());
                    self.shape = Some(Shape::Polygon(polygon));
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(())
    }

    /// Whether the options go together.
    fn check(&self, args: &Args, form: Form) -> CommandResult {
        let refuse = |text: String| Err(CommandError::owned(text));
        let name = String::from_utf8_lossy(args.at(0)).into_owned();
        if self.store.is_some() && (self.with_distance || self.with_score || self.with_position) {
            let who = if form == Form::SearchStore {
                "GEOSEARCHSTORE"
            } else {
                "STORE option in GEORADIUS"
            };
            return refuse(format!(
                "ERR {who} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            ));
        }
        if self.center.is_none() && !self.from_member {
            return refuse(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"
            ));
        }
        if self.shape.is_none() {
            return refuse(format!(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for {name}"
            ));
        }
        if self.any && self.count == 0 {
            return refuse("ERR the ANY argument requires COUNT argument".to_owned());
        }
        Ok(())
    }

    /// The members within the shape, sorted and cut as asked for.
    fn run(&self, set: &ZSet, center: Position, shape: &Shape) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut last = None;
        for cell in shape.cells(center) {
            let enough = self.any && hits.len() >= self.count;
            if enough {
                break;
            }
            // With very large cells neighbours may be one and the same.
            if last.replace(cell) == Some(cell) {
                continue;
            }
            let (from, to) = cell.scores();
            let ranks = set.ranks_by_score(ScoreBound::Inclusive(from), ScoreBound::Exclusive(to));
            for (member, score) in set.range(ranks, Direction::Forward) {
                if self.any && hits.len() >= self.count {
                    break;
                }
                if let Some(distance) = shape.distance(center, Position::of_score(score)) {
                    hits.push(Hit { member: member.to_vec(), score, distance });
                }
            }
        }
        let wanted = if self.count > 0 { self.count.min(hits.len()) } else { hits.len() };
        let all = wanted == hits.len();
        // COUNT without ANY is the nearest ones.
        let ascending = self.ascending.or((self.count > 0 && !self.any).then_some(true));
        match ascending {
            Some(true) if all => hits.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Some(false) if all => hits.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
            Some(true) => sort_part(&mut hits, &(0..wanted), &mut Hit::order),
            Some(false) => {
                sort_part(&mut hits, &(0..wanted), &mut |a, b| Hit::order(a, b).reverse());
            }
            None => {}
        }
        hits.truncate(wanted);
        hits
    }

    fn keep(&self, ctx: &mut Ctx, destination: &[u8], hits: &[Hit]) {
        let limits = ctx.limits();
        // Only a small set stores -0 as 0, and whether it is small is settled by all of them.
        let longest = hits.iter().map(|hit| hit.member.len()).max().unwrap_or_default();
        let mut result = ZSet::with_expected(hits.len(), longest, limits);
        let mut signed = false;
        for hit in hits {
            let score = if self.store_distance { hit.distance / self.unit } else { hit.score };
            signed |= is_signed(score);
            result.insert(&hit.member, score, limits);
        }
        // Redis, which may read the log, has no polygons.
        let polygon = matches!(self.shape, Some(Shape::Polygon(_)));
        let restated = (polygon || signed).then(|| pairs(&result));
        let name =
            if ctx.command == "GEOSEARCHSTORE" { "geosearchstore" } else { "georadiusstore" };
        store(ctx, destination, result, event::ZSET, name);
        if let Some(pairs) = restated {
            restate_stored(ctx, destination, pairs);
        }
        ctx.reply.count(hits.len());
    }

    fn reply(&self, ctx: &mut Ctx, hits: &[Hit]) {
        let parts = 1
            + usize::from(self.with_distance)
            + usize::from(self.with_score)
            + usize::from(self.with_position);
        ctx.reply.array(hits.len());
        for hit in hits {
            if parts > 1 {
                ctx.reply.array(parts);
            }
            ctx.reply.bulk(&hit.member);
            if self.with_distance {
                super::distance(ctx.reply, hit.distance / self.unit);
            }
            if self.with_score {
                ctx.reply.int(hit.score as i64);
            }
            if self.with_position {
                coordinates(ctx.reply, Position::of_score(hit.score));
            }
        }
    }
}
