//! Small objects and files of text: a first line that says what it is and of which version, and a last line with the
//! SHA-256 of everything before it. Backup manifests, recipients, identities, claims, the mark of a restore under way
//! (`format-spec/backup.md`).

use super::object::Sha;

/// What the last line starts with.
const END: &str = "sha256 ";

/// The bytes of `body`, whole lines, behind the line `start`.
pub(super) fn encode(start: &str, body: &str) -> Vec<u8> {
    let text = format!("{start}{body}");
    let sha = Sha::of(text.as_bytes());
    format!("{text}{END}{sha}\n").into_bytes()
}

/// What is between the first line, which must be `start`, and the last, which must hold; an error tells what is wrong.
pub(super) fn decode<'t>(bytes: &'t [u8], start: &str) -> Result<&'t str, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let at = text.rfind(END).ok_or("it is cut short")?;
    let (covered, last) = text.split_at_checked(at).unwrap_or_default();
    let sha = last.strip_prefix(END).and_then(|sha| Sha::parse(sha.strip_suffix('\n')?));
    if sha != Some(Sha::of(covered.as_bytes())) {
        return Err("its checksum does not hold".to_owned());
    }
    covered.strip_prefix(start).ok_or_else(|| "it is of a later version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_and_every_cut_is_found() {
        let bytes = encode("KIND 1\n", "sha256 of nothing\nmore\n");
        assert_eq!(decode(&bytes, "KIND 1\n").unwrap(), "sha256 of nothing\nmore\n");
        assert_eq!(decode(&bytes, "KIND 2\n").unwrap_err(), "it is of a later version");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&changed, "KIND 1\n").is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], "KIND 1\n").is_err(), "{len} bytes");
        }
    }
}
