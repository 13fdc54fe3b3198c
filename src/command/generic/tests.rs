use super::expire::Conditions;
use super::sort::{Options, name};
use crate::command::CommandError;
use crate::resp::args::OwnedArgs;

fn words(words: &[&str]) -> OwnedArgs {
    OwnedArgs::from_slices(words.iter().map(|word| word.as_bytes()))
}

#[test]
fn conditions_of_expire_take_no_time_for_the_longest() {
    let hold = |options: &[&str], old, new| {
        Conditions::parse(&words(options).as_args(), 0).unwrap().hold(old, new)
    };
    assert!(hold(&[], None, 5) && hold(&[], Some(9), 5));
    assert!(hold(&["NX"], None, 5) && !hold(&["nx"], Some(9), 5));
    assert!(!hold(&["XX"], None, 5) && hold(&["xx"], Some(9), 5));
    assert!(!hold(&["GT"], None, 5) && !hold(&["GT"], Some(5), 5) && hold(&["GT"], Some(4), 5));
    assert!(hold(&["LT"], None, 5) && !hold(&["LT"], Some(5), 5) && hold(&["LT"], Some(6), 5));
    assert!(!hold(&["LT", "XX"], None, 5));
    for bad in [&["NX", "XX"][..], &["GT", "NX"], &["GT", "LT"], &["huh"]] {
        assert!(matches!(Conditions::parse(&words(bad).as_args(), 0), Err(CommandError::Text(_))));
    }
}

#[test]
fn patterns_name_a_key_or_a_field() {
    assert_eq!(name(b"w_*", b"7"), Some((b"w_7".to_vec(), None)));
    assert_eq!(name(b"w_*_*", b"7"), Some((b"w_7_*".to_vec(), None)));
    assert_eq!(name(b"h_*->f", b"7"), Some((b"h_7".to_vec(), Some(&b"f"[..]))));
    assert_eq!(name(b"h_*x->f->g", b"7"), Some((b"h_7x".to_vec(), Some(&b"f->g"[..]))));
    assert_eq!(name(b"h_*->", b"7"), Some((b"h_7->".to_vec(), None)));
    assert_eq!(name(b"h->f_*", b"7"), Some((b"h->f_7".to_vec(), None)));
    assert_eq!(name(b"none", b"7"), None);
}

#[test]
fn limits_of_sort_are_cut_to_what_there_is() {
    let range =
        |offset, count| Options { limit: Some((offset, count)), ..Options::default() }.range(3);
    assert_eq!(range(0, 2), 0..2);
    assert_eq!(range(-5, 2), 0..2);
    assert_eq!(range(1, -5), 1..3);
    assert_eq!(range(5, 5), 3..3);
    assert_eq!(range(i64::MAX, i64::MAX), 3..3);
    assert_eq!(Options::default().range(3), 0..3);
}

#[test]
fn options_of_sort_need_their_operands() {
    let parse = |options: &[&str]| {
        let args = words(&[&["SORT", "k"], options].concat());
        Options::parse(&args.as_args(), true, true).map(|options| options.unsorted)
    };
    assert_eq!(parse(&["BY", "x", "LIMIT", "0", "1", "get", "#", "STORE", "d"]), Ok(true));
    assert_eq!(parse(&["BY", "x*", "DESC", "alpha"]), Ok(false));
    for bad in [&["BY"][..], &["LIMIT", "1"], &["GET"], &["STORE"], &["huh"]] {
        assert_eq!(parse(bad), Err(CommandError::Syntax), "{bad:?}");
    }
    assert_eq!(parse(&["LIMIT", "a", "1"]), Err(CommandError::NotInteger));
    let args = words(&["SORT", "k", "STORE", "d"]);
    assert!(Options::parse(&args.as_args(), false, true).is_err());
}
