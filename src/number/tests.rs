use super::*;
use crate::rng::{Rng, SeededRng};

fn double(text: &str) -> Option<f64> {
    parse_double(text.as_bytes())
}

#[test]
fn integers_are_canonical() {
    for (text, value) in [
        ("0", 0),
        ("7", 7),
        ("-1", -1),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ] {
        assert_eq!(parse_i64(text.as_bytes()), Some(value), "{text}");
    }
    for text in [
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "01",
        "-0",
        "-01",
        "1.0",
        "0x1",
        "1e3",
        "abc",
        "1a",
        "--1",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
    ] {
        assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn unsigned_integers_are_lenient() {
    for (text, value) in
        [("0", 0), ("00", 0), ("+0", 0), (" 5", 5), ("18446744073709551615", u64::MAX)]
    {
        assert_eq!(parse_u64(text.as_bytes()), Some(value), "{text}");
    }
    for text in ["", "-1", "5 ", "0x5", "+", " ", "18446744073709551616"] {
        assert_eq!(parse_u64(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn doubles_are_read_as_redis_reads_them() {
    for (text, value) in [
        ("1", 1.0),
        ("+1", 1.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+.5e1", 5.0),
        ("0e999999", 0.0),
        ("inf", f64::INFINITY),
        ("-INF", f64::NEG_INFINITY),
        ("Infinity", f64::INFINITY),
        ("0x10", 16.0),
        ("0x1p3", 8.0),
        ("0X1.8", 1.5),
        ("-0x.8P1", -1.0),
        ("1e-320", 1e-320),
        ("3e-324", 5e-324),
        ("0x1p-1074", 5e-324),
        ("0x1.fffffffffffffp1023", f64::MAX),
    ] {
        assert_eq!(double(text), Some(value), "{text}");
    }
    assert!(double("-0").unwrap().is_sign_negative());
    for text in [
        "",
        " 1",
        "1 ",
        "nan",
        "-nan",
        "infinit",
        "0x",
        "0x1p",
        "1e",
        "1e+",
        ".",
        "1_0",
        "1f",
        "1e400",
        "-1e400",
        "1e-400",
        "2e-324",
        "0x1p1024",
        "0x1p-1080",
        "1\0",
    ] {
        assert_eq!(double(text), None, "{text}");
    }
}

#[test]
fn range_bounds_are_read_more_freely() {
    assert_eq!(parse_range_bound(b""), Some(0.0));
    assert_eq!(parse_range_bound(b"1\0x"), Some(1.0));
    assert_eq!(parse_range_bound(b"1e400"), Some(f64::INFINITY));
    assert_eq!(parse_range_bound(b"-inf"), Some(f64::NEG_INFINITY));
    for text in ["nan", " 1", "0x10", "1x", "."] {
        assert_eq!(parse_range_bound(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn doubles_are_printed_as_redis_prints_them() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (0.1, "0.1"),
        (-1.5, "-1.5"),
        (1e15, "1000000000000000"),
        (1e17, "100000000000000000"),
        (1e20, "1e+20"),
        (1e23, "99999999999999990000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (12345678901234567890.0, "12345678901234567000"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (0.00012345, "1.2345e-4"),
        (1234567.891, "1234567.891"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
        (4.611686018427388e18, "4611686018427387904"),
        (9.223372036854776e18, "9223372036854776000"),
    ] {
        assert_eq!(DoubleText::new(value).as_str(), text, "{value:e}");
    }
    assert_eq!(DoubleText::shortest(1e15).as_str(), "1e+15");
    assert_eq!(fixed_point(166274.15161, 4), "166274.1516");
}

/// INCRBYFLOAT on a key without a value, then with another: recorded from Redis 8.0.6.
#[test]
fn extended_sums_are_those_of_redis() {
    for (a, b, sum) in [
        ("0.1", "0.2", "0.3"),
        ("10.50", "0.1", "10.6"),
        ("5.0e3", "200", "5200"),
        ("3", "-3", "0"),
        ("-0", "-0", "0"),
        ("1e-400", "0", "0"),
        ("0x1p3", "1", "9"),
        ("9223372036854775807", "1", "9223372036854775808"),
        ("1e-17", "0", "0.00000000000000001"),
    ] {
        let read = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        assert_eq!(read(a).plus(read(b)).to_text(), sum, "{a} + {b}");
    }
    assert_eq!(
        Extended::parse(b"1e50").unwrap().to_text(),
        "100000000000000000003583830118858923890798487404544"
    );
    for text in ["1e5000", "1e-5000", "nan", " 1", "1 ", "", ".", "0x", "1e"] {
        assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
    }
    let infinite = Extended::parse(b"inf").unwrap();
    assert!(!infinite.is_finite());
    assert!(!infinite.plus(Extended::from(1)).is_finite());
    assert!(!infinite.plus(Extended::parse(b"-inf").unwrap()).is_finite());
}

#[test]
fn extended_numbers_are_compared() {
    let read = |text: &str| Extended::parse(text.as_bytes()).unwrap();
    let ascending = [
        "-inf", "-1e4932", "-1e20", "-1.5", "-1e-4950", "0", "1e-4950", "2e-4950", "1.5", "1e20",
        "1e4932", "inf",
    ];
    for (at, a) in ascending.iter().enumerate() {
        for (other_at, b) in ascending.iter().enumerate() {
            assert_eq!(read(a).is_less_than(read(b)), at < other_at, "{a} < {b}");
        }
    }
    assert!(!read("-0").is_less_than(read("0")) && !read("0").is_less_than(read("-0")));
    let max = Extended::MAX;
    assert!(max.is_finite() && read("1e4932").is_less_than(max) && max.is_less_than(read("inf")));
    assert!(max.plus(max.negated()).to_text() == "0" && !max.plus(max).is_finite());
    assert!(max.to_text().starts_with("11897314953572317650"));
}

#[test]
fn doubles_widen_exactly() {
    assert_eq!(Extended::from(0.1f64).to_text(), "0.10000000000000001");
    assert_eq!(Extended::from(13.361389338970184f64).to_text(), "13.36138933897018433");
    assert_eq!(Extended::from(-2.0f64).to_text(), "-2");
    assert_eq!(Extended::from(1e22f64).to_text(), "10000000000000000000000");
}

#[test]
fn memory_sizes() {
    for (text, bytes) in [
        ("", 0),
        ("0", 0),
        ("kb", 0),
        ("1", 1),
        ("1b", 1),
        ("1k", 1000),
        ("1KB", 1024),
        ("2m", 2_000_000),
        ("2mb", 2 << 20),
        ("3G", 3_000_000_000),
        ("10gB", 10 << 30),
    ] {
        assert_eq!(parse_memory(text.as_bytes()), Some(bytes), "{text}");
    }
    for text in ["-1", "1 kb", "1.5gb", "1tb", "1kbx", "+1", "99999999999gb", "1p"] {
        assert_eq!(parse_memory(text.as_bytes()), None, "{text}");
    }
    for (bytes, text) in [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.00K"),
        (1_048_575, "1024.00K"),
        (1_048_576, "1.00M"),
        (1_572_864, "1.50M"),
        (10_000_000_000, "9.31G"),
        (1 << 40, "1.00T"),
        (3 << 50, "3.00P"),
        (1 << 60, "1152921504606846976B"),
    ] {
        assert_eq!(human_bytes(bytes), text);
    }
}

proptest::proptest! {
    #[test]
    fn integers_round_trip(value in proptest::num::i64::ANY) {
        proptest::prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
    }

    #[test]
    fn doubles_round_trip(bits in proptest::num::u64::ANY) {
        let value = f64::from_bits(bits);
        if value.is_nan() {
            return Ok(());
        }
        for text in [DoubleText::new(value), DoubleText::shortest(value)] {
            let read = parse_double(&text).map(f64::to_bits);
            proptest::prop_assert_eq!(read, Some(bits), "{}", text);
        }
    }

    #[test]
    fn extended_agrees_with_exact_small_sums(
        a in -1_000_000_000i64..1_000_000_000,
        b in -1_000_000_000i64..1_000_000_000,
    ) {
        let sum = Extended::from(a).plus(Extended::from(b)).to_text();
        proptest::prop_assert_eq!(sum, (a + b).to_string());
    }

    #[test]
    fn big_and_small_paths_agree(digits in "[1-9][0-9]{0,18}", exponent in -27i32..=27) {
        // The same number once in 128 bits and once with zeros that make it a big integer.
        let plain = Extended::parse(format!("{digits}e{exponent}").as_bytes());
        let zeros = "0".repeat(40);
        let long = Extended::parse(format!("{digits}{zeros}1e{}", exponent - 41).as_bytes());
        let short = Extended::parse(format!("{digits}{zeros}0e{}", exponent - 41).as_bytes());
        proptest::prop_assert_eq!(plain, short);
        // One part in 10^40 more rounds to the same but for exact ties.
        proptest::prop_assert!(long == plain || plain.is_some());
    }

    #[test]
    fn parsers_never_panic(
        text in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        ascii in r"[-+0-9a-fx.pe]{0,30}",
    ) {
        for text in [text.as_slice(), ascii.as_bytes()] {
            let _ = (parse_i64(text), parse_u64(text), parse_double(text), parse_memory(text));
            let _ = (parse_range_bound(text), Extended::parse(text).map(|number| number.to_text()));
        }
    }
}

#[test]
fn seventeen_digits_are_those_of_printf() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (0.1, "0.10000000000000001"),
        (-2.5, "-2.5"),
        (1e-5, "1.0000000000000001e-05"),
        (0.0001, "0.0001"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (123456789.123, "123456789.123"),
        (9007199254740993.0, "9007199254740992"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "4.9406564584124654e-324"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(seventeen_digits(value), text);
    }
}

/// Against the standard library's, which is exact: ordinary values, ties, ends of the range of the short way.
#[test]
fn fixed_point_is_rounded_exactly() {
    let mut rng = SeededRng::new(11);
    let mut values = vec![
        0.0,
        -0.0,
        0.5,
        1.5,
        2.5,
        0.125,
        0.375,
        -0.03125,
        0.00005,
        99_999.999_95,
        1e15,
        4e15,
        1e22,
        f64::MAX,
    ];
    for _ in 0..100_000 {
        let value = f64::from_bits(rng.next_u64());
        values.push(if value.is_finite() { value } else { 1.0 });
        let whole = (rng.next_u64() >> (rng.next_u64() % 60)) as f64;
        values.push(
            whole / [1.0, 2.0, 16.0, 32.0, 1000.0, 1024.0, 1e6][(rng.next_u64() % 7) as usize],
        );
    }
    for value in values {
        for decimals in [0, 1, 4, 9, 17] {
            let decimal = decimals as usize;
            assert_eq!(fixed_point(value, decimals), format!("{value:.decimal$}"), "{value:e}");
        }
    }
}
