//! Exchanges over real sockets, with name lookups and closed ports.

use std::net::SocketAddr;

use client::{ActivateError, Deadlines, HostAddress, NotReached, Session, activate};
use tokio::net::TcpListener;

use crate::hosts::{Reply, activation, serve};
use crate::world::{GROUP_CLIENT, Publisher, THRESHOLD};

/// A host that answers with the number of requests so far, one connection after another.
async fn host(publisher: &Publisher, listener: TcpListener) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let node = publisher.node(GROUP_CLIENT);
    tokio::spawn(async move {
        let mut count = THRESHOLD - 1;
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, activation(), |request| {
                count += 1;
                Reply::Answer(node.answer(request, count))
            })
            .await;
        }
    });
    address
}

#[tokio::test]
async fn an_activation_is_one_connection_which_is_closed_afterwards() {
    let publisher = Publisher::new(1);
    let address = host(&publisher, TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    // This host accepts the next connection only when the one before has ended.
    for count in THRESHOLD..THRESHOLD + 3 {
        let answered =
            activate(&address.into(), &publisher.request(), &publisher.trust(), Deadlines::default()).await.unwrap();
        assert_eq!((answered.answer.body.count, answered.peer), (count, address));
    }
}

#[tokio::test]
async fn a_session_is_kept_open_over_tcp() {
    let publisher = Publisher::new(1);
    let address = host(&publisher, TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    let mut session = Session::connect(&address.into(), Deadlines::default()).await.unwrap();
    assert_eq!(session.peer(), address);
    for count in THRESHOLD..THRESHOLD + 3 {
        let answered = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap();
        assert_eq!(answered.answer.body.count, count);
    }
}

#[tokio::test]
async fn a_host_is_found_by_name() {
    let publisher = Publisher::new(1);
    // `localhost` is also ::1 on most machines, where no process listens.
    let address = host(&publisher, TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    let name: HostAddress = format!("localhost:{}", address.port()).parse().unwrap();
    let answered = activate(&name, &publisher.request(), &publisher.trust(), Deadlines::default()).await.unwrap();
    assert_eq!(answered.peer, address);
}

#[tokio::test]
async fn a_host_is_found_at_an_ipv6_address() {
    let publisher = Publisher::new(1);
    let listener = match TcpListener::bind("[::1]:0").await {
        Ok(listener) => listener,
        Err(error) => panic!("this test needs IPv6 on the loopback interface: {error}"),
    };
    let address = host(&publisher, listener).await;
    let name: HostAddress = format!("[::1]:{}", address.port()).parse().unwrap();
    let answered = activate(&name, &publisher.request(), &publisher.trust(), Deadlines::default()).await.unwrap();
    assert_eq!(answered.peer, address);
}

#[tokio::test]
async fn a_closed_port_is_a_host_not_reached_and_is_named() {
    let publisher = Publisher::new(1);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let error = activate(&address.into(), &publisher.request(), &publisher.trust(), Deadlines::default()).await;
    let error = error.unwrap_err();
    let ActivateError::NotReached { host, reason: NotReached::Connect { address: tried, .. } } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((host, *tried), (&address.into(), address));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_host_not_reached() {
    let publisher = Publisher::new(1);
    let name: HostAddress = "no-such-host.invalid".parse().unwrap();
    let error = activate(&name, &publisher.request(), &publisher.trust(), Deadlines::default()).await.unwrap_err();
    assert!(
        matches!(error, ActivateError::NotReached { reason: NotReached::Lookup(_) | NotReached::NoAddress, .. }),
        "{error:?}"
    );
}
