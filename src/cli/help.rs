//! What stands below the options in the help of a subcommand: examples, and what exit codes mean.

pub(super) const TOP: &str = "\
Start here:
  fastness serve --port 6379 --dir ./data      then: redis-cli SET greeting hello
  fastness check ./data                        is every byte sound?
  fastness backup create --from redis://127.0.0.1:6379 --to /backup/shop

Exit code: 0 all is well, 1 what was looked at is not sound or the work failed, 2 the command line or a path is wrong.
`fastness help SUBCOMMAND` tells what else there is; docs/ has a page for each field.";

pub(super) const SERVE_HELP: &str = "\
Every directive of redis.conf is an option: --port 6380, --appendonly yes, --save '3600 1'. docs/configuration.md
lists them. A file named - is standard input. Alone, as with redis-server: --version, --check-system (settings of the
kernel that are in the way), --test-memory MEGABYTES. A link to this program named redis-server or valkey-server is `fastness serve`.

Examples:
  fastness serve --port 6379 --dir /var/lib/fastness
  fastness serve /etc/redis/redis.conf --appendonly yes --appendfsync everysec
  fastness serve --metrics-port 9121

Exit code: 0 it was shut down, 1 it did not start or could not end as it should; the reason and the next step are printed.";

pub(super) const CHECK_HELP: &str = "\
Examples:
  fastness check /var/lib/fastness
  fastness check --json dump.rdb

Exit code: 0 sound, 1 torn or damaged, 2 it could not be looked at or holds no data.";

pub(super) const BACKUP_HELP: &str = "\
Examples:
  fastness backup create --from redis://127.0.0.1:6379 --to /backup/shop
  fastness backup list /backup/shop
  fastness backup verify /backup/shop --full
  fastness restore --from /backup/shop --to-time '10 minutes ago' --dir /var/lib/restored

Exit code: 0 done, 1 it failed, or something read is damaged or differs, 2 refused: nothing was changed.";

pub(super) const RESTORE_HELP: &str = "\
Examples:
  fastness restore --from /backup/shop --dry-run
  fastness restore --from /backup/shop --to-time 2026-11-22T10:00:00Z --dir /var/lib/restored
  fastness restore --from /backup/shop --before-command FLUSHALL --match 'user:*' --output users.rdb
  fastness restore --from /var/lib/fastness/backupdir --dir /var/lib/restored      a sealed BACKUP

A restore that was interrupted goes on when the same command is given again.

Exit code: 0 restored and verified, 1 it failed or something read was damaged, 2 refused.";

pub(super) const REPAIR_HELP: &str = "\
Examples:
  fastness repair /var/lib/fastness              shows what it would do
  fastness repair /var/lib/fastness --apply

Exit code: 0 nothing to do, or done and sound; 1 there is something to do; 2 it cannot be done; 3 done, and the result
is not sound.";

pub(super) const CONVERT_HELP: &str = "\
Examples:
  fastness convert dump.rdb users.ndjson --match 'user:*'
  fastness convert redis://127.0.0.1:6379 old.rdb --rdb-version 9
  fastness convert /var/lib/redis /var/lib/copy --format aof-dir
  fastness convert /var/lib/fastness --for redis

Exit code: 0 done, 1 something is not sound or the output cannot hold it, 2 not found, in use or there already, 130 or
143 ended by SIGINT or SIGTERM.";

pub(super) const EXPORT_HELP: &str = "\
Examples:
  fastness export /var/lib/fastness | jq -c 'select(.type == \"hash\") | .value'
  fastness export redis://127.0.0.1:6379 --db 0 --type stream streams.ndjson
  fastness export /backup/shop --to-time '10 minutes ago' then.ndjson

Exit code: 0 done, 1 something is not sound or the output cannot hold it, 2 not found, in use or there already, 130 or
143 ended by SIGINT or SIGTERM.";

pub(super) const INSPECT_HELP: &str = "\
Examples:
  fastness inspect redis://127.0.0.1:6379
  fastness inspect dump.rdb --html memory.html
  fastness inspect /var/lib/fastness --json --delimiter . --top 100

Exit code: 0 done, 1 something is not sound or cannot be written, 2 not found, or the page is there already.";

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  fastness completions bash > /etc/bash_completion.d/fastness
  fastness completions zsh > \"${fpath[1]}/_fastness\"
  fastness completions fish > ~/.config/fish/completions/fastness.fish

Exit code: 0 printed, 1 standard output is gone, 2 no such shell.";

pub(super) const MAN_HELP: &str = "\
Examples:
  fastness man /usr/local/share/man/man1 && man fastness-convert

Exit code: 0 written, 1 it cannot be written.";

pub(super) const BENCH_HELP: &str = "\
Examples:
  fastness bench --tests set,get -P 1,16 --rounds 5
  fastness bench redis://127.0.0.1:6379 --against redis://127.0.0.1:6380 -P 1,16 --rounds 5 --flush
  fastness bench --mix get=80,set=20 --distribution zipf:0.99 --rate 50000 --duration 30
  fastness bench --command 'HSET user:__rand_int__ name __data__' -d 200 --json

It writes to the servers: use ones that hold nothing of worth.

Exit code: 0 done, 1 a server answered errors or went away, 2 the command line is wrong or one cannot be reached.";
