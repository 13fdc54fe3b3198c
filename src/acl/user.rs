//! A user: whether it may connect, with which passwords, and its selectors. Rules make and describe it.

use std::fmt;

use super::password::Hash;
use super::selector::Selector;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: Vec<u8>,
    /// May authenticate.
    pub enabled: bool,
    /// Any password will do.
    pub nopass: bool,
    /// What RESTORE is given is looked at closely. Accepted for files and clients; it is always done here.
    pub sanitize_payload: bool,
    passwords: Vec<Hash>,
    /// The user's own permissions first, then those in parentheses. Never empty.
    selectors: Vec<Selector>,
    unrestricted: bool,
}

/// Why a rule was not accepted. `Display` is Redis' text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No such command or category.
    Unknown,
    /// Not a rule.
    Syntax,
    /// A key pattern when all keys are allowed already.
    AfterAllKeys,
    /// A channel pattern when all channels are allowed already.
    AfterAllChannels,
    /// A password to remove that is not there.
    NoSuchPassword,
    /// Not the hash of a password.
    BadHash,
    /// `+config|get|x`
    FirstArgOfSubcommand,
    /// `db=` with a number that no database can have.
    NoSuchDatabase,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does \
                 not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            Self::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            Self::NoSuchDatabase => "The provided database ID is out of range",
        })
    }
}

impl std::error::Error for RuleError {}

impl User {
    /// A user that may do nothing; `all_channels` is what `acl-pubsub-default` says.
    pub fn new(name: &[u8], all_channels: bool) -> Self {
        Self {
            name: name.to_vec(),
            enabled: false,
            nopass: false,
            sanitize_payload: true,
            passwords: Vec::new(),
            selectors: vec![Selector::new(all_channels)],
            unrestricted: false,
        }
    }

    /// The user `default` as it is at the start: everything, without a password.
    pub fn default_user() -> Self {
        Self {
            enabled: true,
            nopass: true,
            selectors: vec![Selector::everything()],
            unrestricted: true,
            ..Self::new(b"default", true)
        }
    }

    /// Whether the user may do everything.
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// The user's own permissions, then those in parentheses.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// The hashes of all passwords.
    pub fn passwords(&self) -> &[Hash] {
        &self.passwords
    }

    /// Whether somebody with this password may be this user.
    pub fn accepts(&self, password: &[u8]) -> bool {
        if !self.enabled {
            return false;
        }
        let given = Hash::of(password);
        // All are compared: the time does not tell which one fits.
        let fits = self.passwords.iter().fold(false, |fits, known| fits | known.same(&given));
        self.nopass || fits
    }

    /// Adds a password.
    pub fn add_password(&mut self, hash: Hash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    /// Forgets all passwords, and that none was needed.
    pub fn reset_passwords(&mut self) {
        self.passwords.clear();
        self.nopass = false;
    }

    /// Applies one rule. One that fails may have changed the user: apply rules to a copy.
    pub fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if rule.is_empty() {
            return Ok(());
        }
        if is("on") || is("off") {
            self.enabled = is("on");
        } else if is("nopass") {
            self.passwords.clear();
            self.nopass = true;
        } else if is("resetpass") {
            self.reset_passwords();
        } else if is("skip-sanitize-payload") || is("sanitize-payload") {
            self.sanitize_payload = is("sanitize-payload");
        } else if is("clearselectors") {
            self.selectors.truncate(1);
        } else if is("reset") {
            let name = std::mem::take(&mut self.name);
            *self = Self::new(&name, all_channels);
        } else {
            match rule {
                [b'>' | b'#' | b'<' | b'!', ..] => self.password_rule(rule)?,
                [b'(', .., b')'] => self.selectors.push(Selector::parse(rule, all_channels)?),
                _ => self.own_selector()?.apply(rule)?,
            }
        }
        self.unrestricted = self.selectors.iter().any(Selector::is_unrestricted);
        Ok(())
    }

    fn own_selector(&mut self) -> Result<&mut Selector, RuleError> {
        self.selectors.first_mut().ok_or(RuleError::Syntax)
    }

    fn password_rule(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let [kind, text @ ..] = rule else { return Err(RuleError::Syntax) };
        let hash = match kind {
            b'>' | b'<' => Hash::of(text),
            _ => Hash::from_hex(text).ok_or(RuleError::BadHash)?,
        };
        if matches!(kind, b'>' | b'#') {
            self.add_password(hash);
            return Ok(());
        }
        let at = self.passwords.iter().position(|known| *known == hash);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// The flags as ACL GETUSER shows them.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> + use<> {
        let flags = [
            (self.enabled, "on"),
            (!self.enabled, "off"),
            (self.nopass, "nopass"),
            (!self.sanitize_payload, "skip-sanitize-payload"),
            (self.sanitize_payload, "sanitize-payload"),
        ];
        flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name)
    }

    /// Name and rules, as a `user` line has them.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = vec![self.name.clone()];
        parts.extend(self.flags().map(|flag| flag.as_bytes().to_vec()));
        parts.extend(self.passwords.iter().map(|hash| format!("#{}", hash.hex()).into_bytes()));
        for (at, selector) in self.selectors.iter().enumerate() {
            let text = selector.describe();
            parts.push(if at == 0 { text } else { [b"(", text.as_slice(), b")"].concat() });
        }
        parts.join(&b' ')
    }
}

/// Joins the words of selectors that were split at their spaces: `(+get`, `~a)` become one rule.
/// An opening parenthesis without its partner is the error.
pub fn join_selectors<'a>(
    words: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut rules = Vec::new();
    let mut open: Option<(Vec<u8>, Vec<u8>)> = None;
    for word in words {
        match &mut open {
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((word.to_vec(), word.to_vec()));
            }
            None => rules.push(word.to_vec()),
            Some((_, rule)) => {
                rule.push(b' ');
                rule.extend_from_slice(word);
                if word.ends_with(b")") {
                    rules.push(std::mem::take(rule));
                    open = None;
                }
            }
        }
    }
    open.map_or(Ok(rules), |(first, _)| Err(first))
}
