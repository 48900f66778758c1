//! Commands while the service runs: the same commands give the same output and the same exit codes.

use std::collections::BTreeSet;

use activation::{
    key::TypedKey,
    phone_text::{self, PhoneTextKind},
    status::Status,
};
use client::PublishingError;
use quorate_tests::{eventually, words};

use crate::house::{CATALOG, House, certificate, request};

fn refused(error: &PublishingError) -> Status {
    assert!(matches!(error, PublishingError::Refused(_)), "{error:?}");
    error.status()
}

#[tokio::test]
async fn commands_take_effect_at_once_while_it_serves() {
    let mut house = House::new().await;
    house.serve(&[]).await;
    let publishing = house.connect().await.unwrap();
    let key = house.key(1).await;
    let id = key.key_id().to_string();
    let first = publishing.activate(request(&key, 1)).await.unwrap();
    assert_eq!(refused(&publishing.activate(request(&key, 2)).await.unwrap_err()), Status::KEY_LIMIT_REACHED);

    house.json(&words!["key", "extend", &id, "--hosts", "2"]).await;
    publishing.activate(request(&key, 2)).await.unwrap();
    let shown = house.json(&words!["key", "show", &id]).await;
    assert_eq!((&shown["hosts"], &shown["hosts_used"]), (&2.into(), &2.into()));
    let machine = shown["activations"][1]["machine"].as_str().unwrap().to_owned();
    house.json(&words!["key", "free", &id, "--machine", machine]).await;
    publishing.activate(request(&key, 3)).await.unwrap();

    // The same request gets the same certificate offline and online.
    let [asked, answer] = ["request.bin", "answer.bin"].map(|name| house.path(name));
    std::fs::write(&asked, request(&key, 1)).unwrap();
    let activated = house.json(&words!["activate", "--request", &asked, "--out", &answer]).await;
    assert_eq!(activated["activated"][0]["node"], 1);
    let trust = house.trust();
    assert_eq!(certificate(&std::fs::read(&answer).unwrap(), &trust), certificate(&first, &trust));

    house.json(&words!["key", "block", &id]).await;
    assert_eq!(refused(&publishing.activate(request(&key, 1)).await.unwrap_err()), Status::KEY_BLOCKED);
    let blocked_offline = house.run(&words!["activate", "--request", &asked, "--out", &answer, "--force"]).await;
    assert_eq!(blocked_offline.code, Some(1));
    assert!(blocked_offline.stderr.contains("0xC004F051"), "{}", blocked_offline.stderr);

    // The next catalog blocks the key on every host.
    let newer = house.path("catalog.toml");
    let text = std::fs::read_to_string(CATALOG).unwrap();
    std::fs::write(&newer, text.replacen("serial = 1", "serial = 2", 1)).unwrap();
    let signed = house.path("newer.signed");
    assert_eq!(house.json(&words!["catalog", "sign", &newer, "--out", &signed]).await["serial"], 2);
    let catalog = house.trust().catalog.unwrap().catalog;
    assert!(catalog.blocked_keys().contains(&key.key_id()));
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test]
async fn a_command_says_the_same_and_ends_the_same_beside_a_service_and_without_one() {
    let mut house = House::new().await;
    let key: TypedKey = house.key(3).await;
    let id = key.key_id().to_string();
    let missing = house.path("missing.bin");
    let commands = [
        words!["key", "list"].to_vec(),
        words!["key", "show", &id].to_vec(),
        words!["key", "show", "0123456789abcdef"].to_vec(),
        words!["key", "show", "nonsense"].to_vec(),
        words!["key", "extend", &id, "--hosts", "2"].to_vec(),
        words!["key", "free", &id, "--machine", "0123456789abcdef"].to_vec(),
        words!["key", "issue", "--group", "toaster"].to_vec(),
        words!["direct-key", "issue", "--product", "toaster", "--activations", "1"].to_vec(),
        words!["direct-key", "list", "--json"].to_vec(),
        words!["activate", "--request", &missing, "--out", &missing].to_vec(),
    ];
    let mut alone = Vec::new();
    for command in &commands {
        let finished = house.run(command).await;
        alone.push((finished.code, finished.stdout, finished.stderr));
    }
    house.serve(&[]).await;
    for (command, alone) in commands.iter().zip(alone) {
        let finished = house.run(command).await;
        assert_eq!((finished.code, finished.stdout, finished.stderr), alone, "{command:?}");
    }
    let codes = [Some(0), Some(0), Some(2), Some(2), Some(2), Some(2), Some(2), Some(2), Some(0), Some(2)];
    for (command, code) in commands.iter().zip(codes) {
        assert_eq!(house.run(command).await.code, code, "{command:?}");
    }
}

#[tokio::test]
async fn a_backup_made_beside_the_service_restores_what_it_gave() {
    let mut house = House::new().await;
    let key = house.key(3).await;
    house.serve(&[]).await;
    let publishing = house.connect().await.unwrap();
    let given = publishing.activate(request(&key, 1)).await.unwrap();
    let backup = house.path("records.backup");
    house.json(&words!["backup", "--out", &backup]).await;
    let written = std::fs::read(&backup).unwrap();
    house.key(1).await;
    let again = house.run(&words!["backup", "--out", &backup]).await;
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    assert!(again.stderr.contains("exists already") && again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(std::fs::read(&backup).unwrap(), written, "it is left as it was");
    house.json(&words!["backup", "--out", &backup, "--force"]).await;
    assert_ne!(std::fs::read(&backup).unwrap(), written);

    let in_use = house.run(&words!["restore", &backup]).await;
    assert_eq!(in_use.code, Some(2), "{}", in_use.stderr);
    house.kill().await;
    let not_empty = house.run(&words!["restore", &backup]).await;
    assert_eq!(not_empty.code, Some(1), "{}", not_empty.stderr);
    std::fs::remove_dir_all(house.publisher().join("records")).unwrap();
    let missing = house.run(&words!["key", "list"]).await;
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    assert!(missing.stderr.contains("restore them from a backup"), "{}", missing.stderr);
    house.json(&words!["restore", &backup]).await;

    house.serve(&[]).await;
    let again = house.connect().await.unwrap().activate(request(&key, 1)).await.unwrap();
    let trust = house.trust();
    assert_eq!(certificate(&again, &trust), certificate(&given, &trust));
}

#[tokio::test]
async fn a_folder_is_served_once_and_commands_work_again_after_a_kill() {
    let mut house = House::new().await;
    house.serve(&[]).await;
    let second = house.run(&words!["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(second.code, Some(2), "{}", second.stderr);
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    house.kill().await;
    assert!(house.publisher().join("publisher.sock").exists(), "a kill leaves the socket behind");
    house.key(1).await;
    house.serve(&[]).await;
    house.key(1).await;
}

#[tokio::test]
async fn an_offline_request_is_typed_and_its_answer_read_out() {
    let house = House::new().await;
    let key = house.key(1).await;
    let [typed, answer] = ["request.txt", "answer.bin"].map(|name| house.path(name));
    std::fs::write(&typed, phone_text::write(PhoneTextKind::Requests, &request(&key, 1)).unwrap()).unwrap();
    let told = house.json(&words!["activate", "--request", &typed, "--out", "-", "--text"]).await;
    assert_eq!((&told["activated"][0]["node"], &told["answer"]), (&1.into(), &serde_json::Value::Null));
    let lines: Vec<_> = told["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let (of, read_out) = phone_text::read(&lines.join("\n")).unwrap();
    house.json(&words!["activate", "--request", &typed, "--out", &answer]).await;
    let trust = house.trust();
    let written = certificate(&std::fs::read(&answer).unwrap(), &trust);
    assert_eq!((of, certificate(&read_out, &trust)), (PhoneTextKind::Answers, written));

    let nowhere = house.run(&words!["activate", "--request", &typed, "--out", "-"]).await;
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
    let mistyped = std::fs::read_to_string(&typed).unwrap().replacen("1: ", "1: Z", 1);
    std::fs::write(&typed, mistyped).unwrap();
    let refused = house.run(&words!["activate", "--request", &typed, "--out", &answer, "--force"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let mixed_up = house.run(&words!["activate", "--request", &answer, "--out", "-", "--text"]).await;
    assert_eq!(mixed_up.code, Some(2), "{}", mixed_up.stderr);
    assert!(mixed_up.stderr.contains("quorate key activate --answer"), "{}", mixed_up.stderr);
}

#[tokio::test]
async fn what_is_there_already_is_replaced_with_force_alone_and_before_anything_is_spent() {
    let house = House::new().await;
    let key = house.key(1).await;
    let [asked, precious] = ["request.bin", "precious"].map(|name| house.path(name));
    std::fs::write(&asked, request(&key, 1)).unwrap();
    std::fs::write(&precious, "another file").unwrap();
    let commands = [
        words!["backup", "--out", &precious].to_vec(),
        words!["catalog", "sign", CATALOG, "--out", &precious].to_vec(),
        words!["activate", "--request", &asked, "--out", &precious].to_vec(),
    ];
    for command in &commands {
        let refused = house.run(command).await;
        assert_eq!(refused.code, Some(1), "{command:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("--force"), "{command:?}: {}", refused.stderr);
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "another file", "{command:?}");
    }
    let shown = house.json(&words!["key", "show", key.key_id().to_string()]).await;
    assert_eq!(shown["hosts_used"], 0, "nothing was activated for an answer that is not written");
    for command in commands {
        house.json(&[&command[..], &words!["--force"]].concat()).await;
        assert_ne!(std::fs::read(&precious).unwrap(), b"another file");
    }
}

#[tokio::test]
async fn commands_at_the_same_time_wait_for_each_other() {
    let house = House::new().await;
    let (one, two, three, four) = tokio::join!(house.key(1), house.key(1), house.key(1), house.key(1));
    let ids: BTreeSet<_> = [one, two, three, four].iter().map(TypedKey::key_id).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(house.json(&words!["key", "list"]).await["keys"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn with_a_passphrase_the_service_starts_only_with_it_and_does_not_lend_it_to_commands() {
    let mut house = House::new().await;
    let [right, wrong] = ["right", "wrong"].map(|name| {
        let path = house.path(name);
        std::fs::write(&path, format!("{name} passphrase\n")).unwrap();
        path
    });
    std::fs::rename(house.publisher(), house.path("without")).unwrap();
    house.json(&words!["init", "--passphrase-file", &right]).await;
    let signed = house.path("catalog.signed");
    let sign = words!["catalog", "sign", CATALOG, "--out", &signed, "--force"];
    let refused = house.run(&sign).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--passphrase-file"), "{}", refused.stderr);
    let with =
        |words: &[std::ffi::OsString], file: &std::path::Path| [words, &words!["--passphrase-file", file]].concat();
    house.json(&with(&sign, &right)).await;
    let key = house.key(1).await;

    for more in [words!["--log", "text"].to_vec(), words!["--passphrase-file", &wrong].to_vec()] {
        let words = [&words!["serve", "--listen", "127.0.0.1:0"][..], &more].concat();
        let refused = house.run(&words).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("passphrase"), "{}", refused.stderr);
    }
    house.serve(&words!["--passphrase-file", &right]).await;
    house.connect().await.unwrap().activate(request(&key, 1)).await.unwrap();
    let refused = house.run(&sign).await;
    assert_eq!(refused.code, Some(2), "the service signs certificates, not catalogs: {}", refused.stderr);
    let refused = house.run(&with(&sign, &wrong)).await;
    assert!(refused.stderr.contains("wrong passphrase"), "{}", refused.stderr);
    house.json(&with(&sign, &right)).await;
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_ends_in_order_under_load() {
    let mut house = House::new().await;
    let key = house.key(400).await;
    house.serve(&[]).await;
    let publishing = house.connect().await.unwrap();
    let asking = tokio::spawn(async move {
        let mut answered = 0;
        for node in 1..=400 {
            match publishing.activate(request(&key, node)).await {
                Ok(_) => answered += 1,
                // The service has ended, so the request got no refusal.
                Err(PublishingError::NotReached { .. } | PublishingError::Unavailable { .. }) => break,
                Err(other) => panic!("{other:?}"),
            }
        }
        answered
    });
    eventually("some nodes are activated", async || {
        let keys = house.json(&words!["key", "list"]).await;
        (keys["keys"][0]["hosts_used"].as_u64().unwrap() >= 5).then_some(())
    })
    .await;
    assert_eq!(house.stop().await, Some(0));
    let answered: u64 = asking.await.unwrap();
    let keys = house.json(&words!["key", "list"]).await;
    let on_record = keys["keys"][0]["hosts_used"].as_u64().unwrap();
    assert_eq!(answered, on_record, "what was decided was answered");
}
