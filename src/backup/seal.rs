//! Encryption of objects for recipients, with age: who stores them cannot read them.
//!
//! A writer knows the recipients (`age1...`) and no secret; a reader has an identity (`AGE-SECRET-KEY-1...`) in a
//! file. Contents are sealed behind an object's first line, which stays as it is: lengths and checksums are looked
//! at without an identity. What is not hidden is listed in `format-spec/backup.md`, section 6.

use super::checked_text;
use std::io::{Read as _, Write as _};
use std::str::FromStr as _;
use std::sync::Arc;

use age::x25519::{Identity, Recipient};

/// The object that says for whom a repository's contents are.
pub const RECIPIENTS: &str = "recipients";
const START: &str = "FASTNESS-RECIPIENTS 1\n";

/// For whom contents are sealed, and as whom they are opened; both may be nobody.
#[derive(Clone, Default)]
pub struct Keys {
    recipients: Arc<Vec<Recipient>>,
    identities: Arc<Vec<Identity>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (to, of) = (self.recipients.len(), self.identities.len());
        write!(f, "Keys({to} recipients, {of} identities)")
    }
}

impl Keys {
    /// With these recipients, each an `age1...`; an error says which one is none.
    pub fn with_recipients(self, texts: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            Recipient::from_str(text.trim()).map_err(|why| format!("{text} is no recipient: {why}"))
        };
        let recipients = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { recipients: Arc::new(recipients), ..self })
    }

    /// With the identities of a file as age-keygen writes it: one a line, and comments.
    pub fn with_identities(self, text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        // The line itself must not be in the error.
        let found = lines.map(|line| Identity::from_str(line).map_err(str::to_owned));
        let mut identities = found.collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() {
            return Err("it has no identity".to_owned());
        }
        identities.extend(self.identities.iter().cloned());
        Ok(Self { identities: Arc::new(identities), ..self })
    }

    /// Whether contents are sealed.
    pub fn seals(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Whether anything sealed can be opened.
    pub fn opens(&self) -> bool {
        !self.identities.is_empty()
    }

    /// The recipients of our identities, as text.
    pub fn own_recipients(&self) -> Vec<String> {
        self.identities.iter().map(|identity| identity.to_public().to_string()).collect()
    }

    /// The recipients in order, as text.
    pub fn recipients(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.recipients.iter().map(ToString::to_string).collect();
        texts.sort();
        texts.dedup();
        texts
    }

    /// The object that says who they are.
    pub fn encode_recipients(&self) -> Vec<u8> {
        let lines: String =
            self.recipients().iter().map(|recipient| format!("age {recipient}\n")).collect();
        checked_text::encode(START, &lines)
    }

    /// The same with the recipients of such an object; an error says what is wrong with it.
    pub fn decode_recipients(self, bytes: &[u8]) -> Result<Self, String> {
        let lines = checked_text::decode(bytes, START)?;
        let words = lines.lines().map(|line| line.strip_prefix("age ").map(str::to_owned));
        let texts: Option<Vec<String>> = words.collect();
        let texts = texts.filter(|texts| !texts.is_empty()).ok_or("it has no recipient")?;
        self.with_recipients(&texts)
    }

    /// Seals bytes for all recipients.
    pub(super) fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let recipients = self.recipients.iter().map(|own| own as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?;
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        let sealed = (|| {
            let mut writer = encryptor.wrap_output(&mut out)?;
            writer.write_all(bytes)?;
            writer.finish().map(drop)
        })();
        sealed.map(|()| out).map_err(|error: std::io::Error| error.to_string())
    }

    /// Opens what was sealed for one of the identities.
    pub(super) fn open(&self, sealed: &[u8], most: u64) -> Result<Vec<u8>, String> {
        let decryptor = age::Decryptor::new(sealed).map_err(|error| error.to_string())?;
        let identities = self.identities.iter().map(|own| own as &dyn age::Identity);
        let reader = decryptor.decrypt(identities).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        reader.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_for_several_is_opened_by_each_and_by_nobody_else() {
        let identities: Vec<Identity> = (0..3).map(|_| Identity::generate()).collect();
        let to: Vec<String> =
            identities.iter().take(2).map(|own| own.to_public().to_string()).collect();
        let keys = Keys::default().with_recipients(&to).unwrap();
        let sealed = keys.seal(b"content").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"content"));
        for (index, identity) in identities.iter().enumerate() {
            use age::secrecy::ExposeSecret as _;
            let file = format!("# made by hand\n{}\n", identity.to_string().expose_secret());
            let own = Keys::default().with_identities(&file).unwrap();
            let opened = own.open(&sealed, 100);
            match index {
                0 | 1 => assert_eq!(opened.unwrap(), b"content"),
                _ => assert!(opened.is_err()),
            }
        }
        let again = Keys::default().decode_recipients(&keys.encode_recipients()).unwrap();
        assert_eq!(again.recipients(), keys.recipients());
        let mut bad = keys.encode_recipients();
        bad[30] ^= 1;
        assert!(Keys::default().decode_recipients(&bad).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        assert!(Keys::default().with_recipients(&["age1nonsense".to_owned()]).is_err());
        let error = Keys::default().with_identities("AGE-SECRET-KEY-1WRONG").unwrap_err();
        assert!(!error.contains("WRONG"), "{error}");
        assert!(Keys::default().with_identities("# nothing\n").is_err());
    }
}
