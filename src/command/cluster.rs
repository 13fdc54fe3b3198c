//! CLUSTER and its kin: this server is no part of a cluster, and says so as Redis does without one.

use super::{Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, doc};

pub const COMMANDS: &[Command] = &[ASKING, CLUSTER, READONLY, READWRITE];

fn disabled(_ctx: &mut Ctx, _args: &Args) -> CommandResult {
    Err(CommandError::text("ERR This instance has cluster support disabled"))
}

const MODE: Command = Command {
    group: Group::Cluster,
    categories: &["connection"],
    handler: Handler::Plain(disabled),
    ..Command::BASE
};

pub const ASKING: Command = Command {
    name: "ASKING",
    flags: Flags::FAST,
    doc: doc("3.0.0", "O(1)", "Signals that a cluster client is following an -ASK redirect."),
    ..MODE
};

pub const READONLY: Command = Command {
    name: "READONLY",
    flags: Flags::FAST.or(Flags::LOADING).or(Flags::STALE),
    doc: doc("3.0.0", "O(1)", "Lets a connection read from a replica of a cluster."),
    ..MODE
};

pub const READWRITE: Command = Command {
    name: "READWRITE",
    doc: doc("3.0.0", "O(1)", "Ends READONLY for a connection."),
    ..READONLY
};

/// A subcommand; all answer alike.
const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    args: &'static str,
    since: &'static str,
    summary: &'static str,
) -> Command {
    Command {
        name,
        arity,
        flags,
        args,
        group: Group::Cluster,
        doc: doc(since, "O(1)", summary),
        handler: Handler::Plain(disabled),
        ..Command::BASE
    }
}

const ADMIN: Flags = Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::STALE);
const ADMIN_READ: Flags = Flags::ADMIN.or(Flags::STALE);
const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const VARIES: &[&str] = &["nondeterministic_output"];

pub const CLUSTER: Command = Command {
    name: "CLUSTER",
    arity: -2,
    group: Group::Cluster,
    doc: doc("3.0.0", "Depends on subcommand.", "A container for Redis Cluster commands."),
    subcommands: &[
        sub("ADDSLOTS", -3, ADMIN, "slot:integer ...", "3.0.0", "Assigns slots to a node."),
        sub(
            "ADDSLOTSRANGE",
            -4,
            ADMIN,
            "<start-slot:integer end-slot:integer> ...",
            "7.0.0",
            "Assigns ranges of slots to a node.",
        ),
        Command {
            tips: VARIES,
            ..sub("BUMPEPOCH", 2, ADMIN, "", "3.0.0", "Advances the cluster config epoch.")
        },
        Command {
            tips: VARIES,
            ..sub(
                "COUNT-FAILURE-REPORTS",
                3,
                ADMIN_READ,
                "node-id",
                "3.0.0",
                "Returns the number of failure reports about a node.",
            )
        },
        sub(
            "COUNTKEYSINSLOT",
            3,
            Flags::STALE,
            "slot:integer",
            "3.0.0",
            "Returns the number of keys in a slot.",
        ),
        sub("DELSLOTS", -3, ADMIN, "slot:integer ...", "3.0.0", "Makes slots unbound."),
        sub(
            "DELSLOTSRANGE",
            -4,
            ADMIN,
            "<start-slot:integer end-slot:integer> ...",
            "7.0.0",
            "Makes ranges of slots unbound.",
        ),
        sub(
            "FAILOVER",
            -2,
            ADMIN,
            "[<FORCE | TAKEOVER>]",
            "3.0.0",
            "Makes a replica take its primary's place.",
        ),
        sub("FLUSHSLOTS", 2, ADMIN, "", "3.0.0", "Makes all slots of a node unbound."),
        sub("FORGET", 3, ADMIN, "node-id", "3.0.0", "Removes a node from the table of nodes."),
        Command {
            tips: VARIES,
            ..sub(
                "GETKEYSINSLOT",
                4,
                Flags::STALE,
                "slot:integer count:integer",
                "3.0.0",
                "Returns names of keys in a slot.",
            )
        },
        sub("HELP", 2, ANY_TIME, "", "5.0.0", "Returns helpful text about the subcommands."),
        Command {
            tips: VARIES,
            ..sub("INFO", 2, Flags::STALE, "", "3.0.0", "Returns the state of a node.")
        },
        sub("KEYSLOT", 3, Flags::STALE, "key:string", "3.0.0", "Returns the slot of a key."),
        Command {
            tips: VARIES,
            ..sub("LINKS", 2, Flags::STALE, "", "7.0.0", "Returns the links between nodes.")
        },
        sub(
            "MEET",
            -4,
            ADMIN,
            "ip:string port:integer [cluster-bus-port:integer]",
            "3.0.0",
            "Makes a node known to another.",
        ),
        sub("MYID", 2, Flags::STALE, "", "3.0.0", "Returns the id of a node."),
        Command {
            tips: VARIES,
            ..sub("MYSHARDID", 2, Flags::STALE, "", "7.2.0", "Returns the shard id of a node.")
        },
        Command {
            tips: VARIES,
            ..sub(
                "NODES",
                2,
                Flags::STALE,
                "",
                "3.0.0",
                "Returns the configuration as a node has it.",
            )
        },
        Command {
            tips: VARIES,
            ..sub("REPLICAS", 3, ADMIN_READ, "node-id", "5.0.0", "Lists the replicas of a node.")
        },
        sub("REPLICATE", 3, ADMIN, "node-id", "3.0.0", "Makes a node a replica of another."),
        sub(
            "RESET",
            -2,
            ADMIN_READ.or(Flags::NOSCRIPT),
            "[<HARD | SOFT>]",
            "3.0.0",
            "Resets a node.",
        ),
        sub("SAVECONFIG", 2, ADMIN, "", "3.0.0", "Saves the cluster's configuration to disk."),
        sub(
            "SET-CONFIG-EPOCH",
            3,
            ADMIN,
            "config-epoch:integer",
            "3.0.0",
            "Sets the configuration epoch of a new node.",
        ),
        sub(
            "SETSLOT",
            -4,
            ADMIN.or(Flags::MAY_REPLICATE),
            "slot:integer <IMPORTING importing:string | MIGRATING migrating:string | NODE node:string | STABLE>",
            "3.0.0",
            "Binds a slot to a node.",
        ),
        Command {
            tips: VARIES,
            ..sub("SHARDS", 2, ANY_TIME, "", "7.0.0", "Returns which shards have which slots.")
        },
        Command {
            tips: VARIES,
            doc: Doc {
                deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
                ..doc("3.0.0", "O(1)", "Lists the replicas of a node.")
            },
            ..sub("SLAVES", 3, ADMIN_READ, "node-id", "3.0.0", "")
        },
        Command {
            tips: VARIES,
            doc: Doc {
                deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
                ..doc("3.0.0", "O(1)", "Returns which nodes have which slots.")
            },
            ..sub("SLOTS", 2, ANY_TIME, "", "3.0.0", "")
        },
    ],
    ..Command::BASE
};
