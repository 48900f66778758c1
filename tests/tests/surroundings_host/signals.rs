//! Signals to daemons: what a daemon reads again, and what it logs from then on. None of them ends a daemon except
//! the signals to stop.

use std::fs;

use quorate_tests::{Cluster, Plan, Process, Quorate, eventually, words};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{PRODUCT, QUORATE};

/// A setup key of the publisher.
const SETUP_KEY: &str = "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";

/// Waits until the log contains `words` after its first `seen` bytes.
async fn says(cluster: &Cluster, seen: usize, words: &str) {
    let what = format!("the log says `{words}`");
    eventually(&what, async || cluster.said(1)[seen..].contains(words).then_some(())).await;
}

#[tokio::test]
async fn sighup_reads_the_log_level_and_the_certificate_again() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let config = cluster.node(1).config.clone();
    let text = fs::read_to_string(&config).unwrap();
    assert_eq!(text.matches("\n#level =").count(), 1);
    let with_level = |level: &str| text.replace("\n#level =", &format!("\nlevel = \"{level}\""));
    fs::write(&config, with_level("error")).unwrap();
    let before = cluster.said(1).len();
    cluster.start(1);
    cluster.led(1).await;
    assert_eq!(&cluster.said(1)[before..], "", "nothing is wrong");

    fs::write(&config, with_level("info")).unwrap();
    cluster.process(1).hang_up();
    says(&cluster, before, "the configuration was reloaded").await;
    says(&cluster, before, "this node's certificate was read again").await;

    // An invalid certificate changes nothing, nor does an invalid configuration.
    let certificate = cluster.node(1).data.join("tls/node.pem");
    let good = fs::read(&certificate).unwrap_or_else(|error| panic!("{}: {error}", certificate.display()));
    fs::write(&certificate, "no certificate").unwrap();
    fs::write(&config, with_level("inof")).unwrap();
    cluster.process(1).hang_up();
    says(&cluster, before, "this node's certificate was not renewed; the previous one stays in use").await;
    says(&cluster, before, "the configuration could not be reloaded: nothing was changed").await;
    assert_eq!(cluster.product(PRODUCT).count(cluster.node(1).clients, 1).await, 1);

    fs::write(&certificate, good).unwrap();
    fs::write(&config, text).unwrap();
    let mended = cluster.said(1).len();
    cluster.process(1).hang_up();
    says(&cluster, mended, "this node's certificate was read again").await;
    assert_eq!(cluster.stop(1).await, Some(0));
}

#[tokio::test]
async fn sigusr1_adds_lines_of_the_level_debug_and_takes_them_back() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    // Each failed handshake writes a line at level debug.
    let stranger = async || {
        let mut stranger = TcpStream::connect(cluster.node(1).admin).await.unwrap();
        stranger.write_all(b"no TLS, whatever it is\r\n").await.unwrap();
    };
    assert!(!cluster.said(1).contains("the TLS handshake failed"));
    cluster.process(1).toggle_debug();
    says(&cluster, 0, "SIGUSR1: the log level was changed").await;
    eventually("the log says more", async || {
        stranger().await;
        cluster.said(1).contains("the TLS handshake failed").then_some(())
    })
    .await;
    let seen = cluster.said(1).len();
    cluster.process(1).toggle_debug();
    says(&cluster, seen, "SIGUSR1: the log level was changed").await;
    let changed = cluster.said(1);
    let quiet = changed.rfind("SIGUSR1").unwrap();
    stranger().await;
    // The reload is logged after everything that the failed handshake causes.
    cluster.process(1).hang_up();
    says(&cluster, quiet, "the configuration was reloaded").await;
    assert!(!cluster.said(1)[quiet..].contains("DEBUG"), "{}", &cluster.said(1)[quiet..]);
    assert_eq!(cluster.stop(1).await, Some(0));
}

#[tokio::test]
async fn sighup_ends_neither_a_publisher_s_service_nor_a_client_machine_s() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let quorate = Quorate::at(QUORATE);
    let publisher = cluster.path("publisher");
    let trust = publisher.join("trust.toml");
    let serve = words!["publisher", "serve", "--dir", &publisher, "--listen", "127.0.0.1:0"];
    let mut service = Process::start(&mut quorate.command(serve), &cluster.path("serve.log"));
    let state = cluster.path("machine");
    let host = cluster.node(1).clients.to_string();
    let set_up = [
        words!["client", "install-key", SETUP_KEY, "--trust", &trust, "--state", &state].to_vec(),
        words!["client", "set-host", host, "--state", &state].to_vec(),
    ];
    for command in set_up {
        let done = quorate.run(command).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
    let run = words!["client", "run", "--now", "--state", &state];
    let mut client = Process::start(&mut quorate.command(run), &cluster.path("client.log"));
    for (process, ready) in [(&mut service, "the service runs"), (&mut client, "event=12288")] {
        eventually(ready, async || process.said().contains(ready).then_some(())).await;
        process.hang_up();
        process.toggle_debug();
        let changed = "SIGUSR1: the log level was changed";
        eventually(changed, async || process.said().contains(changed).then_some(())).await;
        process.terminate();
        assert_eq!(process.end().await.code(), Some(0), "{}", process.said());
    }
    assert!(
        service.said().contains("SIGHUP: no TLS certificate is configured, nothing to reload"),
        "{}",
        service.said()
    );
}
