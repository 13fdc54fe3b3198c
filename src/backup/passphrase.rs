//! Encryption by a passphrase, for people without keys.
//!
//! A passphrase is slow to try, on purpose. So it opens one thing only: an identity that was made for the
//! repository and lies in it, sealed by the passphrase, as age does it (scrypt). Contents are for that identity's
//! recipient, as for any other; so writers need no passphrase, and a reader needs it once.
//! `format-spec/backup.md`, section 6.

use super::checked_text;
use std::io::{Read as _, Write as _};

use age::secrecy::{ExposeSecret as _, SecretString};
use age::x25519;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The object that holds the identity.
pub const IDENTITY: &str = "identity";
const START: &str = "FASTNESS-IDENTITY 1\n";
/// The logarithm of the work: about a second, and 256 MiB.
pub const WORK_FACTOR: u8 = 18;
/// More than that is no honest repository.
const WORK_FACTOR_MAX: u8 = 22;
const IDENTITY_BYTES_MAX: u64 = 4096;

/// A passphrase, which is never shown.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(***)")
    }
}

impl Passphrase {
    /// From a text, of which an end of line is no part; `None`: it is empty.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        (!text.is_empty()).then(|| Self(SecretString::from(text.to_owned())))
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

/// A new identity: the object that holds it, and its text.
pub fn make(passphrase: &Passphrase, work_factor: u8) -> Result<(Vec<u8>, String), String> {
    let identity = x25519::Identity::generate();
    let text = identity.to_string().expose_secret().to_owned();
    let mut recipient = age::scrypt::Recipient::new(passphrase.0.clone());
    recipient.set_work_factor(work_factor);
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let encryptor =
        age::Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?;
    let mut sealed = Vec::new();
    let written = (|| {
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        writer.write_all(format!("{text}\n").as_bytes())?;
        writer.finish().map(drop)
    })();
    written.map_err(|error: std::io::Error| error.to_string())?;
    Ok((checked_text::encode(START, &format!("{}\n", BASE64.encode(&sealed))), text))
}

/// The age file in such an object; an error tells what is wrong with it.
pub fn look(object: &[u8]) -> Result<Vec<u8>, String> {
    let line = checked_text::decode(object, START)?;
    BASE64.decode(line.trim_end()).map_err(|error| error.to_string())
}

/// Why an identity was not opened.
#[derive(Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// It is another one's passphrase.
    Wrong,
    /// The object is not what it should be.
    Damaged(String),
}

/// The text of the identity in such an object. It takes a second.
pub fn open(object: &[u8], passphrase: &Passphrase) -> Result<String, NotOpened> {
    let sealed = look(object).map_err(NotOpened::Damaged)?;
    let damaged = |error: &dyn std::fmt::Display| NotOpened::Damaged(error.to_string());
    let decryptor = age::Decryptor::new(sealed.as_slice()).map_err(|error| damaged(&error))?;
    let mut identity = age::scrypt::Identity::new(passphrase.0.clone());
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let reader = opened.map_err(|error| match error {
        age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed => {
            NotOpened::Wrong
        }
        other => damaged(&other),
    })?;
    let mut text = String::new();
    reader.take(IDENTITY_BYTES_MAX).read_to_string(&mut text).map_err(|error| damaged(&error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_opened_by_its_passphrase_alone_and_no_flipped_byte_goes_unseen() {
        let passphrase = Passphrase::new("correct horse\n").unwrap();
        assert!(passphrase.is(&Passphrase::new("correct horse\r\n").unwrap()));
        assert!(Passphrase::new("\n").is_none());
        assert!(!format!("{passphrase:?}").contains("horse"));
        let (object, text) = make(&passphrase, 4).unwrap();
        assert!(!object.windows(10).any(|window| window == b"AGE-SECRET"));
        assert_eq!(open(&object, &passphrase).unwrap().trim(), text);
        let wrong = Passphrase::new("correct horses").unwrap();
        assert_eq!(open(&object, &wrong), Err(NotOpened::Wrong));
        for at in 0..object.len() {
            let mut bad = object.clone();
            bad[at] ^= 1;
            assert!(look(&bad).is_err(), "{at}");
        }
    }
}
