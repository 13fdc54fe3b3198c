//! Values of directives in the form that all of them share, and how typed fields take part.
//!
//! A [`Value`] is what a [`super::kind::Kind`] parses and prints. A field of [`super::Settings`] may have any
//! type that is a [`Setting`], so the rest of the program sees `u16` and `AppendFsync`, never text.
//! `Kind` has checked type and range before `assign` is called; `assign` fails only when the table and
//! the field's type disagree, which a test over the whole table excludes, or when text is not UTF-8.

use super::words::Word;

/// A value, whatever directive it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `yes` or `no`.
    Bool(bool),
    /// An integer or a number of bytes; a percentage is negative.
    Number(i128),
    /// The position in the kind's list of names.
    Name(usize),
    /// One bit per position in the kind's list of names.
    Flags(u32),
    /// One argument as it is.
    Text(Word),
    /// Several arguments in canonical form.
    Words(Vec<Word>),
}

/// A type that a field of `Settings` may have.
pub trait Setting {
    /// The field as a value of its directive's kind.
    fn value(&self) -> Value;
    /// Takes a value that the directive's kind has parsed.
    fn assign(&mut self, value: &Value) -> Result<(), String>;
}

/// The error of a value that the field's type cannot hold.
pub(super) fn mismatch() -> String {
    "value is of another type than the setting".to_owned()
}

impl Setting for bool {
    fn value(&self) -> Value {
        Value::Bool(*self)
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Bool(yes) = value else { return Err(mismatch()) };
        *self = *yes;
        Ok(())
    }
}

macro_rules! integer_settings {
    ($($integer:ty)+) => { $(
        impl Setting for $integer {
            fn value(&self) -> Value {
                // Every integer type here is at most 64 bits wide.
                Value::Number(i128::try_from(*self).unwrap_or_default())
            }
            fn assign(&mut self, value: &Value) -> Result<(), String> {
                let Value::Number(number) = value else { return Err(mismatch()) };
                *self = Self::try_from(*number).map_err(|_| mismatch())?;
                Ok(())
            }
        }
    )+ };
}
integer_settings!(u16 u32 u64 usize i32 i64);

impl Setting for String {
    fn value(&self) -> Value {
        Value::Text(self.clone().into_bytes())
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Text(text) = value else { return Err(mismatch()) };
        *self = utf8(text)?;
        Ok(())
    }
}

impl Setting for Word {
    fn value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Text(text) = value else { return Err(mismatch()) };
        self.clone_from(text);
        Ok(())
    }
}

impl Setting for Vec<String> {
    fn value(&self) -> Value {
        Value::Words(self.iter().map(|word| word.clone().into_bytes()).collect())
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Words(words) = value else { return Err(mismatch()) };
        *self = words.iter().map(|word| utf8(word)).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Setting for Vec<f64> {
    fn value(&self) -> Value {
        Value::Words(self.iter().map(|number| number.to_string().into_bytes()).collect())
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Words(words) = value else { return Err(mismatch()) };
        let number = |word: &Word| utf8(word)?.parse().map_err(|_| mismatch());
        *self = words.iter().map(number).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Setting for [i32; 3] {
    fn value(&self) -> Value {
        Value::Words(self.iter().map(|number| number.to_string().into_bytes()).collect())
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Words(words) = value else { return Err(mismatch()) };
        let number = |word: &Word| utf8(word)?.parse().map_err(|_| mismatch());
        let numbers: Vec<i32> = words.iter().map(number).collect::<Result<_, _>>()?;
        *self = numbers.try_into().map_err(|_| mismatch())?;
        Ok(())
    }
}

/// An amount of memory, absolute or as a share of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOrPercent {
    /// So many bytes; 0 is no limit.
    Bytes(u64),
    /// So many hundredths of `maxmemory`.
    Percent(u64),
}

impl Default for MemoryOrPercent {
    fn default() -> Self {
        Self::Bytes(0)
    }
}

impl MemoryOrPercent {
    /// The amount in bytes when the whole is `total` bytes; 0 is no limit.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                u64::try_from(u128::from(total) * u128::from(percent) / 100).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Setting for MemoryOrPercent {
    fn value(&self) -> Value {
        Value::Number(match self {
            Self::Bytes(bytes) => i128::from(*bytes),
            Self::Percent(percent) => -i128::from(*percent),
        })
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Number(number) = value else { return Err(mismatch()) };
        let amount = u64::try_from(number.unsigned_abs()).map_err(|_| mismatch())?;
        *self = if *number < 0 { Self::Percent(amount) } else { Self::Bytes(amount) };
        Ok(())
    }
}

/// Text of a word, where the setting is text.
pub(super) fn utf8(word: &[u8]) -> Result<String, String> {
    String::from_utf8(word.to_vec()).map_err(|_| "argument must be valid UTF-8".to_owned())
}

/// Declares an enum whose variants have the names that the config file uses; the first is its `Default`.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $first:ident = $first_text:literal $(, $variant:ident = $text:literal)* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is the word of the same name in the config file")]
        pub enum $name { #[default] $first $(, $variant)* }

        impl $name {
            /// The words of the config file, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$first_text $(, $text)*];
            const ALL: &'static [Self] = &[Self::$first $(, Self::$variant)*];

            /// The word of the config file.
            pub fn name(self) -> &'static str {
                match self { Self::$first => $first_text $(, Self::$variant => $text)* }
            }
        }

        impl $crate::config::value::Setting for $name {
            fn value(&self) -> $crate::config::value::Value {
                let at = Self::ALL.iter().position(|one| one == self).unwrap_or_default();
                $crate::config::value::Value::Name(at)
            }
            fn assign(&mut self, value: &$crate::config::value::Value) -> Result<(), String> {
                let $crate::config::value::Value::Name(at) = value else {
                    return Err($crate::config::value::mismatch());
                };
                *self = *Self::ALL.get(*at).ok_or_else($crate::config::value::mismatch)?;
                Ok(())
            }
        }
    };
}
pub(crate) use named;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_memory_do_not_overflow() {
        assert_eq!(MemoryOrPercent::Percent(50).of(1000), 500);
        assert_eq!(MemoryOrPercent::Percent(100).of(u64::MAX), u64::MAX);
        assert_eq!(MemoryOrPercent::Bytes(7).of(1), 7);
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        assert!(true.assign(&Value::Number(1)).is_err());
        assert!(0u16.assign(&Value::Number(65_536)).is_err());
        assert!(String::new().assign(&Value::Text(vec![0xff])).is_err());
    }
}
