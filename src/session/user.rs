//! Who a client is: a name that the access control knows by its number.

use std::ops::Deref;
use std::sync::Arc;

/// The number of a user, good as long as the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub u32);

impl UserId {
    /// The user `default`, who is always there.
    pub const DEFAULT: Self = Self(0);
}

/// A user as a client carries it: the number for checks, the name for texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserHandle {
    pub id: UserId,
    /// Any bytes but spaces, UTF-8 or not.
    pub name: Arc<[u8]>,
}

impl UserHandle {
    /// The user `default`.
    pub fn default_user() -> Self {
        Self { id: UserId::DEFAULT, name: b"default".as_slice().into() }
    }
}

impl Deref for UserHandle {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.name
    }
}
