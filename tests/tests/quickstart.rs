//! The commands in the documents do what the documents say.

use std::path::Path;

use quorate_tests::{
    Quorate,
    document::{Block, Reader, blocks, missing},
};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the commands build Quorate; the tests have built it already, so they are skipped.
fn builds(commands: &str) -> bool {
    commands.lines().all(|line| line.starts_with("cargo ") || line.starts_with('#') || line.trim().is_empty())
}

/// Runs all commands of a document in order, checks their output, and returns how many blocks were typed.
async fn follow(document: &str) -> usize {
    let blocks = blocks(&read(document));
    let mut reader = Reader::new(&Quorate::at(QUORATE)).await;
    // A text block that follows no commands is an illustration.
    let mut printed = None;
    let mut followed = 0;
    for block in blocks {
        match block {
            Block::Commands(commands) if builds(&commands) => printed = None,
            Block::Commands(commands) => {
                let (output, code) = reader.run(&commands).await;
                let said = reader.said();
                assert_eq!(code, 0, "{document}:\n{commands}\nprinted:\n{output}\nin the background:\n{said}");
                printed = Some(output);
                followed += 1;
            }
            Block::Background(commands) => reader.start(&commands).await,
            Block::Output(expected) => {
                let Some(printed) = &printed else { continue };
                let missed = missing(&expected, printed);
                assert_eq!(missed, None, "{document}: expected\n{expected}\nprinted\n{printed}");
            }
        }
    }
    followed
}

#[tokio::test]
async fn the_quickstart_does_what_it_says() {
    assert!(follow("docs/quickstart.md").await > 0, "a quickstart has commands");
}

#[tokio::test]
async fn the_guide_for_publishers_does_what_it_says() {
    assert!(follow("docs/publisher.md").await > 0, "a guide has commands");
}

#[tokio::test]
async fn the_guide_to_dns_does_what_it_says() {
    assert!(follow("docs/dns.md").await > 0, "a guide has commands");
}

#[tokio::test]
async fn the_guide_to_client_machines_does_what_it_says() {
    assert!(follow("docs/client.md").await > 0, "a guide has commands");
}

#[tokio::test]
async fn the_guide_to_operations_does_what_it_says() {
    assert!(follow("docs/operations.md").await > 0, "a guide has commands");
}

#[tokio::test]
async fn the_guide_to_observability_does_what_it_says() {
    assert!(follow("docs/observability.md").await > 0, "a guide has commands");
}

#[tokio::test]
async fn the_readme_promises_nothing_that_fails() {
    follow("README.md").await;
}
