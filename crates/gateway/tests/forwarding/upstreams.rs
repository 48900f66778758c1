//! Which upstream gets an association: preference, drain, names that change, loops.

use std::collections::BTreeMap;

use discovery::Srv;
use gateway::{Failure, Group, GroupName, State, Timeouts, Upstream};

use crate::{
    bed::{Bed, Scripted, Server, group, listen, settings, until, upstream},
    pdus::{bind, bind_on, call, read_pdu},
};

/// One association with one request.
async fn ask(bed: &Bed) -> bool {
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.is_some() && call(&mut client, 2, b"asked").await.is_some()
}

/// Asks until `condition` holds.
async fn ask_until(bed: &Bed, what: &str, condition: impl Fn() -> bool) {
    let ends = tokio::time::Instant::now() + crate::pdus::DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < ends, "not before the deadline: {what}");
        ask(bed).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn g3_associations_go_to_the_preferred_upstream_and_pass_over_it_when_it_is_dead() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bed = Bed::new(group(&[first.address, second.address])).await;
    assert!(ask(&bed).await);
    bed.gateway.set_preferred(&GroupName::default_group(), Some(second.address.into()));
    assert!(ask(&bed).await && ask(&bed).await);
    assert_eq!((first.requests(), second.requests()), (1, 2));
    drop(second);
    assert!(ask(&bed).await, "the attempt at a dead upstream costs no client anything");
    assert_eq!(first.requests(), 2);
}

#[tokio::test]
async fn g9_a_drained_upstream_keeps_its_associations_and_gets_no_new_ones() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bed = Bed::new(group(&[first.address, second.address])).await;
    let mut open = bed.client().await;
    bind_on(&mut open, &bind()).await.unwrap();
    let mut drained = group(&[first.address, second.address]);
    drained.upstreams[0].is_drained = true;
    bed.gateway.set_settings(settings(drained, Timeouts::default()));
    assert!(call(&mut open, 2, b"asked").await.is_some());
    assert!(ask(&bed).await);
    assert_eq!((first.requests(), second.requests()), (1, 1));
    let status = bed.gateway.status();
    let of_first = status.upstreams.iter().find(|upstream| upstream.id.address == first.address.into()).unwrap();
    assert_eq!((of_first.state, of_first.counts.open), (State::Drained, 1));
    assert!(call(&mut open, 3, b"again").await.is_some());
}

#[tokio::test]
async fn g11_a_name_whose_address_changes_is_followed() {
    let second = Server::new().await;
    let mut first = Scripted::new(|mut stream| async move {
        let _end = read_pdu(&mut stream).await;
    })
    .await;
    // Both addresses have the same port: another loopback address for the second.
    let port = first.address.port();
    first.kill().await;
    let moved = tokio::net::TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let moved = Server::on(moved, 1);
    let group = Group { upstreams: vec![upstream(format!("a.example.test:{port}"), 0)], ..Group::default() };
    let bed = Bed::new(group).await;
    bed.zone.hosts.lock().unwrap().insert("a.example.test".to_owned(), "127.0.0.1".parse().unwrap());
    ask_until(&bed, "it is resolved", || bed.seen.failure_kinds().contains(&Failure::Connect)).await;
    bed.zone.hosts.lock().unwrap().insert("a.example.test".to_owned(), "127.0.0.2".parse().unwrap());
    ask_until(&bed, "the new address serves", || moved.requests() > 0).await;
    assert_eq!(second.requests(), 0);
}

#[tokio::test]
async fn g11_an_srv_name_gains_and_loses_a_target() {
    let (first, second) = (Server::new().await, Server::new().await);
    let record = |server: &Server, name: &str, priority| Srv {
        target: name.parse().unwrap(),
        port: server.address.port(),
        priority,
        weight: 0,
    };
    let of_name: Upstream = upstream("srv:_svc._tcp.example.test", 0);
    let bed = Bed::new(Group { upstreams: vec![of_name], ..Group::default() }).await;
    let loopback = "127.0.0.1".parse().unwrap();
    bed.zone.hosts.lock().unwrap().extend([("a.test".to_owned(), loopback), ("b.test".to_owned(), loopback)]);
    *bed.zone.services.lock().unwrap() = vec![record(&first, "a.test", 1)];
    ask_until(&bed, "the first target serves", || first.requests() > 0).await;
    *bed.zone.services.lock().unwrap() = vec![record(&first, "a.test", 1), record(&second, "b.test", 0)];
    ask_until(&bed, "the second target serves", || second.requests() > 0).await;
    *bed.zone.services.lock().unwrap() = vec![record(&second, "b.test", 0)];
    until("the first target is gone", || bed.gateway.status().upstreams.len() == 1).await;
    let before = first.requests();
    assert!(ask(&bed).await && first.requests() == before);
}

#[tokio::test]
async fn g8_a_gateway_that_is_its_own_upstream_is_found_and_not_used() {
    let listener = listen().await;
    let itself = listener.local_addr().unwrap();
    let bed = Bed::with(listener, group(&[itself]), Timeouts::default(), true).await;
    until("the loop is found", || !bed.seen.loops.lock().unwrap().is_empty()).await;
    until("it is out", || bed.state_of(itself) == State::Failing).await;
    assert!(!ask(&bed).await);
    let status = bed.gateway.status();
    assert_eq!(status.upstreams[0].counts.open, 0);
}

#[tokio::test]
async fn g8_two_gateways_that_name_each_other_are_found() {
    let (one, other) = (listen().await, listen().await);
    let (to_other, to_one) = (group(&[other.local_addr().unwrap()]), group(&[one.local_addr().unwrap()]));
    let addresses = (one.local_addr().unwrap(), other.local_addr().unwrap());
    // The second one has no probes of its own here: what comes back to the first one went through it.
    let second = Bed::with(other, to_one, Timeouts::default(), false).await;
    let first = Bed::with(one, to_other, Timeouts::default(), true).await;
    until("the loop is found", || !first.seen.loops.lock().unwrap().is_empty()).await;
    until("it is out", || first.state_of(addresses.1) == State::Failing).await;
    assert!(!ask(&first).await && !ask(&second).await);
}

#[tokio::test]
async fn g4_a_node_that_is_not_the_prober_probes_once_and_when_another_node_reports_a_failure() {
    let mut server = Scripted::new(|mut stream| async move {
        if let Some(read) = read_pdu(&mut stream).await {
            let ack = crate::pdus::ack_of(crate::pdus::Order::Little, 12, crate::pdus::call_id(&read), 1, 1);
            let _gone = tokio::io::AsyncWriteExt::write_all(&mut stream, &ack).await;
        }
    })
    .await;
    let bed = Bed::new(group(&[server.address])).await;
    bed.gateway.set_prober(false);
    bed.healthy(&[server.address]).await;
    server.kill().await;
    let report = BTreeMap::from([(server.address.into(), State::Failing)]);
    bed.gateway.heard(&GroupName::default_group(), &report);
    until("its own probes agree", || bed.state_of(server.address) == State::Failing).await;
    let states = bed.gateway.report();
    assert_eq!(states[&GroupName::default_group()][&server.address.into()], State::Failing);
}
