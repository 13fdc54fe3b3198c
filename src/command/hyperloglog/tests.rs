use super::registers::{self, Corrupt, REGISTERS, Values};
use super::{estimate, murmur};
use crate::rng::{Rng, SeededRng};

fn values(bytes: &[u8]) -> Values {
    let mut values = [0; REGISTERS];
    registers::merge_into(&mut values, bytes).unwrap();
    values
}

#[test]
fn an_element_changes_the_bytes_that_it_changes_in_redis() {
    // PFADD h 1 on Redis: PFDEBUG DECODE says Z:7527 v:1,1 Z:8856.
    assert_eq!(registers::locate(b"1"), (7527, 1));
    let mut bytes = registers::empty();
    assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert!(registers::raise(&mut bytes, 7527, 1, 3000).unwrap());
    assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x5d\x66\x80\x62\x97");
    assert!(!registers::raise(&mut bytes, 7527, 1, 3000).unwrap());
    assert_ne!(murmur::hash(b""), murmur::hash(b"\0"));
}

#[test]
fn sparse_and_dense_hold_the_same_values() {
    let mut sparse = registers::empty();
    let mut dense = registers::empty();
    registers::to_dense(&mut dense).unwrap();
    let mut seen_sparse = 0;
    for element in 0..5000u32 {
        let (index, rank) = registers::locate(element.to_string().as_bytes());
        let raised = registers::raise(&mut sparse, index, rank, 3000).unwrap();
        assert_eq!(raised, registers::raise_dense(&mut dense, index, rank));
        seen_sparse += u32::from(!registers::is_dense(&sparse));
        if element % 97 == 0 {
            assert!(values(&sparse) == values(&dense), "after {element}");
        }
    }
    assert!(seen_sparse > 500, "it became dense after {seen_sparse} elements");
    assert_eq!(sparse, dense);
    assert!(estimate::cardinality(&values(&dense)).abs_diff(5000) < 200);
}

#[test]
fn equal_neighbours_are_joined() {
    let mut bytes = registers::empty();
    for index in [10, 12, 11, 13, 14] {
        assert!(registers::raise(&mut bytes, index, 3, 3000).unwrap());
    }
    // Ten zeros, four threes, one three, the rest.
    assert_eq!(bytes[16..], [9, 0x80 | 2 << 2 | 3, 0x80 | 2 << 2, 0x7f, 0xf0]);
}

#[test]
fn runs_that_do_not_add_up_are_corrupt() {
    for body in [&b""[..], b"\x7f", b"\x7f\xfe", b"\x7f\xff\0", b"\x7f\xff\x7f\xff"] {
        let bytes = [&registers::empty()[..16], body].concat();
        assert!(registers::is_valid(&bytes));
        let merged = registers::merge_into(&mut [0; REGISTERS], &bytes);
        assert_eq!(merged, Err(Corrupt), "{body:?}");
    }
    assert!(!registers::is_valid(b"HYLL"));
    assert!(!registers::is_valid(&[&b"HYLL\0"[..], &[0; 100]].concat()));
    assert!(!registers::is_valid(&[&b"HYLL\x02"[..], &[0; 100]].concat()));
    let short = [&registers::empty()[..16], b"\x00"].concat();
    assert_eq!(registers::raise(&mut short.clone(), 5, 1, 3000), Err(Corrupt));
}

#[test]
fn the_cache_is_stale_after_a_change() {
    let mut bytes = registers::empty();
    assert_eq!(registers::cached(&bytes), Some(0));
    registers::invalidate(&mut bytes);
    assert_eq!(registers::cached(&bytes), None);
    registers::set_cached(&mut bytes, 1 << 40);
    assert_eq!(registers::cached(&bytes), Some(1 << 40));
}

#[test]
fn the_self_test_passes() {
    super::debug::self_test().unwrap();
}

#[test]
fn a_register_is_found_in_runs_of_all_lengths() {
    // Runs of one byte and of two in all places of eight bytes, and every register looked for in each.
    let mut rng = SeededRng::new(11);
    for round in 0..200 {
        let mut bytes = registers::empty()[..16].to_vec();
        let mut values = Vec::new();
        while values.len() < REGISTERS {
            let left = REGISTERS - values.len();
            let (value, len) = match rng.index(4) {
                0 => (0, (1 + rng.index(64)).min(left)),
                1 if round % 3 > 0 => (0, (1 + rng.index(400)).min(left)),
                _ => (1 + rng.index(32) as u8, (1 + rng.index(4)).min(left)),
            };
            match (value, len) {
                (0, len) if len <= 64 => bytes.push(len as u8 - 1),
                (0, len) => bytes.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
                (value, len) => bytes.push(0x80 | (value - 1) << 2 | (len - 1) as u8),
            }
            values.resize(values.len() + len, value);
        }
        for (index, value) in values.iter().enumerate() {
            assert_eq!(registers::would_raise(&bytes, index, *value), Ok(false), "{round} {index}");
            assert_eq!(registers::would_raise(&bytes, index, value + 1), Ok(true), "{index}");
        }
        bytes.pop();
        assert_eq!(registers::would_raise(&bytes, REGISTERS - 1, 40), Err(Corrupt));
    }
}
