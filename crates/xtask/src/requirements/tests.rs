//! Tests of what counts as naming a subject, and of the findings.

use super::*;

const DOCUMENT_TEXT: &str = "\
# Requirements
| R | behaviour | in Quorate |
|---|---|---|
| 1 | a `|` less text | |
| 10 | b |
text
| G | behaviour |
|---|---|
| 2 | forwards |

| event | meaning |
|---|---|
| 12290 | processed |

| code | when |
|---|---|
| 0xC004F038 | below |
| `0x80070005` | rights |

| what | where |
|---|---|
| 99 | not a requirement |
";

fn search() -> Search {
    Search::new(BTreeMap::from([("BELOW_THRESHOLD".to_owned(), 0xC004_F038)])).unwrap()
}

/// What the tests of a file name, as text.
fn named(text: &str) -> Vec<(String, Vec<String>)> {
    let found = search().file("a.rs", text);
    found
        .into_iter()
        .map(|(test, subjects)| {
            (format!("{} {}", test.name, test.place), subjects.iter().map(ToString::to_string).collect())
        })
        .collect()
}

fn judged(tests: &[(&str, Subject)]) -> Proof {
    let mut named = Named::new();
    for (name, subject) in tests {
        let test = Test { name: (*name).to_owned(), place: "a.rs:1".to_owned() };
        named.entry(*subject).or_default().insert(test);
    }
    let constants = BTreeMap::from([("BELOW".to_owned(), 0xC004_F038)]);
    judge(&Document::parse(DOCUMENT_TEXT), &named, &constants)
}

const ALL: &[(&str, Subject)] = &[
    ("r1_a", Subject::Requirement(1)),
    ("r10_a", Subject::Requirement(10)),
    ("a", Subject::Event(12290)),
    ("a", Subject::Code(0xC004_F038)),
    ("b", Subject::Code(0x8007_0005)),
];

#[test]
fn the_document_is_its_tables() {
    let document = Document::parse(DOCUMENT_TEXT);
    let subjects: Vec<_> = document.subjects.iter().map(ToString::to_string).collect();
    assert_eq!(subjects, ["R1", "R10", "G2", "event 12290", "0x80070005", "0xC004F038"]);
}

#[test]
fn a_test_names_things_in_its_name_its_comments_and_its_body() {
    let table: &[(&str, &[&str])] = &[
        ("#[test] fn r10_a_b() {}", &["R10"]),
        ("#[test] fn machine_r15_r23_x() {}", &["R15", "R23"]),
        ("#[tokio::test] async fn g3_x() {}", &["G3"]),
        ("#[test] fn c004f06c_is_refused() {}", &["0xC004F06C"]),
        ("#[test] fn event_12294_is_written() {}", &["event 12294"]),
        ("/// R7 and R8.\n#[test]\nfn x() {}", &["R7", "R8"]),
        ("// R7 above\n#[test]\nfn x() {}", &["R7"]),
        ("#[test]\nfn x() {\n    // As R5 says.\n}", &["R5"]),
        ("#[test] fn x() { assert_eq!(y, \"R5\") }", &[]),
        ("#[test] fn x() { assert_eq!(id, 12290); z(12345) }", &["event 12290"]),
        ("#[test] fn x() { y(\"0xC004F038\", 0x8007_0005) }", &["0x80070005", "0xC004F038"]),
        ("#[test] fn x() { y(Status::BELOW_THRESHOLD, Status::words) }", &["0xC004F038"]),
        ("fn r10_no_test() {}", &[]),
        ("mod tests { #[test] fn r10_x() {} }", &["R10"]),
        ("proptest! { #![config(x)] /// R9\n #[test] fn r10_x(a in 0..1) { y() } }", &["R9", "R10"]),
        ("#[test] fn rr_r_r1a_records() {}", &[]),
    ];
    for (text, expected) in table {
        let found: Vec<_> = named(text).into_iter().flat_map(|(_, subjects)| subjects).collect();
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn each_test_has_its_own_lines() {
    let text = "// R1\nuse x;\n\n/// R2\n#[test]\nfn a() {\n    y(); // R3\n}\n\n#[test]\nfn b() {} // R4\n\n// R5\n";
    let expected = [("a a.rs:4".to_owned(), vec!["R2".to_owned(), "R3".to_owned()])];
    assert_eq!(named(text)[..1], expected);
    assert_eq!(named(text)[1].0, "b a.rs:10");
}

#[test]
fn what_is_all_named_is_counted() {
    let proof = judged(ALL);
    assert_eq!(proof.findings, []);
    assert_eq!(proof.figure, "requirements 2/2 R, 1/1 events, codes 2/2");
    assert_eq!(proof.gateway, "gateway 0/1 G, planned");
    assert!(proof.table.contains("r10_a (a.rs:1)"), "{}", proof.table);
}

#[test]
fn what_is_missing_or_unknown_is_found() {
    let what = |tests: &[(&str, Subject)]| -> Vec<String> {
        judged(tests).findings.into_iter().map(|finding| finding.what).collect()
    };
    assert_eq!(what(&ALL[1..]), ["no test names R1"]);
    assert_eq!(judged(&ALL[1..]).figure, "requirements 1/2 R, 1/1 events, codes 2/2");
    let more = |test, subject| what(&[ALL, &[(test, subject)]].concat());
    assert_eq!(more("r77_x", Subject::Requirement(77)), [format!("`r77_x` names R77, which {DOCUMENT} does not have")]);
    assert_eq!(more("g1_x", Subject::Gateway(1)).len(), 1);
    assert_eq!(more("g2_x", Subject::Gateway(2)).len(), 0);
    assert_eq!(more("x", Subject::Event(12295)).len(), 1);
    assert_eq!(more("x", Subject::Code(0xC004_F111)).len(), 1);
    assert_eq!(more("x", Subject::Code(0x8007_2339)).len(), 0, "one of Windows'");
}

#[test]
fn a_status_that_the_document_does_not_list_is_found() {
    let text = "    OK = 0,\n    BELOW = 0xC004_F038,\n    NEW = 0xC004_F111,\n";
    let constants = constants(text).unwrap();
    assert_eq!(constants.len(), 2);
    let found: Vec<_> = undocumented(&Document::parse(DOCUMENT_TEXT), &constants).map(|finding| finding.what).collect();
    assert_eq!(found, [format!("`NEW` is 0xC004F111, which {DOCUMENT} does not have")]);
}
