//! The cluster as the DNS server of its own zone, queried by `dig` and by the clients' own search.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use discovery::{Delegated, Desired, DnsName, FindError, Finder, Snapshot, Srv, serve};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::named::name;

const DOMAIN: &str = "hosts.example.test";

fn target(node: u16) -> DnsName {
    name(&format!("node{node}.{DOMAIN}"))
}

fn ready(nodes: &[u16]) -> Snapshot {
    let srv = |node: &u16| Srv { target: target(*node), port: 1688, priority: 0, weight: 10 * node };
    let addresses: BTreeMap<_, _> = (1..=3).map(|node| (target(node), vec!["192.0.2.1".parse().unwrap()])).collect();
    Snapshot { name_servers: vec![target(1)], ready: nodes.iter().map(srv).collect(), addresses, serial: 1 }
}

async fn start(snapshot: Snapshot) -> (SocketAddr, watch::Sender<Option<Snapshot>>, JoinSet<()>) {
    let connections = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = connections.local_addr().unwrap();
    let datagrams = UdpSocket::bind(address).await.unwrap();
    let (sender, receiver) = watch::channel(Some(snapshot));
    let zone = name(DOMAIN);
    let delegated = Delegated::new(zone.clone(), Desired::SERVICE, &zone, 5).unwrap();
    let mut running = JoinSet::new();
    running.spawn(serve(delegated, receiver, datagrams, connections));
    (address, sender, running)
}

async fn dig(address: SocketAddr, arguments: &[&str]) -> Vec<String> {
    let port = address.port().to_string();
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "+short", "+tries=2", "+time=5"])
        .args(arguments)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn dig_sees_the_ready_hosts_over_udp_and_tcp() {
    let (address, _sender, _running) = start(ready(&[1, 2])).await;
    let service = format!("_vlmcs._tcp.{DOMAIN}");
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(
            dig(address, &[transport, &service, "SRV"]).await,
            ["0 10 1688 node1.hosts.example.test.", "0 20 1688 node2.hosts.example.test."]
        );
        assert_eq!(dig(address, &[transport, &target(3).to_string(), "A"]).await, ["192.0.2.1"]);
        assert_eq!(dig(address, &[transport, DOMAIN, "NS"]).await, ["node1.hosts.example.test."]);
    }
}

#[tokio::test]
async fn a_node_that_is_no_longer_ready_is_gone_from_the_next_answer() {
    let (address, sender, _running) = start(ready(&[1, 2, 3])).await;
    let finder = Finder::with_servers(&[address], vec![name(DOMAIN)]).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    assert_eq!(finder.find(Desired::SERVICE, None, &mut random).await.unwrap().len(), 3);
    sender.send(Some(ready(&[2]))).unwrap();
    let hosts = finder.find(Desired::SERVICE, None, &mut random).await.unwrap();
    assert_eq!(hosts.iter().map(|host| host.target.as_str()).collect::<Vec<_>>(), ["node2.hosts.example.test."]);
    sender.send(Some(ready(&[]))).unwrap();
    let error = finder.find(Desired::SERVICE, None, &mut random).await.unwrap_err();
    assert!(matches!(error, FindError::NoRecord { .. }), "{error}");
    // A server without a snapshot does not answer that there are no hosts.
    sender.send(None).unwrap();
    let error = finder.find(Desired::SERVICE, None, &mut random).await.unwrap_err();
    assert!(!matches!(error, FindError::NoRecord { .. }), "{error}");
}

#[tokio::test]
async fn invalid_and_idle_connections_do_not_keep_others_from_being_answered() {
    let (address, _sender, _running) = start(ready(&[1])).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for rubbish in [&[][..], &[0; 11], &[0xFF; 1232], &[0x80; 12]] {
        socket.send_to(rubbish, address).await.unwrap();
    }
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let mut greedy = TcpStream::connect(address).await.unwrap();
    greedy.write_all(&[0xFF, 0xFF]).await.unwrap();
    // Closed at once, and not read to the end.
    let read = timeout(Duration::from_secs(5), greedy.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(dig(address, &[transport, &target(1).to_string(), "A"]).await, ["192.0.2.1"]);
    }
}

#[tokio::test]
async fn where_one_server_failed_another_is_queried() {
    let (failing, sender, _one) = start(ready(&[])).await;
    sender.send(None).unwrap();
    let (knowing, _sender, _other) = start(ready(&[1, 2])).await;
    let mut random = StdRng::seed_from_u64(1);
    for servers in [[failing, knowing], [knowing, failing]] {
        let finder = Finder::with_servers(&servers, vec![name(DOMAIN)]).unwrap();
        for _ in 0..4 {
            assert_eq!(finder.find(Desired::SERVICE, None, &mut random).await.unwrap().len(), 2);
        }
    }
}

/// What `dig` prints of one answer: its status, and the cookie with the verdict on it.
async fn dig_cookie(address: SocketAddr, arguments: &[&str]) -> (String, Option<(String, String)>) {
    let port = address.port().to_string();
    let service = format!("_vlmcs._tcp.{DOMAIN}");
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "+tries=1", "+time=5", "+nobadcookie", &service, "SRV"])
        .args(arguments)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let after = |label: &str| text.lines().find_map(|line| Some(line.split_once(label)?.1.trim().to_owned()));
    let status = after("status: ").unwrap_or_else(|| panic!("no answer: {text}"));
    let cookie = after("; COOKIE: ").map(|line| {
        let (cookie, verdict) = line.split_once(' ').unwrap_or((&line, ""));
        (cookie.to_owned(), verdict.to_owned())
    });
    (status.split(',').next().unwrap().to_owned(), cookie)
}

const CLIENT_COOKIE: &str = "0102030405060708";

#[tokio::test]
async fn dig_gets_a_cookie_shows_it_and_is_told_of_a_malformed_one() {
    let (address, _sender, _running) = start(ready(&[1, 2])).await;
    let client = format!("+cookie={CLIENT_COOKIE}");
    for transport in ["+notcp", "+tcp"] {
        let (status, cookie) = dig_cookie(address, &[transport, &client]).await;
        let (cookie, verdict) = cookie.unwrap();
        assert_eq!((status.as_str(), verdict.as_str()), ("NOERROR", "(good)"), "{transport}");
        assert!(cookie.starts_with(CLIENT_COOKIE) && cookie.len() == 48, "{transport}: {cookie}");
        let (status, again) = dig_cookie(address, &[transport, &format!("+cookie={cookie}")]).await;
        assert_eq!((status.as_str(), again), ("NOERROR", Some((cookie.clone(), "(good)".into()))), "{transport}");
        let (status, _) = dig_cookie(address, &[transport, "+nocookie", "+ednsopt=COOKIE:0102030405060708090a"]).await;
        assert_eq!(status, "FORMERR", "{transport}");
        assert_eq!(dig_cookie(address, &[transport, "+nocookie"]).await, ("NOERROR".into(), None), "{transport}");
    }
}

#[tokio::test]
async fn above_the_limit_of_answers_dig_with_a_cookie_is_always_answered() {
    let (address, _sender, _running) = start(ready(&[1])).await;
    let (_, cookie) = dig_cookie(address, &["+notcp", &format!("+cookie={CLIENT_COOKIE}")]).await;
    let cookie = format!("+cookie={}", cookie.unwrap().0);
    // Queries without a question, from the same network, until one of two is answered no more.
    let flood = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let flooding = tokio::spawn(async move {
        loop {
            for _ in 0..20 {
                flood.send_to(&[0; 12], address).await.unwrap();
            }
            while flood.try_recv(&mut [0; 512]).is_ok() {}
            tokio::task::yield_now().await;
        }
    });
    let bad = timeout(Duration::from_secs(60), async {
        loop {
            let port = address.port().to_string();
            let asked = Command::new("dig")
                .args(["@127.0.0.1", "-p", &port, "+tries=1", "+time=1", "+nobadcookie", "+notcp", DOMAIN, "SOA"])
                .arg(format!("+cookie={CLIENT_COOKIE}"))
                .output()
                .await
                .unwrap();
            if String::from_utf8_lossy(&asked.stdout).contains("status: BADCOOKIE") {
                break;
            }
        }
    });
    bad.await.expect("above the limit a client without a server cookie is told to show one");
    for _ in 0..5 {
        let (status, said) = dig_cookie(address, &["+notcp", &cookie]).await;
        assert_eq!((status.as_str(), said.unwrap().1.as_str()), ("NOERROR", "(good)"));
    }
    flooding.abort();
}
