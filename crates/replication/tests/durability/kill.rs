use crate::writer::{Barrier, Writer, check};

/// Killing the process leaves the operating system's cache, so this shows that sled recovers, not that the barrier is
/// there: the other tests of this file's neighbours do.
#[test]
fn machine_thirty_kills_of_one_store_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut acknowledged = Vec::new();
    for round in 0..30 {
        let mut writer = Writer::start(&data, Barrier::InPlace);
        writer.wait_for(20 + 53 * (round % 7));
        acknowledged.extend(writer.kill());
        let lost = check(&data, &acknowledged, folder.path());
        assert_eq!(lost, Ok(()), "after kill {round}, of {} acknowledged", acknowledged.len());
    }
}

#[test]
fn the_checker_notices_an_activation_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut writer = Writer::start(&data, Barrier::InPlace);
    writer.wait_for(10);
    let acknowledged = writer.kill();
    assert_eq!(check(&data, &acknowledged, folder.path()), Ok(()));
    let words: Vec<_> = acknowledged[5].split(' ').collect();
    let wrong = [
        format!("{} {} 00000000-0000-0000-0000-0000000000ff\n", words[0], words[1]),
        format!("{} 1023 {}", words[0], words[2]),
        format!("1000000 {} {}", words[1], words[2]),
    ];
    for line in wrong {
        assert!(check(&data, std::slice::from_ref(&line), folder.path()).is_err(), "{line}");
    }
}
