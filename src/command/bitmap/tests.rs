use super::field::{Encoding, Overflow};
use super::operation::{Combined, Operation};
use super::{BitRange, RangeArgument, bits};

fn bit(bytes: &[u8], at: u64) -> bool {
    bytes[usize::try_from(at / 8).unwrap()] & (0x80 >> (at % 8)) != 0
}

#[test]
fn counting_and_finding_agree_with_looking_at_each_bit() {
    let mut bytes: Vec<u8> = vec![0; 40];
    bytes[3] = 0x10;
    bytes[20..31].fill(0xFF);
    bytes[31] = 0xFE;
    bytes[39] = 0x81;
    for first in 0..320 {
        for last in first..320 {
            let range = BitRange { first, last };
            let set = (first..=last).filter(|&at| bit(&bytes, at));
            assert_eq!(bits::count(&bytes, range), set.clone().count() as u64, "{range:?}");
            assert_eq!(bits::find(&bytes, range, true), set.clone().next(), "{range:?}");
            let clear = (first..=last).find(|&at| !bit(&bytes, at));
            assert_eq!(bits::find(&bytes, range, false), clear, "{range:?}");
        }
    }
}

#[test]
fn ranges_count_from_the_end_too() {
    let resolve = |start, end, in_bits| {
        RangeArgument { start, end, in_bits }.resolve(4).map(|range| (range.first, range.last))
    };
    assert_eq!(resolve(0, -1, false), Some((0, 31)));
    assert_eq!(resolve(-1, -1, false), Some((24, 31)));
    assert_eq!(resolve(-1, -1, true), Some((31, 31)));
    assert_eq!(resolve(5, 30, true), Some((5, 30)));
    assert_eq!(resolve(1, 100, false), Some((8, 31)));
    assert_eq!(resolve(-100, -100, false), Some((0, 7)));
    assert_eq!(resolve(-1, -2, false), None);
    assert_eq!(resolve(-5, -20, false), Some((0, 7)), "BITPOS cuts first");
    assert_eq!(resolve(4, 5, false), None);
    assert_eq!(RangeArgument::WHOLE.resolve(0), None);
    assert_eq!(resolve(i64::MIN, i64::MAX, true), Some((0, 31)));
}

#[test]
fn fields_are_read_as_they_were_written() {
    let mut bytes = vec![0xA5; 20];
    for (signed, width) in [(true, 1), (true, 64), (false, 63), (true, 5), (false, 8), (false, 13)]
    {
        let encoding = Encoding { signed, width };
        for offset in [0u64, 3, 7, 8, 31, 64] {
            for value in [0, 1, -1, i64::MAX, i64::MIN, 0x1234_5678] {
                let stored = encoding.fit(i128::from(value), Overflow::Wrap).unwrap();
                let before = bytes.clone();
                encoding.write(&mut bytes, offset, stored);
                assert_eq!(encoding.read(&bytes, offset), stored, "{encoding:?} {offset} {value}");
                for at in (0..160).filter(|at| !(offset..offset + u64::from(width)).contains(at)) {
                    assert_eq!(bit(&bytes, at), bit(&before, at), "bit {at} beside the field");
                }
            }
        }
    }
    assert_eq!(Encoding { signed: false, width: 8 }.read(&[0x12], 4), 0x20);
}

#[test]
fn overflow_wraps_saturates_or_fails() {
    let (i8, u8) = (Encoding { signed: true, width: 8 }, Encoding { signed: false, width: 8 });
    assert_eq!(i8.fit(200, Overflow::Wrap), Some(-56));
    assert_eq!(i8.fit(-129, Overflow::Wrap), Some(127));
    assert_eq!(i8.fit(200, Overflow::Saturate), Some(127));
    assert_eq!(i8.fit(-200, Overflow::Saturate), Some(-128));
    assert_eq!(i8.fit(200, Overflow::Fail), None);
    assert_eq!(i8.fit(127, Overflow::Fail), Some(127));
    assert_eq!(u8.fit(-1, Overflow::Wrap), Some(255));
    assert_eq!(u8.fit(-1, Overflow::Saturate), Some(0));
    assert_eq!(u8.fit(256, Overflow::Fail), None);
    let i64 = Encoding { signed: true, width: 64 };
    assert_eq!(i64.fit(i128::from(i64::MAX) + 1, Overflow::Wrap), Some(i64::MIN));
    assert_eq!(i64.fit(i128::from(i64::MIN) - 1, Overflow::Saturate), Some(i64::MIN));
}

#[test]
fn operations_pad_with_zeros() {
    let combine = |operation, sources: &[&[u8]]| {
        let mut total = Combined::new(operation);
        for source in sources {
            total.add(source);
        }
        total.finish()
    };
    let (long, short): (&[u8], &[u8]) = (&[0b1100, 0xFF], &[0b1010]);
    for (operation, one_way, other_way) in [
        (Operation::And, [0b1000, 0], [0b1000, 0]),
        (Operation::Or, [0b1110, 0xFF], [0b1110, 0xFF]),
        (Operation::Xor, [0b0110, 0xFF], [0b0110, 0xFF]),
        (Operation::Diff, [0b0100, 0xFF], [0b0010, 0]),
        (Operation::Diff1, [0b0010, 0], [0b0100, 0xFF]),
        (Operation::AndOr, [0b1000, 0], [0b1000, 0]),
        (Operation::One, [0b0110, 0xFF], [0b0110, 0xFF]),
    ] {
        assert_eq!(combine(operation, &[long, short]), one_way, "{operation:?}");
        assert_eq!(combine(operation, &[short, long]), other_way, "{operation:?}");
    }
    assert_eq!(combine(Operation::Not, &[short]), [!0b1010]);
    assert_eq!(combine(Operation::One, &[&[0b111], &[0b011], &[0b001]]), [0b100]);
    assert_eq!(combine(Operation::And, &[long, &[]]), [0, 0]);
    assert!(combine(Operation::Or, &[&[], &[]]).is_empty());
}
