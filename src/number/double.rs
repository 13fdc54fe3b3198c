//! Doubles as text: sorted set scores and every double in a reply.
//!
//! Printing gives Redis' digits exactly. Redis prints with Grisu2 (Loitsch, "Printing
//! floating-point numbers quickly and accurately with integers", 2010), whose digits always read
//! back as the same double but are not the shortest ones for about one double in a thousand (1e23
//! comes out as 99999999999999990000000); a shortest printer would answer differently now and then.
//! The layout (when to use an exponent) is Redis' as well and like nobody else's.

use super::extended::{Rounded, parse_hex};

/// The text of a double.
#[derive(Clone, Copy, Debug)]
pub struct DoubleText {
    bytes: [u8; 32],
    len: u8,
}

impl DoubleText {
    /// The text Redis replies with for `value`: integers plainly up to about 4.6e18, `inf`, `-inf`,
    /// `nan`, `-0`, and otherwise what [`DoubleText::shortest`] gives.
    pub fn new(value: f64) -> Self {
        // Within this range the conversion to i64 and back is exact if there is no fraction.
        let limit = (i64::MAX / 2) as f64;
        if value.abs() <= limit
            && value == value.trunc()
            && (value != 0.0 || !value.is_sign_negative())
        {
            let mut text = Self { bytes: [0; 32], len: 0 };
            text.push(itoa::Buffer::new().format(value as i64).as_bytes());
            return text;
        }
        Self::shortest(value)
    }

    /// The text of `value` by the digits alone: 1e15 is `1e+15`. Redis writes scores into AOF
    /// records this way.
    pub fn shortest(value: f64) -> Self {
        let mut text = Self { bytes: [0; 32], len: 0 };
        if value.is_nan() {
            text.push(b"nan");
            return text;
        }
        if value.is_sign_negative() {
            text.push(b"-");
        }
        if value == 0.0 {
            text.push(b"0");
        } else if value.is_infinite() {
            text.push(b"inf");
        } else {
            let (digits, exponent) = grisu2(value.abs());
            text.lay_out(digits.as_slice(), exponent, value.is_sign_negative());
        }
        text
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Appends; what does not fit is dropped, and the longest text (26 bytes) fits.
    fn push(&mut self, part: &[u8]) {
        let start = usize::from(self.len);
        if let Some(room) = self.bytes.get_mut(start..start + part.len()) {
            room.copy_from_slice(part);
            self.len += part.len() as u8;
        }
    }

    fn push_zeros(&mut self, count: usize) {
        self.push(&[b'0'; 24][..count.min(24)]);
    }

    /// Writes the digits times ten to the `exponent`, as Redis lays numbers out.
    fn lay_out(&mut self, digits: &[u8], exponent: i32, negative: bool) {
        let count = digits.len() as i32;
        let scientific = exponent + count - 1;
        if exponent >= 0 && scientific < count + 7 {
            self.push(digits);
            self.push_zeros(exponent as usize);
        } else if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
            let whole = count + exponent;
            if whole <= 0 {
                self.push(b"0.");
                self.push_zeros(whole.unsigned_abs() as usize);
                self.push(digits);
            } else {
                let (whole, fraction) = digits.split_at(whole as usize);
                self.push(whole);
                self.push(b".");
                self.push(fraction);
            }
        } else {
            let kept = digits.len().min(18 - usize::from(negative));
            let (first, rest) = digits[..kept].split_at(1);
            self.push(first);
            if !rest.is_empty() {
                self.push(b".");
                self.push(rest);
            }
            self.push(if scientific < 0 { b"e-" } else { b"e+" });
            self.push(itoa::Buffer::new().format(scientific.unsigned_abs()).as_bytes());
        }
    }
}

impl std::ops::Deref for DoubleText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::fmt::Display for DoubleText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A value with 17 significant digits, without zeros behind them: C's `%.17g`. More digits than it
/// takes to read the value back, but ZSCAN of a large sorted set shows them.
pub fn seventeen_digits(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    // Whole numbers of at most 16 digits are their own text.
    if value.trunc() == value && value.abs() < 1e16 && (value != 0.0 || value.is_sign_positive()) {
        return itoa::Buffer::new().format(value as i64).to_owned();
    }
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// A value with a fixed number of decimals, at most 17 (GEODIST has four).
pub fn fixed_point(value: f64, decimals: u32) -> String {
    if let Some(text) = fixed_point_exact(value, decimals) {
        return text;
    }
    format!("{value:.*}", decimals.min(17) as usize)
}

/// The same for values of ordinary size, in one multiplication: the double is a whole number of halves of
/// halves, so the digits and what is rounded off are exact in 128 bits.
fn fixed_point_exact(value: f64, decimals: u32) -> Option<String> {
    let bits = value.to_bits();
    let halvings = 1075u32.checked_sub((bits >> 52) as u32 & 0x7FF)?;
    if !value.is_normal() || !(1..=100).contains(&halvings) || decimals > 9 {
        return None;
    }
    let scale = 10u64.pow(decimals);
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let scaled = u128::from(mantissa) * u128::from(scale);
    let (whole, rest, half) =
        (scaled >> halvings, scaled & ((1 << halvings) - 1), 1u128 << (halvings - 1));
    let up = rest > half || rest == half && whole & 1 == 1;
    let whole = u64::try_from(whole + u128::from(up)).ok()?;
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let mut text = format!("{sign}{}", itoa::Buffer::new().format(whole / scale));
    if decimals > 0 {
        // A one in front keeps the zeros behind the point.
        let mut digits = itoa::Buffer::new();
        text.push_str(&digits.format(scale + whole % scale).replacen('1', ".", 1));
    }
    Some(text)
}

/// Parses a double as ZADD and the like do: decimal or hexadecimal, `inf` and `infinity` in any
/// case; no white space, no `nan`, nothing that overflows, and nothing but zero that becomes zero.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    if let Some(value) = parse_hex(text, Rounded::DOUBLE) {
        return value.and_then(Rounded::to_f64);
    }
    let value = parse_decimal(text)?;
    if value.is_infinite() && text.iter().any(u8::is_ascii_digit) {
        return None;
    }
    if value == 0.0 && !is_written_zero(text) {
        return None;
    }
    Some(value)
}

/// Parses a bound of ZRANGEBYSCORE and the like, without its "(": decimal only, overflow is
/// infinite, and (as in Redis, whose strings end at a NUL here) no text at all is zero.
pub fn parse_range_bound(text: &[u8]) -> Option<f64> {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let text = text.get(..end)?;
    if text.is_empty() {
        return Some(0.0);
    }
    parse_decimal(text)
}

/// Decimal or infinite; not NaN.
fn parse_decimal(text: &[u8]) -> Option<f64> {
    if text.len() <= 15
        && let Some(integer) = super::parse_i64(text)
    {
        return Some(integer as f64);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Whether all digits before the exponent are zeros.
fn is_written_zero(text: &[u8]) -> bool {
    let digits = text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    !digits.iter().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// A binary floating-point number with a 64-bit significand: `significand * 2^exponent`.
#[derive(Clone, Copy)]
struct Wide {
    significand: u64,
    exponent: i32,
}

impl Wide {
    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Self { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product, rounded to 64 bits.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand) + (1 << 63);
        Self { significand: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// Up to 20 decimal digits.
struct Digits {
    bytes: [u8; 20],
    len: usize,
}

impl Digits {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends a digit; leading zeros are left out.
    fn push(&mut self, digit: u64) {
        if (digit != 0 || self.len > 0)
            && let Some(byte) = self.bytes.get_mut(self.len)
        {
            *byte = b'0' + digit as u8;
            self.len += 1;
        }
    }

    /// Moves the last digit towards the true value: `rest` is what the digits leave below the upper
    /// bound, `unit` the weight of the last digit, `distance` that of the value from the bound.
    fn round(&mut self, delta: u64, mut rest: u64, unit: u64, distance: u64) {
        let Some(last) = self.len.checked_sub(1) else { return };
        while rest < distance
            && delta - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            self.bytes[last] -= 1;
            rest += unit;
        }
    }
}

/// Digits and decimal exponent of a positive finite double.
fn grisu2(value: f64) -> (Digits, i32) {
    const HIDDEN: u64 = 1 << 52;
    let bits = value.to_bits();
    let fraction = bits & (HIDDEN - 1);
    let biased = (bits >> 52) as i32;
    let number = match biased {
        0 => Wide { significand: fraction, exponent: -1074 },
        _ => Wide { significand: fraction | HIDDEN, exponent: biased - 1075 },
    };
    // Half way to the neighbours; below a power of two the lower one is nearer.
    let upper = Wide { significand: (number.significand << 1) + 1, exponent: number.exponent - 1 }
        .normalized();
    let shift = if number.significand == HIDDEN { 2 } else { 1 };
    let lower_exponent = number.exponent - shift;
    let lower = Wide {
        significand: ((number.significand << shift) - 1) << (lower_exponent - upper.exponent),
        exponent: upper.exponent,
    };
    let (power, decimal_exponent) = cached_power(upper.exponent);
    let number = number.normalized().times(power);
    let mut upper = upper.times(power);
    let mut lower = lower.times(power);
    // The products are off by at most one unit each: stay inside.
    lower.significand = lower.significand.wrapping_add(1);
    upper.significand = upper.significand.wrapping_sub(1);
    generate(number, upper, lower, -decimal_exponent)
}

/// Digits of a number between `lower` and `upper`, as few as lead there from above.
fn generate(number: Wide, upper: Wide, lower: Wide, mut exponent: i32) -> (Digits, i32) {
    let distance = upper.significand.wrapping_sub(number.significand);
    let mut delta = upper.significand.wrapping_sub(lower.significand);
    let shift = upper.exponent.unsigned_abs();
    let one = 1u64 << shift;
    let mut whole = upper.significand >> shift;
    let mut part = upper.significand & (one - 1);
    let mut digits = Digits { bytes: [0; 20], len: 0 };

    for kappa in (0..10).rev() {
        let unit = 10u64.pow(kappa);
        digits.push(whole / unit);
        whole %= unit;
        let rest = (whole << shift) + part;
        if rest <= delta {
            exponent += kappa as i32;
            digits.round(delta, rest, unit << shift, distance);
            return (digits, exponent);
        }
    }
    let mut scale = 1u64;
    loop {
        part = part.wrapping_mul(10);
        delta = delta.wrapping_mul(10);
        scale = scale.wrapping_mul(10);
        exponent -= 1;
        digits.push(part >> shift);
        part &= one - 1;
        if part < delta || digits.len == 20 {
            digits.round(delta, part, one, distance.wrapping_mul(scale));
            return (digits, exponent);
        }
    }
}

/// A power of ten that brings a number with this binary exponent to one between -60 and -32, and
/// its decimal exponent.
fn cached_power(exponent: i32) -> (Wide, i32) {
    let guess = (f64::from(-(exponent + POWERS.len() as i32)) * std::f64::consts::LOG10_2) as i32;
    let mut index = ((guess - POWER_FIRST) / POWER_STEP).clamp(0, POWERS.len() as i32 - 1) as usize;
    loop {
        let (significand, power_exponent) = POWERS[index];
        let sum = exponent + i32::from(power_exponent) + 64;
        if sum < -60 && index + 1 < POWERS.len() {
            index += 1;
        } else if sum > -32 && index > 0 {
            index -= 1;
        } else {
            let power = Wide { significand, exponent: i32::from(power_exponent) };
            return (power, POWER_FIRST + index as i32 * POWER_STEP);
        }
    }
}

/// Decimal exponent of the first power.
const POWER_FIRST: i32 = -348;
/// Decimal exponents between two powers.
const POWER_STEP: i32 = 8;
/// `10^(-348 + 8 i)` as 64-bit significand (rounded to nearest) and binary exponent.
#[rustfmt::skip]
const POWERS: [(u64, i16); 87] = [
    (0xfa8fd5a0081c0288, -1220), (0xbaaee17fa23ebf76, -1193), (0x8b16fb203055ac76, -1166),
    (0xcf42894a5dce35ea, -1140), (0x9a6bb0aa55653b2d, -1113), (0xe61acf033d1a45df, -1087),
    (0xab70fe17c79ac6ca, -1060), (0xff77b1fcbebcdc4f, -1034), (0xbe5691ef416bd60c, -1007),
    (0x8dd01fad907ffc3c, -980), (0xd3515c2831559a83, -954), (0x9d71ac8fada6c9b5, -927),
    (0xea9c227723ee8bcb, -901), (0xaecc49914078536d, -874), (0x823c12795db6ce57, -847),
    (0xc21094364dfb5637, -821), (0x9096ea6f3848984f, -794), (0xd77485cb25823ac7, -768),
    (0xa086cfcd97bf97f4, -741), (0xef340a98172aace5, -715), (0xb23867fb2a35b28e, -688),
    (0x84c8d4dfd2c63f3b, -661), (0xc5dd44271ad3cdba, -635), (0x936b9fcebb25c996, -608),
    (0xdbac6c247d62a584, -582), (0xa3ab66580d5fdaf6, -555), (0xf3e2f893dec3f126, -529),
    (0xb5b5ada8aaff80b8, -502), (0x87625f056c7c4a8b, -475), (0xc9bcff6034c13053, -449),
    (0x964e858c91ba2655, -422), (0xdff9772470297ebd, -396), (0xa6dfbd9fb8e5b88f, -369),
    (0xf8a95fcf88747d94, -343), (0xb94470938fa89bcf, -316), (0x8a08f0f8bf0f156b, -289),
    (0xcdb02555653131b6, -263), (0x993fe2c6d07b7fac, -236), (0xe45c10c42a2b3b06, -210),
    (0xaa242499697392d3, -183), (0xfd87b5f28300ca0e, -157), (0xbce5086492111aeb, -130),
    (0x8cbccc096f5088cc, -103), (0xd1b71758e219652c, -77), (0x9c40000000000000, -50),
    (0xe8d4a51000000000, -24), (0xad78ebc5ac620000, 3), (0x813f3978f8940984, 30),
    (0xc097ce7bc90715b3, 56), (0x8f7e32ce7bea5c70, 83), (0xd5d238a4abe98068, 109),
    (0x9f4f2726179a2245, 136), (0xed63a231d4c4fb27, 162), (0xb0de65388cc8ada8, 189),
    (0x83c7088e1aab65db, 216), (0xc45d1df942711d9a, 242), (0x924d692ca61be758, 269),
    (0xda01ee641a708dea, 295), (0xa26da3999aef774a, 322), (0xf209787bb47d6b85, 348),
    (0xb454e4a179dd1877, 375), (0x865b86925b9bc5c2, 402), (0xc83553c5c8965d3d, 428),
    (0x952ab45cfa97a0b3, 455), (0xde469fbd99a05fe3, 481), (0xa59bc234db398c25, 508),
    (0xf6c69a72a3989f5c, 534), (0xb7dcbf5354e9bece, 561), (0x88fcf317f22241e2, 588),
    (0xcc20ce9bd35c78a5, 614), (0x98165af37b2153df, 641), (0xe2a0b5dc971f303a, 667),
    (0xa8d9d1535ce3b396, 694), (0xfb9b7cd9a4a7443c, 720), (0xbb764c4ca7a44410, 747),
    (0x8bab8eefb6409c1a, 774), (0xd01fef10a657842c, 800), (0x9b10a4e5e9913129, 827),
    (0xe7109bfba19c0c9d, 853), (0xac2820d9623bf429, 880), (0x80444b5e7aa7cf85, 907),
    (0xbf21e44003acdd2d, 933), (0x8e679c2f5e44ff8f, 960), (0xd433179d9c8cb841, 986),
    (0x9e19db92b4e31ba9, 1013), (0xeb96bf6ebadf77d9, 1039), (0xaf87023b9bf0ee6b, 1066),
];
