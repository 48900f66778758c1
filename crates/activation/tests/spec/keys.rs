//! Typed keys: typing errors are detected.

use activation::key::{KeyError, KeyKind, SymbolError, TypedKey};
use proptest::prelude::*;

fn any_key() -> impl Strategy<Value = TypedKey> {
    let kind = prop_oneof![Just(KeyKind::Host), Just(KeyKind::Setup), Just(KeyKind::Direct)];
    (kind, 0..=28u8, any::<[u8; 16]>()).prop_map(|(kind, hint, entropy)| TypedKey::generate(kind, hint, entropy))
}

const ALPHABET: &str = "23456789ABCDEFGHJKMNPQRTVWXYZ";

/// The positions of the symbols in the displayed text, without the hyphens.
fn symbol_places() -> Vec<usize> {
    (0..29).filter(|place| place % 6 != 5).collect()
}

/// The groups that the refusal of a mistyped key names.
fn doubtful(typed: &[char]) -> Vec<usize> {
    match typed.iter().collect::<String>().parse::<TypedKey>() {
        Err(KeyError::Symbols(SymbolError::Check { doubtful })) => doubtful.groups().collect(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_key_survives_showing_and_typing(kind_hint_entropy in any_key(), spaced in any::<bool>()) {
        let key = kind_hint_entropy;
        let shown = key.to_string();
        let typed = if spaced { shown.replace('-', " ").to_lowercase() } else { shown.replace('-', "") };
        let again: TypedKey = typed.parse().unwrap();
        prop_assert_eq!(again, key);
        prop_assert_eq!((again.kind(), again.group_hint(), again.key_id()), (key.kind(), key.group_hint(), key.key_id()));
    }

    #[test]
    fn every_single_wrong_symbol_is_refused_and_its_group_is_named(key in any_key(), at in 0..25usize, by in 0..29usize) {
        let mut text: Vec<char> = key.to_string().chars().collect();
        let place = symbol_places()[at];
        let wrong = ALPHABET.chars().nth(by).unwrap();
        prop_assume!(text[place] != wrong);
        text[place] = wrong;
        prop_assert_eq!(doubtful(&text), vec![at / 5 + 1]);
    }

    #[test]
    fn every_swap_of_neighbours_is_refused_and_its_group_is_named(key in any_key(), first in 0..24usize) {
        let mut text: Vec<char> = key.to_string().chars().collect();
        let places = symbol_places();
        prop_assume!(text[places[first]] != text[places[first + 1]]);
        text.swap(places[first], places[first + 1]);
        let groups = doubtful(&text);
        prop_assert!(groups.contains(&(first / 5 + 1)) && groups.contains(&((first + 1) / 5 + 1)), "{groups:?}");
    }

    #[test]
    fn every_swap_of_two_symbols_is_refused(key in any_key(), first in 0..25usize, second in 0..25usize) {
        let mut text: Vec<char> = key.to_string().chars().collect();
        let (first, second) = (symbol_places()[first], symbol_places()[second]);
        prop_assume!(text[first] != text[second]);
        text.swap(first, second);
        prop_assert!(text.into_iter().collect::<String>().parse::<TypedKey>().is_err());
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,200}") {
        let _ = text.parse::<TypedKey>();
    }
}

#[test]
fn kind_and_group_hint_are_written_into_the_key() {
    for kind in [KeyKind::Host, KeyKind::Setup, KeyKind::Direct] {
        for hint in 0..=28 {
            let key = TypedKey::generate(kind, hint, [hint; 16]);
            assert_eq!((key.kind(), key.group_hint()), (kind, hint));
        }
    }
}

#[test]
fn different_entropy_gives_different_keys() {
    let ids: std::collections::BTreeSet<_> =
        (0..=255).map(|byte| TypedKey::generate(KeyKind::Host, 1, [byte; 16]).key_id()).collect();
    assert_eq!(ids.len(), 256);
}

#[test]
fn a_refusal_names_the_doubtful_group() {
    let key = TypedKey::generate(KeyKind::Host, 3, [5; 16]).to_string();
    let with = |place: usize, wrong: char| {
        let mut text: Vec<char> = key.chars().collect();
        text[place] = wrong;
        text.into_iter().collect::<String>()
    };
    let refused = |text: &str| text.parse::<TypedKey>().unwrap_err().to_string();
    let missing_in_group_4 = format!("{}{}", &key[..19], &key[20..]);
    let swapped: String = {
        let mut text: Vec<char> = key.chars().collect();
        text.swap(13, 14);
        text.into_iter().collect()
    };
    let cases = [
        (String::new(), "expected 25 characters in five groups, but found 0; check all groups"),
        (key[..28].to_owned(), "expected 25 characters in five groups, but found 24; check group 5"),
        (missing_in_group_4, "expected 25 characters in five groups, but found 24; check group 4"),
        (key[..28].replace('-', ""), "expected 25 characters in five groups, but found 24; check all groups"),
        (format!("{key}A"), "expected 25 characters in five groups, but found 26; check group 5"),
        (with(0, '0'), "character 1 of group 1 is not valid: "),
        (with(10, 'I'), "character 5 of group 2 is not valid: "),
        (with(28, 'ä'), "character 5 of group 5 is not valid: "),
        (
            with(8, if key.as_bytes()[8] == b'7' { 'K' } else { '7' }),
            "mistyped: the check characters do not match; check group 2",
        ),
        (swapped, "mistyped: the check characters do not match; check group"),
    ];
    for (text, words) in cases {
        let refused = refused(&text);
        assert!(refused.starts_with(&format!("the key is not valid: {words}")), "{text}: {refused}");
    }
}

#[test]
fn what_is_no_kind_of_key_is_refused_also_where_its_check_symbols_fit() {
    let line = activation::phone_text::write(activation::phone_text::PhoneTextKind::Answers, b"").unwrap();
    assert_eq!(line.split(": ").nth(1).unwrap().parse::<TypedKey>(), Err(KeyError::Kind));
}

#[test]
fn debug_and_masked_show_only_the_last_group() {
    let key = TypedKey::generate(KeyKind::Host, 3, [5; 16]);
    let (shown, last) = (key.to_string(), &key.to_string()[24..]);
    assert_eq!(key.masked(), format!("*****-*****-*****-*****-{last}"));
    for secret in shown.split('-').take(4) {
        assert!(!format!("{key:?}").contains(secret));
    }
}
