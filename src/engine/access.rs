//! The users at start, the ACL file, and connections whose user is gone.

use super::Engine;
use crate::acl::user::join_selectors;
use crate::acl::{User, disconnect_listeners, file};
use crate::config::{AclPubsubDefault, UserLine};
use crate::disk::durable;
use crate::session::ClientId;

impl Engine {
    /// Sets the users up: `requirepass`, then the ACL file or the `user` lines of the configuration.
    /// The error names file and line.
    pub fn start_access(&mut self) -> Result<(), String> {
        let password = self.server.config.requirepass.clone();
        if !password.is_empty() {
            self.server.acl.set_default_password(&password);
        }
        if !self.server.config.aclfile.is_empty() {
            let users = self.read_acl_file()?;
            self.server.acl.replace_all(users);
            return Ok(());
        }
        for line in self.server.config.users.clone() {
            let user = self.configured_user(&line)?;
            if user.name == b"default" && !user.enabled {
                self.logger.warning(
                    "The user 'default' is disabled (there is no 'on' modifier in the user \
                     description). Make sure this is not a configuration error.",
                );
            }
            self.server.acl.put(user);
        }
        Ok(())
    }

    pub(super) fn configured_user(&self, line: &UserLine) -> Result<User, String> {
        let place = &line.place;
        let Some((name, words)) = line.words.split_first() else {
            return Err(format!("{place}: a user without a name"));
        };
        let shown = String::from_utf8_lossy(name);
        if crate::acl::selector::has_spaces(name) {
            return Err(format!("{place}: the user name '{shown}' has spaces or null characters"));
        }
        let rules = join_selectors(words.iter().map(Vec::as_slice)).map_err(|_| {
            format!("{place}: Unmatched parenthesis in selector definition of user '{shown}'")
        })?;
        let all_channels = self.all_channels_by_default();
        let mut user = User::new(name, all_channels);
        for (at, rule) in rules.iter().enumerate() {
            user.apply(rule, all_channels).map_err(|error| {
                // Anything else may be a password with a typing error in front.
                let harmless =
                    matches!(rule.first(), Some(b'+' | b'-' | b'~' | b'%' | b'&' | b'('));
                let rule = match harmless {
                    true => format!("'{}'", String::from_utf8_lossy(rule)),
                    false => format!("number {}", at + 1),
                };
                format!(
                    "{place}: Error loading ACL rule {rule} for the user named '{shown}': {error}"
                )
            })?;
        }
        Ok(user)
    }

    fn all_channels_by_default(&self) -> bool {
        self.server.config.acl_pubsub_default == AclPubsubDefault::Allchannels
    }

    fn read_acl_file(&self) -> Result<Vec<User>, String> {
        let name = &self.server.config.aclfile;
        let path = self.server.config.path(name);
        let cannot = |reason: &str| format!("Error loading ACLs, opening file '{name}': {reason}");
        let text = durable::read_small(self.disk.as_ref(), &path, file::LEN_MAX)
            .map_err(|error| cannot(&error.source.to_string()))?
            .ok_or_else(|| cannot("No such file or directory"))?;
        file::parse(&text, name, self.all_channels_by_default())
    }

    /// ACL LOAD: all users of the file or none of them. Who is no longer in it is disconnected, and so is
    /// who listens to channels that are no longer allowed.
    pub(super) fn acl_load(&mut self, asked_by: ClientId) -> Result<bool, String> {
        let users = self.read_acl_file().map_err(|error| format!("ERR {error}"))?;
        let (gone, former) = self.server.acl.replace_all(users);
        self.sessions.disconnect_users(&gone, asked_by);
        for (id, old) in &former {
            if let Some(new) = self.server.acl.user(*id) {
                disconnect_listeners(&mut self.sessions, *id, (old, new), asked_by);
            }
        }
        Ok(true)
    }

    /// ACL SAVE: the file has the old content or the new one, whatever happens.
    pub(super) fn acl_save(&self) -> Result<bool, String> {
        let path = self.server.config.path(&self.server.config.aclfile);
        let temp = format!("{path}.save-temp");
        let text = file::print(&self.server.acl);
        durable::replace_file(self.disk.as_ref(), &temp, &path, &text).map_err(|error| {
            self.logger.warning(format!("Saving the ACL file {path}: {error}"));
            "ERR There was an error trying to save the ACLs. Please check the server logs for more \
             information"
                .to_owned()
        })?;
        Ok(true)
    }
}
