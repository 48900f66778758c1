//! Files as text that is read out and typed (R30).

use activation::key::{SymbolError, TypedKey};
use activation::phone_text::{PHONE_TEXT_BYTES_MAX, PhoneTextError, PhoneTextKind, lines, read, write};
use proptest::prelude::*;

fn any_file() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..=40), proptest::collection::vec(any::<u8>(), 0..=2000)]
}

fn any_kind() -> impl Strategy<Value = PhoneTextKind> {
    prop_oneof![Just(PhoneTextKind::Requests), Just(PhoneTextKind::Answers)]
}

proptest! {
    #[test]
    fn a_file_survives_being_read_out_in_any_order_with_lines_repeated(
        kind in any_kind(), file in any_file(), numbered in any::<bool>(), seed in any::<u64>()
    ) {
        let mut typed = lines(kind, &file).unwrap();
        let repeated = typed[typed.len() / 2].clone();
        typed.push(repeated);
        let turn = usize::try_from(seed % typed.len() as u64).unwrap();
        typed.rotate_left(turn);
        if !numbered {
            typed = typed.iter().map(|line| line.split(": ").nth(1).unwrap().to_lowercase().replace('-', " ")).collect();
        }
        prop_assert_eq!(read(&typed.join("\n\n")).unwrap(), (kind, file));
    }

    #[test]
    fn a_wrong_symbol_is_found_in_its_line_and_group(file in any_file(), line in any::<usize>(), at in 0..25usize) {
        let mut typed = lines(PhoneTextKind::Requests, &file).unwrap();
        let line = line % typed.len();
        let (number, symbols) = typed[line].split_once(": ").unwrap();
        let mut symbols: Vec<char> = symbols.chars().collect();
        let place = at + at / 5;
        symbols[place] = if symbols[place] == '7' { 'K' } else { '7' };
        typed[line] = format!("{number}: {}", symbols.into_iter().collect::<String>());
        let found = read(&typed.join("\n"));
        let Err(PhoneTextError::Line { line: named, error: SymbolError::Check { doubtful } }) = found else {
            panic!("{found:?}");
        };
        prop_assert_eq!((named, doubtful.groups().collect::<Vec<_>>()), (line + 1, vec![at / 5 + 1]));
    }

    #[test]
    fn a_missing_line_is_named_or_makes_the_rest_no_file(file in any_file(), line in any::<usize>()) {
        let mut typed = lines(PhoneTextKind::Answers, &file).unwrap();
        let line = line % typed.len();
        typed.remove(line);
        let found = read(&typed.join("\n"));
        prop_assert!(
            matches!(found, Err(PhoneTextError::Missing { line: named }) if named == line + 1)
                || matches!(found, Err(PhoneTextError::Empty)) && typed.is_empty(),
            "{found:?}"
        );
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,400}") {
        let _ = read(&text);
    }
}

#[test]
fn lines_of_two_files_are_not_mixed() {
    let one = lines(PhoneTextKind::Requests, &[1; 30]).unwrap();
    let two = lines(PhoneTextKind::Requests, &[2; 30]).unwrap();
    let answer = lines(PhoneTextKind::Answers, &[1; 30]).unwrap();
    let mixed = [one[0].as_str(), &two[0]].join("\n");
    assert_eq!(read(&mixed), Err(PhoneTextError::Mixed { line: 2 }));
    let mixed = [one[0].as_str(), &answer[1]].join("\n");
    assert_eq!(read(&mixed), Err(PhoneTextError::Mixed { line: 2 }));
    let swapped = [one[0].as_str(), &two[1], &one[2]].join("\n");
    assert_eq!(read(&swapped), Err(PhoneTextError::Digest));
}

#[test]
fn a_key_is_no_line_and_a_line_is_no_key() {
    let key = super::world::host_key(1).to_string();
    assert_eq!(read(&key), Err(PhoneTextError::Kind { line: 1 }));
    let text = write(PhoneTextKind::Requests, b"file").unwrap();
    assert!(text.split(": ").nth(1).unwrap().parse::<TypedKey>().is_err());
}

#[test]
fn what_cannot_be_numbered_is_not_read_out() {
    let longest = vec![9; PHONE_TEXT_BYTES_MAX];
    assert_eq!(read(&write(PhoneTextKind::Answers, &longest).unwrap()), Ok((PhoneTextKind::Answers, longest)));
    assert_eq!(write(PhoneTextKind::Answers, &[0; PHONE_TEXT_BYTES_MAX + 1]), Err(PhoneTextError::TooLong));
    assert_eq!(read(""), Err(PhoneTextError::Empty));
}
