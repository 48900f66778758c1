//! What a program says of itself.

use quorate_tests::Quorate;

use crate::QUORATE;

#[tokio::test]
async fn version_names_commit_time_and_formats_for_people_and_for_scripts() {
    let quorate = Quorate::at(QUORATE);
    let version = quorate.json(["version"]).await;
    let keys: Vec<_> = version.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["built", "commit", "formats", "version"]);
    let commit = version["commit"].as_str().unwrap();
    let is_commit = commit.len() == 40 && commit.chars().all(|digit| digit.is_ascii_hexdigit());
    // Built from an archive there is none to name.
    assert!(is_commit || commit == "unknown", "{commit}");
    let formats: Vec<_> =
        version["formats"].as_array().unwrap().iter().map(|format| format.as_u64().unwrap()).collect();
    assert!(!formats.is_empty() && formats.is_sorted_by(|one, next| one + 1 == *next), "{formats:?}");
    assert!(version["built"].as_str().unwrap().ends_with('Z'), "{version}");
    let text = quorate.run(["version"]).await;
    assert!(text.stdout.contains(commit) && text.stdout.starts_with("quorate "), "{}", text.stdout);
}
