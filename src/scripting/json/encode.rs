//! Lua values as JSON text.

use mlua::{Table, Value};

use super::super::printf::format_g;
use super::super::raise::type_name;
use super::{Invalid, NESTING_MAX, Settings};

/// The text, or why there is none.
pub(super) fn encode(value: &Value, settings: &Settings) -> Result<Vec<u8>, String> {
    let mut encoder = Encoder { settings, out: Vec::new() };
    encoder.value(value, 0)?;
    Ok(encoder.out)
}

struct Encoder<'s> {
    settings: &'s Settings,
    out: Vec<u8>,
}

fn failed(value: &Value, reason: &str) -> String {
    format!("Cannot serialise {}: {reason}", type_name(value))
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::LightUserData(data) if data.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Integer(number) => self.number(*number as f64, value)?,
            Value::Number(number) => self.number(*number, value)?,
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Table(table) => return self.table(table, depth + 1),
            other => return Err(failed(other, "type not supported")),
        }
        Ok(())
    }

    fn number(&mut self, number: f64, value: &Value) -> Result<(), String> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refused => return Err(failed(value, "must not be NaN or Inf")),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Printed if number.is_nan() => {
                    self.out.extend_from_slice(b"nan");
                    return Ok(());
                }
                Invalid::Printed => {}
            }
        }
        let precision = usize::try_from(self.settings.precision).unwrap_or(14);
        self.out.extend_from_slice(format_g(number, precision).as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for &byte in text {
            let short = match byte {
                b'"' | b'\\' | b'/' => byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0C => b'f',
                b'\r' => b'r',
                0..=0x1F | 0x7F => {
                    self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.out.push(byte);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', short]);
        }
        self.out.push(b'"');
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<(), String> {
        let most = usize::try_from(self.settings.encode_depth_max).unwrap_or(0);
        if depth > most.min(NESTING_MAX) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        match self.array_length(table)? {
            Some(len) if len > 0 => self.array(table, len, depth),
            _ => self.object(table, depth),
        }
    }

    fn array(&mut self, table: &Table, len: i64, depth: usize) -> Result<(), String> {
        self.out.push(b'[');
        for at in 1..=len {
            if at > 1 {
                self.out.push(b',');
            }
            let value: Value = table.raw_get(at).map_err(|error| error.to_string())?;
            self.value(&value, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: usize) -> Result<(), String> {
        self.out.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|error| error.to_string())?;
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            match &key {
                Value::String(name) => self.string(&name.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.value(&key, depth)?;
                    self.out.push(b'"');
                }
                other => return Err(failed(other, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// The length as an array; `None` when the table is an object.
    fn array_length(&self, table: &Table) -> Result<Option<i64>, String> {
        let (mut highest, mut items) = (0i64, 0i64);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(|error| error.to_string())?;
            let key = match key {
                Value::Integer(key) => key as f64,
                Value::Number(key) => key,
                _ => return Ok(None),
            };
            if key < 1.0 || key.fract() != 0.0 || key > f64::from(i32::MAX) {
                return Ok(None);
            }
            highest = highest.max(key as i64);
            items += 1;
        }
        let Settings { sparse_convert, sparse_ratio, sparse_safe, .. } = *self.settings;
        let sparse = sparse_ratio > 0
            && highest > items.saturating_mul(sparse_ratio)
            && highest > sparse_safe;
        match (sparse, sparse_convert) {
            (false, _) => Ok(Some(highest)),
            (true, true) => Ok(None),
            (true, false) => Err("Cannot serialise table: excessively sparse array".to_owned()),
        }
    }
}
