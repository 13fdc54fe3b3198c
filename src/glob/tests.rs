use super::*;

fn hit(pattern: &str, text: &str) -> bool {
    matches(pattern.as_bytes(), text.as_bytes(), false)
}

#[test]
fn plain_stars_and_question_marks() {
    assert!(hit("hello", "hello"));
    assert!(!hit("hello", "hell"));
    assert!(!hit("hell", "hello"));
    assert!(hit("h?llo", "hxllo"));
    assert!(!hit("h?llo", "hllo"));
    assert!(hit("h*llo", "heeeello"));
    assert!(hit("*lo*", "hello"));
    assert!(hit("*", "anything"));
    assert!(hit("a*b*c", "a-b-b-c"));
    assert!(!hit("a*b*c", "a-b-b-"));
    assert!(hit("hello***", "hello"));
}

#[test]
fn empty_text() {
    assert!(hit("", ""));
    assert!(hit("*", ""));
    assert!(!hit("**", ""));
    assert!(!hit("?", ""));
    assert!(!hit("", "a"));
}

#[test]
fn classes() {
    assert!(hit("h[ae]llo", "hallo"));
    assert!(!hit("h[ae]llo", "hillo"));
    assert!(hit("h[^e]llo", "hallo"));
    assert!(!hit("h[^e]llo", "hello"));
    assert!(hit("h[a-c]llo", "hbllo"));
    assert!(hit("h[c-a]llo", "hbllo"));
    assert!(hit(r"[\]]", "]"));
    assert!(hit("[]a", "a") == hit("[]a", "]"), "an empty class matches nothing");
    assert!(!hit("[]a", "a"));
    assert!(hit("[^]a", "xa"));
}

#[test]
fn unclosed_classes_reach_to_the_end() {
    assert!(hit("[abc", "b"));
    assert!(!hit("[", "["));
    assert!(hit("[^", "x"));
    // The range takes the bracket, so the class does not end there.
    assert!(hit("[a-]", "]"));
    assert!(hit("[a-]", "a"));
    assert!(!hit("[a-]", "-"));
}

#[test]
fn escapes() {
    assert!(hit(r"\*", "*"));
    assert!(!hit(r"\*", "x"));
    assert!(hit(r"a\", r"a\"));
    assert!(hit(r"\\a", r"\a"));
}

#[test]
fn bytes_above_127_are_negative_in_ranges() {
    assert!(matches(b"[\x80-\xff]", b"\xe9", false));
    assert!(!matches(b"[a-\xff]", b"\xe9", false));
    assert!(!matches(b"[a-\xff]", b"x", false));
    assert!(!matches(b"[\x00-\xff]", b"x", false));
}

#[test]
fn case_is_ignored_on_request() {
    assert!(matches(b"MaxMem*", b"maxmemory", true));
    assert!(!matches(b"MaxMem*", b"maxmemory", false));
    assert!(matches(b"[A-C]", b"b", true));
    assert!(!matches(br"[\A]", b"a", true));
}

#[test]
fn hostile_patterns_cost_little() {
    let pattern = [b"a*".repeat(900), b"b".to_vec()].concat();
    let text = vec![b'a'; 20_000];
    assert!(!matches(&pattern, &text, false));
    let pattern = b"*a".repeat(1001);
    assert!(!matches(&pattern, &text, false), "as Redis gives up on it");
    assert!(matches(&b"*a".repeat(1000), &text, false));
}

/// The obvious definition, exponential.
fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skip| by_definition(rest, &text[skip..])),
        _ => match text {
            [] => false,
            [byte, text @ ..] => match step(pattern, 0, *byte, false) {
                Some(next) => by_definition(&pattern[next..], text),
                None => false,
            },
        },
    }
}

proptest::proptest! {
    #[test]
    fn equals_the_definition(pattern in r"[ab*?\[\]\\^-]{0,10}", text in "[ab-]{1,8}") {
        let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
        proptest::prop_assert_eq!(matches(pattern, text, false), by_definition(pattern, text));
    }

    #[test]
    fn never_panics(
        pattern in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        text in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        nocase in proptest::bool::ANY,
    ) {
        matches(&pattern, &text, nocase);
    }
}
