//! The console behind a proxy that serves it under another path.

use std::net::SocketAddr;

use quorate_tests::{Browser, Cluster, Plan, Quorate, words};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::QUORATE;

const PREFIX: &str = "/quorate/";

/// Acts as `location /quorate/ { proxy_pass http://NODE/; }` does: it removes the prefix from the path and does not
/// change the answer. Other paths give 404.
async fn pass(mut browser: TcpStream, node: SocketAddr) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(browser.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some(rest) = head.strip_prefix(&format!("GET {PREFIX}")) else {
        return browser.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    };
    let mut upstream = TcpStream::connect(node).await?;
    let closing = rest.replace("Connection: keep-alive", "Connection: close");
    upstream.write_all(format!("GET /{closing}").as_bytes()).await?;
    copy_bidirectional(&mut browser, &mut upstream).await.map(drop)
}

#[tokio::test]
async fn the_console_works_under_a_path_of_a_proxy_with_its_ticket_its_files_and_its_stream() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.set_variable(1, "QUORATE_CONSOLE_AUTH", "true");
    cluster.form().await;
    let node = cluster.node(1).metrics;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let passing = tokio::spawn(async move {
        while let Ok((browser, _)) = listener.accept().await {
            tokio::spawn(pass(browser, node));
        }
    });
    let told = cluster.administrate(1, &words!["console"]).await;
    let ticket = told["url"].as_str().unwrap().split_once(&format!("{node}/")).unwrap().1.to_owned();
    let browser = Browser::start(&cluster.path("")).await;
    browser.open(&format!("http://{proxy}{PREFIX}{ticket}")).await;
    browser
        .until("the stream has told of the node", "return typeof known === 'object' && known.pulse && !isLost;")
        .await;
    assert_eq!(browser.script("return location.href").await, format!("http://{proxy}{PREFIX}"));
    let styled = "return getComputedStyle(document.querySelector('.skip')).position;";
    assert_eq!(browser.script(styled).await, "absolute", "the style is loaded");
    passing.abort();
}
