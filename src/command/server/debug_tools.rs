//! The subcommands of DEBUG that look into structures, make data, and reach into the server's workings.

use super::super::{Args, CommandError, CommandResult, Ctx};
use super::debug::ok;
use crate::config::memory;
use crate::keyspace::{Entry, StrRef, ValueRef};
use crate::number;
use crate::session::Client;
use crate::types::limits::Limits;
use crate::types::list::List;

/// DEBUG POPULATE count [prefix] [size]
pub(super) fn populate(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let natural = |at: usize| {
        number::parse_i64(args.at(at))
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(CommandError::text("ERR value is out of range, must be positive"))
    };
    let count = natural(2)?;
    let size = if args.len() == 5 { Some(natural(4)?) } else { None };
    let size_max = usize::try_from(ctx.server.config.string_bytes_max()).unwrap_or(usize::MAX);
    if size.is_some_and(|size| size > size_max) {
        return Err(CommandError::text("ERR value is out of range"));
    }
    let prefix = args.get(3).unwrap_or(b"key").to_vec();
    let mut key = Vec::new();
    for number in 0..count {
        key.clear();
        key.extend_from_slice(&prefix);
        key.extend_from_slice(format!(":{number}").as_bytes());
        if ctx.ks.contains(ctx.db, &key) {
            continue;
        }
        let mut value = format!("value:{number}").into_bytes();
        if let Some(size) = size {
            value.resize(size, 0);
        }
        ctx.ks.set_string(ctx.db, &key, &value, None);
        ctx.effect(&[b"SET", &key, &value]);
        // No keyspace event, as in Redis: it is a tool for filling.
        ctx.changed(&key, 0, "set");
    }
    ok(ctx)
}

/// DEBUG PROTOCOL type
pub(super) fn protocol(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let name = String::from_utf8_lossy(args.at(2)).to_lowercase();
    let reply = &mut *ctx.reply;
    match name.as_str() {
        "string" => reply.bulk(b"Hello World"),
        "integer" => reply.int(12_345),
        "double" => reply.double(f64::from(3141) / 1000.0),
        "null" => reply.null(),
        "array" => {
            reply.array(3);
            (0..3).for_each(|value| reply.int(value));
        }
        "set" => {
            reply.set(3);
            (0..3).for_each(|value| reply.int(value));
        }
        "map" => {
            reply.map(3);
            for value in 0..3 {
                reply.int(value);
                reply.boolean(value == 1);
            }
        }
        "attrib" => {
            if reply.resp3 {
                reply.buffer.extend_from_slice(b"|1\r\n");
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        "push" if !reply.resp3 => {
            return Err(CommandError::text("ERR RESP2 is not supported by this command"));
        }
        // The reply first, then the push: a client that leaves that aside has an answer.
        "push" => {
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        "verbatim" => reply.verbatim(b"txt", b"This is a verbatim\nstring"),
        "true" => reply.boolean(true),
        "false" => reply.boolean(false),
        "bignum" => reply.big_number(b"1234567999999999999999999999999999999"),
        _ => {
            return Err(CommandError::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// DEBUG SDSLEN key
pub(super) fn string_sizes(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let entry = ctx.ks.peek(ctx.db, args.at(2)).ok_or(CommandError::NoSuchKey)?;
    let ValueRef::Str(StrRef::Bytes(value)) = entry.value() else {
        return Err(CommandError::text("ERR Not an sds encoded string."));
    };
    let text = format!(
        "key_sds_len:{}, key_sds_avail:0, key_zmalloc: 0, val_sds_len:{}, val_sds_avail:0, \
         val_zmalloc: {}",
        entry.key().len(),
        value.len(),
        entry.memory_bytes()
    );
    ctx.reply.simple(&text);
    Ok(())
}

/// What DEBUG OBJECT says of a list with nodes. Nothing is compressed in memory, whatever
/// `list-compress-depth` asks of files.
pub(super) fn list_nodes(list: &List, limits: &Limits) -> String {
    let nodes = list.node_count().max(1);
    let bytes: usize = list.nodes().map(|node| node.byte_len()).sum();
    // Two decimals, and far below 2^53.
    #[allow(clippy::cast_precision_loss, reason = "an average for people")]
    let average = list.len() as f64 / nodes as f64;
    format!(
        " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{} ql_compressed:{} \
         ql_uncompressed_size:{bytes}",
        limits.list_max_listpack_size,
        u8::from(limits.list_compress_depth != 0)
    )
}

/// DEBUG LISTPACK key and DEBUG QUICKLIST key: whether it is one.
pub(super) fn encoded_as(
    ctx: &mut Ctx,
    args: &Args,
    encodings: &[&str],
    name: &str,
) -> CommandResult {
    let entry = ctx.ks.peek(ctx.db, args.at(2)).ok_or(CommandError::NoSuchKey)?;
    if !encodings.contains(&entry.encoding_name()) {
        let wanted = encodings.first().copied().unwrap_or_default();
        return Err(CommandError::owned(format!("ERR Not a {wanted} encoded object.")));
    }
    ctx.reply.simple(&format!("{name} structure printed on stdout"));
    Ok(())
}

/// DEBUG STRUCTSIZE: of what this server is made of.
pub(super) fn structure_sizes(ctx: &mut Ctx) -> CommandResult {
    let text = format!(
        "bits:{} entry:{} entry_header:8 client:{} list:{} hash:{} set:{} zset:{} stream:{} ",
        usize::BITS,
        size_of::<Entry>(),
        size_of::<Client>(),
        size_of::<List>(),
        size_of::<crate::types::Hash>(),
        size_of::<crate::types::Set>(),
        size_of::<crate::types::ZSet>(),
        size_of::<crate::types::Stream>(),
    );
    ctx.reply.simple(&text);
    Ok(())
}

/// DEBUG HTSTATS dbid [full]
pub(super) fn table_figures(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let db = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let db = usize::try_from(db).ok().filter(|db| *db < ctx.ks.databases());
    let db = db.ok_or(CommandError::text("ERR Out of range database"))?;
    let (segments, bytes) = ctx.ks.table_figures(db);
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: {}\n number of \
         elements: {}\n segments: {segments}\n bytes: {bytes}\n[Expires HT]\n number of elements: \
         {}\n",
        bytes / 64 * 7,
        ctx.ks.len(db),
        ctx.ks.expires(db)
    );
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(())
}

/// DEBUG HTSTATS-KEY key [full]
pub(super) fn value_table_figures(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let entry = ctx.ks.peek(ctx.db, args.at(2)).ok_or(CommandError::NoSuchKey)?;
    let len = match entry.value() {
        ValueRef::Set(set) if entry.encoding_name() == "hashtable" => set.len(),
        ValueRef::Hash(hash) if entry.encoding_name() == "hashtable" => hash.len(),
        ValueRef::ZSet(zset) if entry.encoding_name() == "skiplist" => zset.len(),
        _ => {
            return Err(CommandError::text(
                "ERR The value stored at the specified key is not represented using an hash table",
            ));
        }
    };
    let text = format!(
        "Hash table 0 stats (main hash table):\n number of elements: {len}\n bytes: {}\n",
        entry.memory_bytes()
    );
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(())
}

/// DEBUG QUICKLIST-PACKED-THRESHOLD size: nodes are bounded by `list-max-listpack-size` here.
pub(super) fn packed_threshold(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let size = memory(args.at(2)).filter(|size| *size < 4 << 30);
    if size.is_none() {
        return Err(CommandError::text(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ));
    }
    ok(ctx)
}

/// DEBUG REPLYBUFFER PEAK-RESET-TIME|RESIZING ..: buffers are sized by use here.
pub(super) fn reply_buffer(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let resets = args.is(2, "PEAK-RESET-TIME");
    let never = args.is(3, "never") || args.is(3, "reset");
    if resets && !never && number::parse_i64(args.at(3)).is_none() {
        return Err(CommandError::NotInteger);
    }
    if !resets && !args.is(2, "RESIZING") {
        return Err(CommandError::text(
            "ERR unknown subcommand or wrong number of arguments for 'REPLYBUFFER'. Try DEBUG HELP.",
        ));
    }
    ok(ctx)
}

/// DEBUG ERROR text
pub(super) fn error(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let text = String::from_utf8_lossy(args.at(2)).replace(['\r', '\n'], " ");
    ctx.reply.error(&text);
    Ok(())
}

/// DEBUG CLIENT-EVICTION
pub(super) fn client_memory(ctx: &mut Ctx) -> CommandResult {
    let config = &ctx.server.config;
    let limit = config.maxmemory_clients.of(config.maxmemory);
    if limit == 0 {
        return Err(CommandError::text("ERR maxmemory-clients is disabled."));
    }
    let used = ctx.sessions.memory_bytes();
    let text = format!("limit: {limit}\nclients: {}\nused: {used}\n", ctx.sessions.len());
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(())
}
