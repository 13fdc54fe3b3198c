//! `math.random`: the generator that Redis gives to scripts, the same on every machine.
//!
//! It is drand48's: a linear congruence modulo 2^48. It starts from the same state in every process
//! and is seeded by `math.randomseed` only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::{Function, Lua, MultiValue, Value};

use super::raise::{bad_argument, located, wrong_type};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
const START: u64 = 0x1234_ABCD_330E;
/// Numbers are reduced to 0..MODULUS.
const MODULUS: u64 = i32::MAX as u64;

/// The state, shared by the interpreters of a server.
#[derive(Clone, Debug)]
pub struct ScriptRandom(Arc<AtomicU64>);

impl Default for ScriptRandom {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }
}

impl ScriptRandom {
    fn seed(&self, seed: i32) {
        let state = (u64::from(seed.cast_unsigned()) << 16) | 0x330E;
        self.0.store(state, Ordering::Relaxed);
    }

    /// A number in 0..2^31.
    fn next(&self) -> u64 {
        let state = self.0.load(Ordering::Relaxed);
        let state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        self.0.store(state, Ordering::Relaxed);
        state >> 17
    }

    /// A number in 0..=1, in steps of one 2^31st.
    fn unit(&self) -> f64 {
        (self.next() % MODULUS) as f64 / MODULUS as f64
    }

    /// `math.random([m [, n]])`.
    pub(super) fn random_function(&self, lua: &Lua) -> mlua::Result<Function> {
        let state = self.clone();
        lua.create_function(move |lua, args: MultiValue| {
            let unit = state.unit();
            let number = |at: usize| {
                let value = args.get(at - 1);
                let number =
                    value.and_then(|value| lua.coerce_number(value.clone()).ok().flatten());
                match number {
                    Some(number) => Ok((number as i64 as i32).into()),
                    None => Err(wrong_type(lua, at, "random", "number", value)),
                }
            };
            match args.len() {
                0 => Ok(unit),
                1 => {
                    let high: f64 = number(1)?;
                    if high < 1.0 {
                        return Err(bad_argument(lua, 1, "random", "interval is empty"));
                    }
                    Ok((unit * high).floor() + 1.0)
                }
                2 => {
                    let (low, high) = (number(1)?, number(2)?);
                    if low > high {
                        return Err(bad_argument(lua, 2, "random", "interval is empty"));
                    }
                    Ok((unit * (high - low + 1.0)).floor() + low)
                }
                _ => Err(located(lua, "wrong number of arguments")),
            }
        })
    }

    /// `math.randomseed(x)`.
    pub(super) fn seed_function(&self, lua: &Lua) -> mlua::Result<Function> {
        let state = self.clone();
        lua.create_function(move |lua, seed: MultiValue| {
            let value = seed.front().cloned();
            let number = value.clone().and_then(|value| lua.coerce_number(value).ok().flatten());
            let Some(number) = number else {
                return Err(wrong_type(lua, 1, "randomseed", "number", value.as_ref()));
            };
            state.seed(number as i64 as i32);
            Ok(Value::Nil)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_redis() {
        let random = ScriptRandom::default();
        let upto = |high: f64| (random.unit() * high).floor() + 1.0;
        assert_eq!((upto(1e6), upto(1e6)), (396_465.0, 840_486.0));
        random.seed(5);
        let upto = |high: f64| (random.unit() * high).floor() + 1.0;
        assert_eq!((upto(1e6), upto(1e6)), (524_840.0, 272_855.0));
    }
}
