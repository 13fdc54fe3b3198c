//! Rows: the data directory, the append-only log and snapshots.

use super::super::rules::{SAVE, USER_DURABILITY};
use super::super::settings::{AppendFsync, RdbCompression};
use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    text(
        "dir",
        at!(dir),
        "./data",
        "The data directory; created when it is not there. It takes a restart to change: CONFIG SET accepts the present \
         one, and refuses any other.",
    )
    .protected(),
    yes_no("appendonly", at!(appendonly), "yes", "Keep the append-only log."),
    one_of(
        "appendfsync",
        at!(appendfsync),
        AppendFsync::NAMES,
        "always",
        "When the log is forced to disk. `always`: before the reply; `everysec`: once a second; `no`: when \
         the kernel likes.",
    ),
    integer(
        "everysec-max-lag",
        at!(everysec_max_lag),
        U63,
        "2000",
        "Under `appendfsync everysec`: milliseconds that the oldest unsynced write may be old; when the disk is \
         slower, writers wait for the sync, readers do not. 0 is no bound.",
    ),
    Directive::new(
        "user-durability",
        Kind::Words(&USER_DURABILITY),
        at!(user_durability),
        "",
        "What a reply to these ACL users means, whatever `appendfsync` says: `user-durability payments always cache \
         everysec`. `CLIENT DURABILITY` overrides it for a connection.",
    ),
    bytes(
        "aof-disk-reserve",
        at!(aof_disk_reserve),
        SIZE,
        "0",
        "Refuse writes while the disk has fewer bytes free than this; a rewrite of the log, which makes room, may use \
         them. 0 keeps none.",
    ),
    bytes(
        "aof-max-size",
        at!(aof_max_size),
        SIZE,
        "0",
        "Bytes that the log may take, its base included: above, it is rewritten; a quarter above, or when that does \
         not help, writes are refused. 0 is no bound.",
    ),
    text(
        "archive",
        at!(archive),
        "",
        "Archive the log in this repository, within a second or so: a path, or `s3://`, `gs://` or `az://` with \
         bucket and prefix. Credentials are taken from the environment. Empty: no archive. See docs/backup.md.",
    )
    .protected().or_same(),
    text(
        "archive-recipients",
        at!(archive_recipients),
        "",
        "Encrypt the archive for these age recipients (`age1...`, several with spaces between them). A repository that \
         exists must have been made for them. Empty: as the repository is.",
    )
    .protected().or_same(),
    text(
        "archive-takeover",
        at!(archive_takeover),
        "",
        "The archive belongs to the server that began it. If that one is gone for good, name it here by the word that \
         `archive_last_error` in INFO and `fastness backup owner` tell, and this server goes on with the archive. \
         It says nothing about any other owner, so it may stay in the configuration. See docs/backup.md.",
    ),
    integer(
        "archive-interval",
        at!(archive_interval),
        (1, 86_400),
        "1",
        "Seconds from one look at what is to be archived to the next.",
    ),
    bytes(
        "archive-local-limit",
        at!(archive_local_limit),
        SIZE,
        "1gb",
        "Bytes of old log segments that are kept on the disk until they are archived. What is above is removed, oldest \
         first, and is missing in the archive.",
    ),
    bytes(
        "archive-base-rate",
        at!(archive_base_rate),
        SIZE,
        "0",
        "Bytes a second that are read at most to send a new base of the log to the archive. 0 is no bound.",
    ),
    text(
        "appendfilename",
        at!(appendfilename),
        "appendonly.aof",
        "First part of the names of the log's files.",
    )
    .immutable()
    .checked(file_name!("appendfilename", "filename")),
    text(
        "appenddirname",
        at!(appenddirname),
        "appendonlydir",
        "The log's directory, inside `dir`.",
    )
    .immutable()
    .checked(file_name!("appenddirname", "dirname")),
    text(
        "backupdirname",
        at!(backupdirname),
        "backupdir",
        "The directory that the BACKUP commands put their files into, inside `dir`.",
    )
    .immutable()
    .checked(backup_dir),
    integer(
        "backup-sealed-ttl",
        at!(backup_sealed_ttl),
        U31,
        "0",
        "Seconds until a sealed backup is removed by itself; 0 is never.",
    ),
    integer(
        "auto-aof-rewrite-percentage",
        at!(auto_aof_rewrite_percentage),
        U31,
        "100",
        "Growth since the last rewrite, in percent, at which the log is rewritten; 0 is never.",
    ),
    bytes(
        "auto-aof-rewrite-min-size",
        at!(auto_aof_rewrite_min_size),
        SIZE,
        "64mb",
        "Size below which the log is not rewritten by itself.",
    ),
    yes_no(
        "aof-load-truncated",
        at!(aof_load_truncated),
        "yes",
        "Cut a torn end of the log at start, and go on; `no` refuses to start.",
    ),
    yes_no(
        "aof-rewrite-incremental-fsync",
        at!(aof_rewrite_incremental_fsync),
        "yes",
        "Force the file to disk piece by piece while the log is rewritten.",
    ),
    text("dbfilename", at!(dbfilename), "dump.rdb", "Name of the snapshot file, inside `dir`.")
        .protected()
        .checked(file_name!("dbfilename", "filename")),
    Directive::new(
        "save",
        Kind::Words(&SAVE),
        at!(save),
        "3600 1 300 100 60 10000",
        "Save points: take a snapshot after so many seconds when at least so many keys changed. Several \
         lines add up; `\"\"` is none.",
    ),
    yes_no(
        "stop-writes-on-bgsave-error",
        at!(stop_writes_on_bgsave_error),
        "yes",
        "Refuse writes while the last snapshot failed.",
    ),
    one_of(
        "rdbcompression",
        at!(rdbcompression),
        RdbCompression::NAMES,
        "zstd",
        "Form of snapshots and of the log's base: `zstd` is compressed and checked in parts; `lzf` (Redis' `yes`) and `no` are files that Redis and Valkey load, where a base has a table of its parts in comment lines behind it.",
    ),
    integer(
        "rdbcompression-level",
        at!(rdbcompression_level),
        (1, 19),
        "1",
        "Level of `rdbcompression zstd`: more is smaller and slower.",
    ),
    yes_no("rdbchecksum", at!(rdbchecksum), "yes", "Write and check the checksum of snapshots.")
        .immutable(),
    yes_no(
        "rdb-save-incremental-fsync",
        at!(rdb_save_incremental_fsync),
        "yes",
        "Force the file to disk piece by piece while a snapshot is written.",
    ),
];

/// The files of a backup have the names that the log's have, and go with the backup: their directory is another one.
fn backup_dir(value: Value) -> Result<Value, String> {
    let check: fn(Value) -> Result<Value, String> = file_name!("backupdirname", "dirname");
    match check(value)? {
        Value::Text(name) if name == b"." || name == b".." => {
            Err("backupdirname must be a directory of its own inside dir".to_owned())
        }
        value => Ok(value),
    }
}
