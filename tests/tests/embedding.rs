//! Programs in Rust and in C that embed the client: compiled and linked as their publisher would do it, and run
//! against a real host.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use quorate_tests::{CLibrary, Cluster, Finished, Plan, Quorate, TIMEOUT, c_library, words};
use serde_json::json;
use tokio::{process::Command, time::timeout};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const RUST_EXAMPLE: &str = env!("CARGO_BIN_EXE_editor-under-test");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/client-c/examples/editor.c");
const HEADERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/client-c/include");
const PRODUCT: &str = "server-standard-2";
/// A setup key of that product, in the example catalog; its threshold is 5.
const SETUP_KEY: &str = "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";
/// Compiler flags under which every warning is an error.
const STRICT: [&str; 5] = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// A host, and a folder for compiled programs.
struct World {
    cluster: Cluster,
}

impl World {
    /// A world in which this many other machines have asked already.
    async fn with(machines: u64) -> Self {
        let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
        let product = cluster.product(PRODUCT);
        for machine in 1..=machines {
            product.count(cluster.node(1).clients, machine).await;
        }
        Self { cluster }
    }

    fn trust(&self) -> PathBuf {
        self.cluster.path("publisher").join("trust.toml")
    }

    fn state(&self) -> PathBuf {
        self.cluster.path("machine")
    }

    /// Compiles the example with `flags`, and links it with the library.
    async fn editor(&self, form: CLibrary, flags: &[&str]) -> PathBuf {
        let editor = self.cluster.path("editor");
        let mut command = Command::new("cc");
        command.args(STRICT).args(flags).args(["-I", HEADERS, "-o"]).arg(&editor).arg(EXAMPLE);
        command.arg(c_library(form));
        match form {
            CLibrary::Shared => command.arg(joined("-Wl,-rpath,", c_library(form).parent().unwrap())),
            CLibrary::Static => command.args(["-lpthread", "-ldl", "-lm"]),
        };
        if form == CLibrary::Static && cfg!(feature = "gss-tsig") {
            // The library was built with all features of the workspace's tests, so it needs this library too.
            command.arg("-lgssapi_krb5");
        }
        let compiled = run(&mut command).await;
        assert_eq!((compiled.code, compiled.stderr.as_str()), (Some(0), ""), "{command:?}");
        editor
    }

    async fn run(&self, editor: &Path) -> Finished {
        let host = self.cluster.node(1).clients.to_string();
        run(Command::new(editor).arg(self.state()).arg(self.trust()).args([SETUP_KEY, &host])).await
    }
}

fn joined(flag: &str, path: &Path) -> OsString {
    let mut word = OsString::from(flag);
    word.push(path);
    word
}

async fn run(command: &mut Command) -> Finished {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(TIMEOUT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Finished { code: output.status.code(), stdout, stderr }
}

#[tokio::test]
async fn a_program_activates_its_machine_and_stays_activated_without_a_host() {
    let mut world = World::with(3).await;
    let editor = Path::new(RUST_EXAMPLE);
    let below = world.run(editor).await;
    assert_eq!(
        (below.code, below.stdout.as_str()),
        (Some(1), "server-standard-2: oob_grace, 30 days left\n"),
        "{below:?}"
    );
    world.cluster.product(PRODUCT).count(world.cluster.node(1).clients, 9).await;
    let licensed = world.run(editor).await;
    let expected = (Some(0), "server-standard-2: licensed, 180 days left\n", "");
    assert_eq!((licensed.code, licensed.stdout.as_str(), licensed.stderr.as_str()), expected);
    world.cluster.kill(1).await;
    let alone = world.run(editor).await;
    assert_eq!((alone.code, alone.stdout.as_str(), alone.stderr.as_str()), expected);
}

#[tokio::test]
async fn a_c_program_activates_its_machine_and_shares_the_folder_with_the_commands() {
    let mut world = World::with(4).await;
    let editor = world.editor(CLibrary::Shared, &[]).await;
    let first = world.run(&editor).await;
    assert_eq!(first.code, Some(0), "{}{}", first.stdout, first.stderr);
    assert!(first.stdout.starts_with("server-standard-2 is licensed, 180 days left, asks again in 1"), "{first:?}");

    let quorate = Quorate::at(QUORATE);
    let status = words!["client", "status", "--state", world.state(), "--trust", world.trust()];
    let status = quorate.json(status).await;
    assert_eq!((&status["state"], &status["last_status"]), (&json!("licensed"), &json!("0x00000000")));
    assert_eq!((&status["product"], &status["found_by"]), (&json!(PRODUCT), &json!("fixed")));

    // The machine needs no host for the rest of the 180 days, and installing the same key again changes nothing.
    world.cluster.kill(1).await;
    let later = world.run(&editor).await;
    assert_eq!((later.code, later.stderr.as_str()), (Some(0), ""), "{}", later.stdout);
    assert!(later.stdout.starts_with("server-standard-2 is licensed, 180 days left"), "{later:?}");
}

#[tokio::test]
async fn a_c_program_is_told_why_it_is_not_activated() {
    let mut world = World::with(0).await;
    let editor = world.editor(CLibrary::Shared, &[]).await;
    let below = world.run(&editor).await;
    assert_eq!(below.code, Some(1), "{below:?}");
    assert!(below.stdout.starts_with("server-standard-2 is not activated yet, 30 days left"), "{below:?}");
    assert!(
        below.stderr.contains("(0xC004F038)") && below.stderr.contains("The count is 1, the threshold 5."),
        "{below:?}"
    );

    world.cluster.kill(1).await;
    let alone = world.run(&editor).await;
    assert_eq!(alone.code, Some(1), "{alone:?}");
    assert!(alone.stderr.contains("(0xC004F074)"), "{alone:?}");

    let other = Command::new(&editor).arg(world.state()).arg(world.trust()).arg("P257E-J9HE2").output().await.unwrap();
    assert!(String::from_utf8(other.stderr).unwrap().contains("(0xC004F050)"), "a mistyped key");
}

#[tokio::test]
async fn the_static_library_is_all_that_a_program_needs() {
    let world = World::with(4).await;
    let editor = world.editor(CLibrary::Static, &[]).await;
    let licensed = world.run(&editor).await;
    assert_eq!(licensed.code, Some(0), "{licensed:?}");
}

#[tokio::test]
async fn a_c_program_leaks_nothing_and_touches_nothing_that_is_not_its_own() {
    let world = World::with(4).await;
    let editor = world.editor(CLibrary::Shared, &["-g", "-fsanitize=address,undefined"]).await;
    let checked = world.run(&editor).await;
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{}", checked.stdout);
}

#[tokio::test]
async fn the_header_is_one_for_c_plus_plus_as_well() {
    let mut command = Command::new("c++");
    command.args(["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", "c++"]);
    let compiled = run(command.arg(Path::new(HEADERS).join("quorate_client.h"))).await;
    assert_eq!((compiled.code, compiled.stderr.as_str()), (Some(0), ""));
}
