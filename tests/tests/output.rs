//! What the command line prints where nothing can be written, and what shells and `man` get from it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs::OpenOptions, process::Stdio};

use tokio::process::Command;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

#[tokio::test]
async fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    for arguments in [&["version"][..], &["version", "--json"], &["completion", "bash"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let command = Command::new(QUORATE).args(arguments).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let ended = command.wait_with_output().await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("standard output could not be written: No space left on device"),
            "{arguments:?}: {said}"
        );
    }
    let script = format!("set -o pipefail; {QUORATE} completion bash | true; {QUORATE} version | head -n 1");
    let ended = Command::new("bash").args(["-c", &script]).output().await.unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

#[tokio::test]
async fn shells_accept_their_completion_scripts_and_every_command_has_a_manual_page() {
    let script =
        format!("{QUORATE} completion bash | bash -n && {QUORATE} completion fish | grep -q 'complete -c quorate'");
    let ended = Command::new("bash").args(["-c", &format!("set -o pipefail; {script}")]).output().await.unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
    let completed = "source <(\"$0\" completion bash); COMP_WORDS=(quorate ver); COMP_CWORD=1; \
                     _quorate quorate ver quorate; echo \"${COMPREPLY[@]}\"";
    let ended = Command::new("bash").args(["-c", completed, QUORATE]).output().await.unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap().trim(), "version", "{:?}", ended.stderr);

    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ended = Command::new(QUORATE).arg("manual").arg(&pages).output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for page in ["quorate.1", "quorate-host-run.1", "quorate-cluster-status.1", "quorate-publisher-key-issue.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH quorate"), "{page}: {text}");
    }
}
