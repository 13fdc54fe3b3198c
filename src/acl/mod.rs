//! Access control: who may run which command on which keys and channels, in which databases.
//!
//! [`Acl`] holds all users behind the engine's lock. A connection carries a [`UserHandle`]; before a
//! command runs, is queued or is run by EXEC or a script, [`permit::permit`] asks the user's selectors.
//! What a user may run is worked out when rules change ([`commands`]), so that a check is one look at a bitmap;
//! a user without limits costs one branch. Denials are counted and noted in the [`log`].
//!
//! ```text
//! ACL SETUSER, user lines, aclfile -> rule -> User { passwords, Selector { commands, keys, channels, databases } }
//! request -> permit -> Ok | Denied -> log, counters -> NOPERM
//! ```
//!
//! Invariants: the user `default` is always there and has id 0; a handle never outlives its user (whoever removes
//! a user takes the handle from its clients, [`Acl::remove`]); what `describe` prints gives the same user when it is
//! read again. Passwords are kept as SHA-256 only and are never printed but by ACL LIST and GETUSER. A rule
//! that is refused changes nothing: rules are applied to a copy. The few rules that Redis takes and then cannot read
//! back from its own file (quotes or a closing parenthesis in a selector's pattern) are refused.

pub mod commands;
pub mod databases;
pub mod file;
pub mod keys;
mod listeners;
pub mod log;
pub mod password;
pub mod permit;
pub mod selector;
#[cfg(test)]
mod tests;
pub mod user;

use std::collections::BTreeMap;

pub use databases::Place;
pub use listeners::disconnect_listeners;
pub use permit::{Context, Denied, Reason};
pub use user::{RuleError, User};

use crate::session::{UserHandle, UserId};
use log::AclLog;

/// How often something was denied, as INFO counts it.
#[derive(Clone, Debug, Default)]
pub struct DeniedCounts {
    pub auth: u64,
    pub command: u64,
    pub key: u64,
    pub channel: u64,
    pub database: u64,
}

/// All users, and what was denied.
#[derive(Debug)]
pub struct Acl {
    /// By id; the place of a removed user is used again.
    users: Vec<Option<User>>,
    /// In the order in which ACL LIST shows them.
    by_name: BTreeMap<Vec<u8>, UserId>,
    /// The default user may do everything: what nearly every command asks first.
    default_unrestricted: bool,
    pub log: AclLog,
    pub denied: DeniedCounts,
}

impl Default for Acl {
    fn default() -> Self {
        let mut acl = Self {
            users: Vec::new(),
            by_name: BTreeMap::new(),
            default_unrestricted: true,
            log: AclLog::default(),
            denied: DeniedCounts::default(),
        };
        acl.put(User::default_user());
        acl
    }
}

impl Acl {
    /// The user with this name.
    pub fn by_name(&self, name: &[u8]) -> Option<&User> {
        self.user(*self.by_name.get(name)?)
    }

    /// The user that a handle names.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(id.0 as usize)?.as_ref()
    }

    /// The user of a connection; one that did not authenticate is the default user.
    pub fn user_of(&self, handle: Option<&UserHandle>) -> Option<&User> {
        self.user(handle.map_or(UserId::DEFAULT, |handle| handle.id))
    }

    /// The handle by which a connection names this user.
    pub fn handle(&self, name: &[u8]) -> Option<UserHandle> {
        let id = *self.by_name.get(name)?;
        Some(UserHandle { id, name: name.into() })
    }

    /// All users in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.by_name.values().filter_map(|id| self.user(*id))
    }

    /// Whether this user may do everything, whatever the command: the cheap question before any other.
    pub fn is_unrestricted(&self, id: UserId) -> bool {
        if id == UserId::DEFAULT {
            return self.default_unrestricted;
        }
        self.user(id).is_some_and(User::is_unrestricted)
    }

    /// Whether a connection that did not authenticate must do so first.
    pub fn needs_auth(&self) -> bool {
        self.user(UserId::DEFAULT).is_none_or(|user| !user.nopass || !user.enabled)
    }

    /// Who a new connection is: the default user, or nobody yet.
    pub fn initial_user(&self) -> Option<UserHandle> {
        (!self.needs_auth()).then(UserHandle::default_user)
    }

    /// The handle of the user that this name and password belong to.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<UserHandle> {
        self.by_name(name).filter(|user| user.accepts(password))?;
        self.handle(name)
    }

    /// Enters a user, in place of the one with the same name. The former one is returned.
    pub fn put(&mut self, user: User) -> Option<User> {
        let id = match self.by_name.get(&user.name) {
            Some(id) => *id,
            None => {
                let free = self.users.iter().position(Option::is_none);
                let place = free.unwrap_or(self.users.len());
                if place == self.users.len() {
                    self.users.push(None);
                }
                let id = UserId(u32::try_from(place).unwrap_or(u32::MAX));
                self.by_name.insert(user.name.clone(), id);
                id
            }
        };
        let place = self.users.get_mut(id.0 as usize)?;
        let former = place.replace(user);
        self.refresh();
        former
    }

    /// Removes a user. Its clients must lose their handles (and connections): the id is used again.
    pub fn remove(&mut self, name: &[u8]) -> Option<UserId> {
        let id = self.by_name.remove(name)?;
        if let Some(place) = self.users.get_mut(id.0 as usize) {
            *place = None;
        }
        Some(id)
    }

    /// Replaces all users by those of a file. A name that stays keeps its id. Without a `default` among
    /// them it is as at the start. Returns the ids that are gone, and the former users of those that stay.
    pub fn replace_all(&mut self, mut users: Vec<User>) -> (Vec<UserId>, Vec<(UserId, User)>) {
        if !users.iter().any(|user| user.name == b"default") {
            users.push(User::default_user());
        }
        let names: Vec<Vec<u8>> = self.by_name.keys().cloned().collect();
        let kept = |name: &[u8]| users.iter().any(|user| user.name == name);
        let gone: Vec<Vec<u8>> = names.into_iter().filter(|name| !kept(name)).collect();
        let gone = gone.iter().filter_map(|name| self.remove(name)).collect();
        let mut former = Vec::new();
        for user in users {
            let id = self.by_name.get(&user.name).copied();
            if let (Some(old), Some(id)) = (self.put(user), id) {
                former.push((id, old));
            }
        }
        (gone, former)
    }

    /// Gives the default user this password and no other, or none at all: the directive `requirepass`.
    pub fn set_default_password(&mut self, password: &[u8]) {
        let Some(mut user) = self.user(UserId::DEFAULT).cloned() else { return };
        user.reset_passwords();
        match password {
            [] => user.nopass = true,
            _ => user.add_password(password::Hash::of(password)),
        }
        self.put(user);
    }

    fn refresh(&mut self) {
        self.default_unrestricted = self.user(UserId::DEFAULT).is_some_and(User::is_unrestricted);
    }
}
