//! Typed keys: what a person may get wrong is found out.

use activation::key::{KeyError, KeyKind, TypedKey};
use proptest::prelude::*;

fn any_key() -> impl Strategy<Value = TypedKey> {
    let kind = prop_oneof![Just(KeyKind::Host), Just(KeyKind::Setup), Just(KeyKind::Direct)];
    (kind, 0..=28u8, any::<[u8; 16]>()).prop_map(|(kind, hint, entropy)| TypedKey::generate(kind, hint, entropy))
}

const ALPHABET: &str = "23456789ABCDEFGHJKMNPQRTVWXYZ";

/// Where the symbols stand in the shown text, without the hyphens.
fn symbol_places() -> Vec<usize> {
    (0..29).filter(|place| place % 6 != 5).collect()
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
    fn every_single_wrong_symbol_is_refused(key in any_key(), at in 0..25usize, by in 0..29usize) {
        let mut text: Vec<char> = key.to_string().chars().collect();
        let place = symbol_places()[at];
        let wrong = ALPHABET.chars().nth(by).unwrap();
        prop_assume!(text[place] != wrong);
        text[place] = wrong;
        prop_assert!(text.into_iter().collect::<String>().parse::<TypedKey>().is_err());
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
fn a_refusal_names_the_doubtful_place() {
    let key = TypedKey::generate(KeyKind::Host, 3, [5; 16]).to_string();
    let with = |place: usize, wrong: char| {
        let mut text: Vec<char> = key.chars().collect();
        text[place] = wrong;
        text.into_iter().collect::<String>()
    };
    let cases = [
        (String::new(), KeyError::Length { symbols: 0 }),
        (key[..28].to_owned(), KeyError::Length { symbols: 24 }),
        (format!("{key}A"), KeyError::Length { symbols: 26 }),
        (with(0, '0'), KeyError::Symbol { group: 1, place: 1 }),
        (with(10, 'I'), KeyError::Symbol { group: 2, place: 5 }),
        (with(28, 'ä'), KeyError::Symbol { group: 5, place: 5 }),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<TypedKey>(), Err(error), "{text}");
    }
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
