//! CONFIG SET and CONFIG REWRITE: applying what `config` has checked to the running server.

use std::io::ErrorKind;

use super::{Engine, descriptors};
use crate::command::CommandError;
use crate::command::table::Row;
use crate::config::{
    ChangeError, Changed, Config, DiskFiles, Files as _, Included, MaxmemoryPolicy, included,
};
use crate::disk::durable;
use crate::keyspace::event;
use crate::session::ClientId;

impl Engine {
    /// Changes settings, all or none. `Ok(true)`: say OK.
    pub(super) fn config_set(
        &mut self,
        id: ClientId,
        pairs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<bool, String> {
        let local = self.is_local(id);
        let moves = |(name, _): &(Vec<u8>, Vec<u8>)| name.eq_ignore_ascii_case(b"dir");
        if self.server.loading.is_some() && pairs.iter().any(moves) {
            return Err("LOADING Redis is loading the dataset in memory".to_owned());
        }
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let changed = self.server.config.changed(&pairs, local);
        let Changed { config, names } = changed.map_err(|error| format!("ERR {error}"))?;
        self.apply_config(config, &names)?;
        Ok(true)
    }

    /// A lower `maxmemory` than what is in use: keys go at once, not only before the next command.
    fn limit_is_exceeded(&mut self) {
        let now = self.monotonic();
        self.server.eviction.over_limit_since.get_or_insert(now);
        self.logger.warning(format!(
            "WARNING: the new maxmemory value set via CONFIG SET ({}) is smaller than the \
             current memory usage ({}). This will result in key eviction and/or the \
             inability to accept new write commands depending on the maxmemory-policy.",
            self.server.config.maxmemory, self.server.used_memory
        ));
    }

    /// Puts a checked configuration in force, or leaves all as it was.
    fn apply_config(&mut self, config: Config, names: &[&'static str]) -> Result<(), String> {
        let old = std::mem::replace(&mut self.server.config, config);
        self.refresh_settings();
        if let Err(error) = self.apply_outside(&old, names) {
            self.server.config = old;
            self.refresh_settings();
            return Err(format!("ERR {error}"));
        }
        for name in names {
            match *name {
                "requirepass" => {
                    let password = self.server.config.requirepass.clone();
                    self.server.acl.set_default_password(&password);
                }
                "maxmemory-policy" => self.ks.forget_candidates(),
                "maxmemory" if self.server.over_limit() => self.limit_is_exceeded(),
                "save" => {
                    // Changes that no point covers any more are not pending for ever.
                    self.server.persistence.last_save_ok |= self.server.config.save.is_empty();
                }
                _ => {}
            }
        }
        self.settings_changed = true;
        Ok(())
    }

    /// Applies what the outside world may refuse, in an order in which each can be taken back: the OOM
    /// score, the sockets, the log.
    fn apply_outside(&mut self, old: &Config, names: &[&'static str]) -> Result<(), ChangeError> {
        let has = |wanted: &str| names.contains(&wanted);
        if has("dir") {
            self.stay_in_directory(old)?;
        }
        if has("maxclients") {
            // First of all, as a limit that was raised for nothing does no harm.
            descriptors::make_room(&self.server.config).map_err(|most| {
                let reason = format!(
                    "The operating system is not able to handle the specified number of clients, \
                     try with {most}"
                );
                ChangeError::apply("maxclients", &reason)
            })?;
        }
        if has("oom-score-adj") || has("oom-score-adj-values") {
            self.adjust_oom_score().map_err(|cause| {
                self.logger.warning(format!("Cannot adjust the OOM score: {cause}"));
                let reason = "Failed to set current oom_score_adj. Check server logs.";
                ChangeError::apply("oom-score-adj", reason)
            })?;
        }
        if has("bind") || has("port") {
            self.listen_as(old, &self.server.config).map_err(|cause| {
                self.logger.warning(format!("Cannot listen as CONFIG SET asked: {cause}"));
                self.restore_oom_score(old);
                match has("port") {
                    true => ChangeError::apply(
                        "port",
                        "Unable to listen on this port. Check server logs.",
                    ),
                    false => ChangeError::apply("bind", "Failed to bind to specified addresses."),
                }
            })?;
        }
        if has("appendonly")
            && let Err(cause) = self.switch_log()
        {
            if let Err(cause) = self.listen_as(&self.server.config, old) {
                self.logger.warning(format!("Cannot listen as before: {cause}"));
            }
            self.restore_oom_score(old);
            return Err(ChangeError::apply("appendonly", &cause.to_string()));
        }
        Ok(())
    }

    /// The data directory is where the log, its lock and the snapshots are, and files that are open do not move: a server
    /// that said yes would save here, and look there at its next start. The same place in other words is accepted.
    fn stay_in_directory(&mut self, old: &Config) -> Result<(), ChangeError> {
        let wanted = old.path(&self.server.config.dir);
        if !self.disk.is_same_place(&wanted, &old.dir) {
            let reason = format!(
                "the data directory is chosen at start and stays {}: stop the server, move its files, and start it \
                 with --dir {wanted}; BACKUP and `fastness backup create` put copies elsewhere",
                old.dir
            );
            return Err(ChangeError::apply("dir", &reason));
        }
        self.server.config.dir.clone_from(&old.dir);
        Ok(())
    }

    /// Has the kernel know the OOM score that the configuration asks for.
    pub fn adjust_oom_score(&mut self) -> Result<(), String> {
        self.oom_score.apply(&self.server.config)
    }

    fn listen_as(&self, old: &Config, new: &Config) -> Result<(), String> {
        self.relisten.as_ref().map_or(Ok(()), |relisten| relisten(old, new))
    }

    fn restore_oom_score(&mut self, old: &Config) {
        if let Err(cause) = self.oom_score.apply(old) {
            self.logger.warning(format!("Cannot adjust the OOM score: {cause}"));
        }
    }

    /// Derives what hot paths read from the configuration.
    pub fn refresh_settings(&mut self) {
        let config = &self.server.config;
        self.server.eviction.look_at_clients = true;
        self.server.limits = config.limits();
        self.ks.use_clock.set_policy(
            matches!(
                config.maxmemory_policy,
                MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu
            ),
            config.lfu_log_factor,
            config.lfu_decay_time,
        );
        self.ks.effects.event_classes = event_classes(config);
        self.logger.set_level(config.loglevel);
        self.logger.set_style(config);
        self.refresh_recording();
    }

    fn is_local(&self, id: ClientId) -> bool {
        self.sessions.client(id).is_some_and(|client| {
            client.flags.unix_socket
                || client
                    .address
                    .parse::<std::net::SocketAddr>()
                    .is_ok_and(|address| address.ip().to_canonical().is_loopback())
        })
    }

    /// Whether a protected command is allowed to this client (`enable-debug-command`,
    /// `enable-module-command`).
    pub(super) fn permit_protected(&self, id: ClientId, row: &Row) -> Result<(), CommandError> {
        let config = &self.server.config;
        let (name, option, allowed) = match row.container {
            Some(module) => (module.name, "enable-module-command", config.enable_module_command),
            None => (row.command.name, "enable-debug-command", config.enable_debug_command),
        };
        if allowed.permits(self.is_local(id)) {
            return Ok(());
        }
        Err(CommandError::owned(format!(
            "ERR {name} command not allowed. If the {option} option is set to \"local\", you can run \
             it from a local connection, otherwise you need to set this option in the configuration \
             file, and then restart the server.",
        )))
    }

    /// Writes the configuration in force back to its file.
    pub(super) fn config_rewrite(&self, all: bool) -> Result<bool, String> {
        let path = self.server.config_file.clone();
        if path.is_empty() {
            return Err("ERR The server is running without a config file".to_owned());
        }
        let failed = |why: String| format!("ERR Rewriting config file: {why}");
        let files = DiskFiles(self.disk.as_ref());
        let old = match files.read(&path) {
            Ok(old) => old,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            // What cannot be read must not be written over either.
            Err(error) => return Err(failed(format!("{path}: {error}"))),
        };
        let cwd = std::env::current_dir().unwrap_or_default();
        let included = included(&path, &old, &files, &cwd.to_string_lossy());
        let included = included.map_err(|error| failed(error.to_string()))?;
        self.check_included_users(&included).map_err(failed)?;
        let as_words = |user: &crate::acl::User| {
            let words: Vec<_> =
                user.describe().split(|byte| *byte == b' ').map(Vec::from).collect();
            crate::config::words::join(&words)
        };
        let users: Vec<Vec<u8>> = self.server.acl.iter().map(as_words).collect();
        let config = &self.server.config;
        let text = config.rewritten(&old, &users, &included, all);
        let temp = format!("{path}.rewrite-temp");
        durable::replace_file(self.disk.as_ref(), &temp, &path, &text)
            .map_err(|error| failed(error.to_string()))?;
        self.logger.notice(format!("CONFIG REWRITE wrote {path}."));
        Ok(true)
    }
}

impl Engine {
    /// A user is defined once: one that an included file defines cannot be written as it is now.
    fn check_included_users(&self, included: &Included) -> Result<(), String> {
        if !self.server.config.aclfile.is_empty() {
            return Ok(());
        }
        for line in included.users() {
            let said = self.configured_user(line)?;
            let now = self.server.acl.iter().find(|user| user.name == said.name);
            if now.is_none_or(|user| user.describe() != said.describe()) {
                return Err(format!(
                    "the user '{}' is not as {} defines it, and a user can only be defined once: change it there, or \
                     keep the users in an aclfile",
                    String::from_utf8_lossy(&said.name),
                    line.place
                ));
            }
        }
        Ok(())
    }
}

/// The classes of keyspace events that are recorded; none unless somebody can hear them.
fn event_classes(config: &Config) -> u32 {
    let flags = config.notify_keyspace_events.bits();
    if flags & (event::KEYSPACE | event::KEYEVENT) == 0 { 0 } else { flags }
}
