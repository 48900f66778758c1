//! Connections to port 1688 that are no clients: probes of load balancers, browsers, TLS, PROXY headers; and many
//! clients at once.

use std::{net::SocketAddr, sync::Arc};

use quorate_tests::{Cluster, Plan, Quorate, cmid, eventually, page, value};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::QUORATE;

/// Sends `bytes`; returns what arrives until the other side closes.
async fn sent(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn bursts_health_checks_and_other_protocols_are_counted_by_kind_and_leave_no_warning_and_http_gets_one_clear_line()
 {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let (at, metrics) = (cluster.node(1).clients, cluster.node(1).metrics);
    let before = cluster.said(1).len();
    for _ in 0..30 {
        drop(TcpStream::connect(at).await.unwrap());
    }
    let answer = sent(at, b"GET / HTTP/1.1\r\nHost: activation\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("not HTTP"), "{answer}");
    assert_eq!(sent(at, &[0x16, 0x03, 0x01, 0x00, 0x05, 1, 0, 0, 1, 0]).await, "");
    assert_eq!(sent(at, b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 1688\r\n").await, "");
    let product = Arc::new(cluster.product("server-standard-2"));
    let mut burst = JoinSet::new();
    for machine in 1..=150 {
        let product = Arc::clone(&product);
        burst.spawn(async move { product.activate(at, cmid(machine)).await.unwrap() });
    }
    assert_eq!(burst.join_all().await.len(), 150, "every client of a burst is answered");

    let kinds = [("closed", 30.0), ("http", 1.0), ("tls", 1.0), ("proxy", 1.0)];
    eventually("each kind is counted", async || {
        let (_, text) = page(metrics, "/metrics").await?;
        let of = |kind| value(&text, &format!("quorate_foreign_connections_total{{kind=\"{kind}\"}}"));
        kinds.iter().all(|(kind, count)| of(kind) == Some(*count)).then_some(())
    })
    .await;
    let said = cluster.said(1)[before..].to_owned();
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
}
