//! The 80-bit floating-point arithmetic of INCRBYFLOAT and HINCRBYFLOAT, in integers.
//!
//! Redis computes with the C `long double` of x86: 64 bits of significand, 15 of exponent, rounded
//! to nearest even. It prints `%.17Lf` without the zeros at the end. Counters that clients compare
//! as text depend on each of these roundings, and Rust has no such type, so the three operations
//! are done here exactly and rounded once, as the processor and the C library do:
//!
//! * text to number: the digits as an integer times a power of ten, exact, then rounded;
//! * sum: exact in 128 bits with a sticky bit, then rounded;
//! * number to text: the exact decimal expansion, rounded half to even after 17 decimals.
//!
//! Usual numbers (up to 19 digits, exponents up to 27) stay in 128-bit integers; others take the
//! big-integer way, whose size is bounded by [`TEXT_MAX`] and the exponent range.

/// Longest text that is looked at; Redis refuses longer ones as well.
const TEXT_MAX: usize = 5 * 1024 - 1;

/// A finite or infinite number of the x87 extended format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Finite(Rounded),
    Infinite,
    /// Infinity minus infinity.
    Undefined,
}

impl Extended {
    /// The greatest finite number.
    pub const MAX: Self = Self {
        negative: false,
        magnitude: Magnitude::Finite(Rounded {
            significand: u64::MAX,
            exponent: Rounded::EXTENDED.exponent_max,
        }),
    };

    /// Parses as C's `strtold` does, with Redis' restrictions: no white space, no `nan`, nothing
    /// that overflows, nothing but zero that becomes zero. `inf` and hexadecimal are accepted.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (negative, unsigned) = split_sign(text);
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self { negative, magnitude: Magnitude::Infinite });
        }
        let magnitude = match parse_hex(text, Rounded::EXTENDED) {
            Some(hex) => hex?.1,
            None => parse_decimal(unsigned)?,
        };
        Some(Self { negative, magnitude: Magnitude::Finite(magnitude) })
    }

    /// The sum, rounded to nearest even.
    pub fn plus(self, other: Self) -> Self {
        use Magnitude::{Finite, Infinite, Undefined};
        match (self.magnitude, other.magnitude) {
            (Finite(a), Finite(b)) => add(self.negative, a, other.negative, b),
            (Undefined, _) => self,
            (_, Undefined) => other,
            (Infinite, Infinite) if self.negative != other.negative => {
                Self { negative: false, magnitude: Undefined }
            }
            (Infinite, _) => self,
            (_, Infinite) => other,
        }
    }

    /// The same with the other sign.
    pub fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    /// Whether it is the lesser of two; neither zero is, and nothing is that is undefined.
    pub fn is_less_than(self, other: Self) -> bool {
        // Small differences are exact, and great ones keep their sign.
        let difference = self.plus(other.negated());
        difference.negative
            && match difference.magnitude {
                Magnitude::Finite(rounded) => rounded.significand != 0,
                Magnitude::Infinite => true,
                Magnitude::Undefined => false,
            }
    }

    /// Whether it is a number: neither infinite nor undefined.
    pub fn is_finite(&self) -> bool {
        matches!(self.magnitude, Magnitude::Finite(_))
    }

    /// The text Redis stores and replies: 17 decimals, without zeros at the end, no exponent.
    pub fn to_text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        match self.magnitude {
            Magnitude::Undefined => "nan".to_owned(),
            Magnitude::Infinite => format!("{sign}inf"),
            Magnitude::Finite(rounded) => match plain_text(rounded) {
                zero if zero == "0" => zero,
                text => format!("{sign}{text}"),
            },
        }
    }
}

impl From<i64> for Extended {
    fn from(value: i64) -> Self {
        let magnitude = round(u128::from(value.unsigned_abs()), false, 0, Rounded::EXTENDED)
            .map_or(Magnitude::Infinite, Magnitude::Finite);
        Self { negative: value < 0, magnitude }
    }
}

impl From<f64> for Extended {
    fn from(value: f64) -> Self {
        let negative = value.is_sign_negative();
        if value.is_nan() {
            return Self { negative, magnitude: Magnitude::Undefined };
        }
        let bits = value.to_bits();
        let fraction = u128::from(bits & ((1 << 52) - 1));
        let biased = i32::from((bits >> 52) as u16 & 0x7FF);
        let finite = match biased {
            0x7FF => None,
            0 => round(fraction, false, -1074, Rounded::EXTENDED),
            _ => round(fraction | 1 << 52, false, biased - 1075, Rounded::EXTENDED),
        };
        Self { negative, magnitude: finite.map_or(Magnitude::Infinite, Magnitude::Finite) }
    }
}

/// A rounded, non-negative binary number: `significand * 2^exponent`, zero with significand zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rounded {
    significand: u64,
    exponent: i32,
}

/// A binary floating-point format.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// Bits of significand.
    bits: u32,
    /// Exponent of the last bit of the smallest numbers.
    exponent_min: i32,
    /// Exponent of the last bit of the greatest numbers.
    exponent_max: i32,
}

impl Rounded {
    pub(super) const DOUBLE: Format = Format { bits: 53, exponent_min: -1074, exponent_max: 971 };
    const EXTENDED: Format = Format { bits: 64, exponent_min: -16_445, exponent_max: 16_320 };

    /// The double, for a number rounded to [`Rounded::DOUBLE`].
    pub(super) fn to_f64((negative, rounded): (bool, Self)) -> Option<f64> {
        // Both factors are exact, and so is their product: it was rounded before. Two steps,
        // because 2^-1074 alone is no normal number.
        let half = rounded.exponent / 2;
        let magnitude =
            rounded.significand as f64 * 2f64.powi(half) * 2f64.powi(rounded.exponent - half);
        magnitude.is_finite().then_some(if negative { -magnitude } else { magnitude })
    }
}

/// Rounds `significand * 2^exponent`, plus something less than one in the last place if `sticky`,
/// to nearest even. `None`: too great for the format.
fn round(significand: u128, sticky: bool, exponent: i32, format: Format) -> Option<Rounded> {
    let used = 128 - significand.leading_zeros() as i32;
    let excess = (used - format.bits as i32).max(format.exponent_min - exponent);
    let (kept, exponent) = if excess <= 0 {
        // Exact. Normalized below, as far as the format goes.
        (significand, exponent)
    } else {
        let (whole, half, below) = match excess {
            1..=127 => {
                let rest = significand & ((1 << excess) - 1);
                let middle = 1u128 << (excess - 1);
                (significand >> excess, rest & middle != 0, rest & (middle - 1) != 0)
            }
            128 => (0, significand >> 127 == 1, significand << 1 != 0),
            _ => (0, false, significand != 0),
        };
        let up = half && (below || sticky || whole & 1 == 1);
        (whole + u128::from(up), exponent + excess)
    };
    if kept == 0 {
        return Some(Rounded { significand: 0, exponent: 0 });
    }
    // Rounding up may have carried into one more bit; that one ends in a zero then.
    let used = 128 - kept.leading_zeros() as i32;
    let shift = (format.bits as i32 - used).min(exponent - format.exponent_min);
    let exponent = exponent - shift;
    let kept = if shift >= 0 { kept << shift } else { kept >> -shift };
    (exponent <= format.exponent_max).then_some(Rounded { significand: kept as u64, exponent })
}

fn add(a_negative: bool, a: Rounded, b_negative: bool, b: Rounded) -> Extended {
    if a.significand == 0 || b.significand == 0 {
        let (negative, sum) = if b.significand == 0 { (a_negative, a) } else { (b_negative, b) };
        return Extended { negative, magnitude: Magnitude::Finite(sum) };
    }
    let (great_negative, great, small_negative, small) = if a.exponent >= b.exponent {
        (a_negative, a, b_negative, b)
    } else {
        (b_negative, b, a_negative, a)
    };
    // 63 bits below the greater one's last: the smaller is exact down to there, and what lies
    // lower is kept as a one in the last place, which is enough to round and to subtract right.
    let high = u128::from(great.significand) << 63;
    let low = u128::from(small.significand) << 63;
    let distance = (great.exponent - small.exponent).unsigned_abs();
    let low = match distance {
        0..=126 => low >> distance | u128::from(low & ((1 << distance) - 1) != 0),
        _ => 1,
    };
    let (negative, sum) = if great_negative == small_negative {
        (great_negative, high + low)
    } else if high >= low {
        (great_negative && high != low, high - low)
    } else {
        (small_negative, low - high)
    };
    let magnitude = round(sum, false, great.exponent - 63, Rounded::EXTENDED)
        .map_or(Magnitude::Infinite, Magnitude::Finite);
    Extended { negative, magnitude }
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

/// Parses `[+-]0x...` for a format: `None` if the text is not hexadecimal at all, `Some(None)` if
/// it is, but malformed or out of range.
pub(super) fn parse_hex(text: &[u8], format: Format) -> Option<Option<(bool, Rounded)>> {
    let (negative, unsigned) = split_sign(text);
    let [b'0', b'x' | b'X', rest @ ..] = unsigned else { return None };
    Some(hex_magnitude(rest, format).map(|magnitude| (negative, magnitude)))
}

fn hex_magnitude(text: &[u8], format: Format) -> Option<Rounded> {
    let mut parts = text.splitn(2, |byte| matches!(byte, b'p' | b'P'));
    let digits = parts.next()?;
    let mut exponent = match parts.next() {
        Some(exponent) => parse_exponent(exponent)?,
        None => 0,
    };
    let (mut value, mut sticky) = (0u128, false);
    let (mut any, mut after_point) = (false, false);
    for &byte in digits {
        if byte == b'.' && !after_point {
            after_point = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        any = true;
        if value >> 120 == 0 {
            value = value << 4 | u128::from(digit);
            exponent -= if after_point { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            exponent += if after_point { 0 } else { 4 };
        }
    }
    if !any {
        return None;
    }
    let rounded = round(value, sticky, exponent.clamp(-100_000, 100_000), format)?;
    (rounded.significand != 0 || value == 0).then_some(rounded)
}

/// Parses the digits after `e` or `p`; huge ones are cut to a value that is still out of range.
fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i32;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = (value * 10 + i32::from(digit)).min(1_000_000);
    }
    Some(if negative { -value } else { value })
}

/// Parses unsigned decimal text.
fn parse_decimal(text: &[u8]) -> Option<Rounded> {
    let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let mantissa = parts.next()?;
    let mut exponent = match parts.next() {
        Some(exponent) => parse_exponent(exponent)?,
        None => 0,
    };
    let mut digits = Vec::with_capacity(mantissa.len());
    let mut after_point = false;
    for &byte in mantissa {
        match byte {
            b'.' if !after_point => after_point = true,
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                exponent -= i32::from(after_point);
            }
            _ => return None,
        }
    }
    if digits.is_empty() {
        return None;
    }
    while digits.last() == Some(&0) {
        digits.pop();
        exponent += 1;
    }
    let leading = digits.iter().take_while(|&&digit| digit == 0).count();
    scale(digits.get(leading..)?, exponent)
}

/// Rounds `digits * 10^exponent`; no digits are zero. `None` out of range at either end.
fn scale(digits: &[u8], exponent: i32) -> Option<Rounded> {
    if digits.is_empty() {
        return Some(Rounded { significand: 0, exponent: 0 });
    }
    let magnitude = exponent.saturating_add(digits.len() as i32);
    if !(-4_970..=4_940).contains(&magnitude) {
        return None;
    }
    let rounded = if digits.len() <= 19 && (-27..=27).contains(&exponent) {
        let value = digits.iter().fold(0u128, |value, &digit| value * 10 + u128::from(digit));
        let fives = 5u128.pow(exponent.unsigned_abs());
        if exponent >= 0 {
            round(value * fives, false, exponent, Rounded::EXTENDED)?
        } else {
            let shift = value.leading_zeros();
            let shifted = value << shift;
            let sticky = shifted % fives != 0;
            round(shifted / fives, sticky, exponent - shift as i32, Rounded::EXTENDED)?
        }
    } else {
        let mut value = BigInteger::from_digits(digits);
        let mut sticky = false;
        let mut binary_exponent = exponent;
        if exponent >= 0 {
            value.multiply_by_five(exponent as u32);
        } else {
            // Enough bits that at least 66 are left after the division.
            let shift = exponent.unsigned_abs() * 7 / 3 + 128;
            value.shift_left(shift);
            binary_exponent -= shift as i32;
            sticky = value.divide_by_five(exponent.unsigned_abs());
        }
        let (top, below, dropped) = value.top_bits();
        round(top, sticky | below, binary_exponent + dropped, Rounded::EXTENDED)?
    };
    (rounded.significand != 0).then_some(rounded)
}

/// The decimal text of a magnitude: 17 decimals, rounded half to even, zeros at the end left out.
fn plain_text(number: Rounded) -> String {
    const DECIMALS: u128 = 10u128.pow(17);
    if number.exponent >= 0 {
        let mut whole = BigInteger::from_digits(&[]);
        whole.limbs.push(number.significand);
        whole.shift_left(number.exponent.unsigned_abs());
        return whole.into_decimal();
    }
    let shift = number.exponent.unsigned_abs();
    let significand = u128::from(number.significand);
    let (whole, part) = if shift < 64 {
        (significand >> shift, significand & ((1 << shift) - 1))
    } else {
        (0, significand)
    };
    // Below 2^64 * 10^17 < 2^121, so from 2^122 on it is less than half of the last decimal.
    let scaled = part * DECIMALS;
    let decimals = if shift < 127 {
        let quotient = scaled >> shift;
        let rest = scaled & ((1 << shift) - 1);
        let half = 1u128 << (shift - 1);
        quotient + u128::from(rest > half || rest == half && quotient & 1 == 1)
    } else {
        0
    };
    let (whole, decimals) = if decimals == DECIMALS { (whole + 1, 0) } else { (whole, decimals) };
    let text = format!("{whole}.{decimals:017}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A natural number of any size: little-endian limbs.
struct BigInteger {
    limbs: Vec<u64>,
}

impl BigInteger {
    /// 10^19 and 5^27 are the greatest such powers below 2^64.
    const TEN_19: u64 = 10u64.pow(19);
    const FIVE_27: u64 = 5u64.pow(27);

    fn from_digits(digits: &[u8]) -> Self {
        let mut number = Self { limbs: Vec::new() };
        for group in digits.chunks(19) {
            let value = group.iter().fold(0u64, |value, &digit| value * 10 + u64::from(digit));
            number.multiply_add(10u64.pow(group.len() as u32), value);
        }
        number
    }

    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.limbs {
            let product = u128::from(*limb) * u128::from(factor) + carry;
            *limb = product as u64;
            carry = product >> 64;
        }
        if carry > 0 {
            self.limbs.push(carry as u64);
        }
    }

    /// Divides, rounding down; returns the rest.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut rest = 0u128;
        for limb in self.limbs.iter_mut().rev() {
            let value = rest << 64 | u128::from(*limb);
            *limb = (value / u128::from(divisor)) as u64;
            rest = value % u128::from(divisor);
        }
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
        rest as u64
    }

    fn multiply_by_five(&mut self, mut power: u32) {
        while power > 0 {
            let step = power.min(27);
            self.multiply_add(5u64.pow(step), 0);
            power -= step;
        }
    }

    /// Divides by a power of five, rounding down; returns whether anything was left over.
    fn divide_by_five(&mut self, mut power: u32) -> bool {
        let mut inexact = false;
        while power > 0 {
            let step = power.min(27);
            let divisor = if step == 27 { Self::FIVE_27 } else { 5u64.pow(step) };
            inexact |= self.divide(divisor) != 0;
            power -= step;
        }
        inexact
    }

    fn shift_left(&mut self, bits: u32) {
        let (limbs, bits) = ((bits / 64) as usize, bits % 64);
        if bits > 0 {
            self.multiply_add(1 << bits, 0);
        }
        self.limbs.splice(0..0, std::iter::repeat_n(0, limbs));
    }

    /// The top 65 to 128 bits, whether there are ones below them, and how many bits are below.
    fn top_bits(&self) -> (u128, bool, i32) {
        let limb = |from_top: usize| {
            let index = self.limbs.len().checked_sub(from_top + 1)?;
            self.limbs.get(index).copied()
        };
        let high = u128::from(limb(0).unwrap_or(0));
        let Some(low) = limb(1) else { return (high, false, 0) };
        let below = self.limbs.len() - 2;
        let sticky = self.limbs.iter().take(below).any(|&limb| limb != 0);
        (high << 64 | u128::from(low), sticky, 64 * below as i32)
    }

    fn into_decimal(mut self) -> String {
        let mut groups = Vec::new();
        while !self.limbs.is_empty() {
            groups.push(self.divide(Self::TEN_19));
            if groups.last() == Some(&0) && self.limbs.is_empty() {
                groups.pop();
            }
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            text.push_str(&format!("{group:019}"));
        }
        text
    }
}
