//! Identifiers: derived, shown and parsed.

use activation::id::{Cmid, Fingerprint, KeyId, MachineName, ProductId, PublisherId, node_id};
use activation::status::Status;

use super::world::*;

#[test]
fn ids_are_derived_from_root_key_and_name() {
    let (first, second) = (Publisher::new(1).id(), Publisher::new(2).id());
    assert_ne!(first, second);
    assert_ne!(ProductId::derive(first, CLIENT), ProductId::derive(first, SERVER));
    assert_ne!(ProductId::derive(first, CLIENT), ProductId::derive(second, CLIENT));
}

#[test]
fn hexadecimal_ids_are_shown_in_lower_case_and_parsed_in_any() {
    let id: KeyId = "00112233AABBCCff".parse().unwrap();
    assert_eq!(id.to_string(), "00112233aabbccff");
    for wrong in ["", "00112233aabbccf", "00112233aabbccff0", "00112233aabbccfg", "00112233 abbccff"] {
        assert!(wrong.parse::<KeyId>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_cmid_is_shown_as_a_hyphenated_uuid() {
    let text = "3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d";
    for form in [text, "3a5b7c9d1e2f4a6b8c7d9e0f1a2b3c4d", "{3A5B7C9D-1E2F-4A6B-8C7D-9E0F1A2B3C4D}"] {
        assert_eq!(form.parse::<Cmid>().unwrap().to_string(), text);
    }
    assert!("3a5b7c9d".parse::<Cmid>().is_err());
}

#[test]
fn a_fingerprint_is_shown_in_groups_and_parsed_with_any_separators() {
    let publisher = PublisherId([0xab; 16]);
    let shown = Fingerprint(publisher).to_string();
    assert_eq!(shown, "abab-abab-abab-abab-abab-abab-abab-abab");
    for form in
        [shown.clone(), shown.replace('-', ":"), shown.replace('-', " "), publisher.to_string(), shown.to_uppercase()]
    {
        assert_eq!(form.parse::<Fingerprint>().unwrap().0, publisher, "{form}");
    }
    assert!("abab-abab".parse::<Fingerprint>().is_err());
}

#[test]
fn a_machine_name_has_1_to_63_bytes_of_letters_digits_and_three_marks() {
    let longest = "x".repeat(63);
    for right in ["a", "PC-01", "web_1.example.test", "büro-7", "机器1", longest.as_str()] {
        assert_eq!(right.parse::<MachineName>().unwrap().as_str(), right);
    }
    let too_long = "x".repeat(64);
    let too_many_bytes = "ü".repeat(32);
    let wrong =
        ["", " ", "a b", "a\nb", "a\u{1b}[31m", "a/b", "a\u{202e}b", "a\0", too_long.as_str(), too_many_bytes.as_str()];
    for wrong in wrong {
        assert!(wrong.parse::<MachineName>().is_err(), "{wrong:?}");
    }
    for not_text in [&b"\xff"[..], b"a\xc3"] {
        assert!(MachineName::try_from(not_text).is_err(), "{not_text:?}");
    }
}

#[test]
fn a_node_id_is_1_to_65535() {
    for (number, valid) in [(0, false), (1, true), (65_535, true), (65_536, false), (u64::MAX, false)] {
        assert_eq!(node_id(number).is_ok(), valid, "{number}");
    }
}

#[test]
fn a_status_is_shown_as_administrators_know_it_with_words_and_advice() {
    assert_eq!(Status::BELOW_THRESHOLD.to_string(), "0xC004F038");
    assert_eq!(Status::OK.to_string(), "0x00000000");
    for (index, status) in Status::ALL.iter().enumerate() {
        assert!(status.words().ends_with('.') && status.advice().ends_with('.'), "{status}");
        assert!(!Status::ALL[..index].contains(status), "{status} is listed twice");
    }
    assert!(Status(0x1234).words().contains("does not know"));
}
