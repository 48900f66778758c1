//! Which connections get a slot, and which lose one for it.

use std::{task::Waker, time::Duration};

use tokio::time::advance;

use super::*;

fn port(strangers: usize, strangers_per_source: usize) -> Connections {
    port_with(strangers, strangers_per_source, Rules::default())
}

fn port_with(strangers: usize, strangers_per_source: usize, rules: Rules) -> Connections {
    let limits = Limits { strangers, strangers_per_source, known: 2, known_per_source: 1 };
    Connections::new("test", limits, rules)
}

/// An address of the network for documentation, 192.0.2.0/24 (RFC 5737).
fn from(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

fn networks(networks: &[&str]) -> Vec<Network> {
    networks.iter().map(|network| network.parse().unwrap()).collect()
}

fn is_evicted(slot: &mut ConnectionSlot) -> bool {
    slot.poll_evicted(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The numbers of the `slots` that were notified to close.
fn evicted(slots: &mut [ConnectionSlot]) -> Vec<usize> {
    slots.iter_mut().enumerate().filter_map(|(number, slot)| is_evicted(slot).then_some(number)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_source_at_its_limit_loses_its_own_idlest_connection_and_others_lose_none() {
    let port = port(10, 3);
    let mut other = port.admit(from(2)).unwrap();
    let mut slots = Vec::new();
    for _ in 0..3 {
        slots.push(port.admit(from(1)).unwrap());
        advance(Duration::from_secs(1)).await;
    }
    slots[0].activity().received();
    slots[1].activity().received();
    // The last connection never sent a byte, so it is closed before older ones that did.
    slots.push(port.admit(from(1)).unwrap());
    assert_eq!(evicted(&mut slots), [2]);
    slots[3].activity().received();
    advance(Duration::from_secs(1)).await;
    slots[0].activity().received();
    slots.push(port.admit("::ffff:192.0.2.1".parse().unwrap()).unwrap());
    assert_eq!(evicted(&mut slots), [1, 2], "an address has two forms");
    assert!(!is_evicted(&mut other));
    assert_eq!(port.counts(), Counts { evicted: 2, ..Counts::default() });
}

#[test]
fn one_ipv6_64_is_one_source_and_does_not_fill_a_port() {
    let port = port(8, 4);
    let mut honest = port.admit("2001:db8:0:1::1".parse().unwrap()).unwrap();
    let mut flood: Vec<_> = (0..1000_u128)
        .map(|number| {
            let address = u128::from("2001:db8::".parse::<std::net::Ipv6Addr>().unwrap()) + number;
            port.admit(std::net::Ipv6Addr::from(address).into()).unwrap()
        })
        .filter_map(|mut slot| (!is_evicted(&mut slot)).then_some(slot))
        .collect();
    flood.retain_mut(|slot| !is_evicted(slot));
    assert_eq!((flood.len(), port.strangers()), (4, 5));
    assert!(!is_evicted(&mut honest));
}

#[test]
fn a_full_port_closes_a_connection_of_the_source_with_the_most() {
    let port = port(6, 4);
    let mut many: Vec<_> = (0..4).map(|_| port.admit(from(1)).unwrap()).collect();
    let mut few: Vec<_> = (0..2).map(|_| port.admit(from(2)).unwrap()).collect();
    let mut third = port.admit(from(3)).unwrap();
    let mut fourth = port.admit(from(4)).unwrap();
    assert_eq!((evicted(&mut many), evicted(&mut few)), (vec![0, 1], vec![]));
    assert!(!is_evicted(&mut third) && !is_evicted(&mut fourth));
}

#[test]
fn among_sources_with_equally_many_the_oldest_connection_is_closed() {
    let port = port(3, 3);
    let mut slots: Vec<_> = [9, 1, 5].map(|number| port.admit(from(number)).unwrap()).into();
    for number in [7, 2] {
        slots.push(port.admit(from(number)).unwrap());
    }
    assert_eq!(evicted(&mut slots), [0, 1]);
}

#[test]
fn a_connection_with_a_call_under_way_is_kept_and_if_all_have_one_the_new_one_is_refused() {
    let port = port(3, 2);
    let mut slots: Vec<_> = (0..2).map(|_| port.admit(from(1)).unwrap()).collect();
    let calls: Vec<_> = slots.iter().map(|slot| slot.activity().call()).collect();
    assert_eq!(port.admit(from(1)).unwrap_err(), Refusal::Source);
    slots.push(port.admit(from(2)).unwrap());
    let call = slots[2].activity().call();
    assert_eq!(port.admit(from(3)).unwrap_err(), Refusal::Port);
    assert!(evicted(&mut slots).is_empty());
    drop(calls);
    slots.push(port.admit(from(3)).unwrap());
    assert_eq!(evicted(&mut slots), [0]);
    drop(call);
    assert_eq!(port.counts(), Counts { refused_sources: 2, evicted: 1, ..Counts::default() });
}

#[test]
fn a_connection_that_is_being_closed_begins_no_call_that_would_keep_it() {
    let port = port(1, 1);
    let mut slot = port.admit(from(1)).unwrap();
    let _newer = port.admit(from(2)).unwrap();
    let _call = slot.activity().call();
    assert!(is_evicted(&mut slot));
}

#[test]
fn a_connection_with_a_known_certificate_takes_no_slot_of_unknown_ones_and_is_not_closed_for_others() {
    let port = port(2, 2);
    let mut known = port.admit(from(1)).unwrap();
    assert!(known.is_known_now());
    assert_eq!(port.strangers(), 0);
    let mut flood: Vec<_> = (0..9).map(|_| port.admit(from(1)).unwrap()).collect();
    assert_eq!(evicted(&mut flood), [0, 1, 2, 3, 4, 5, 6]);
    assert!(!is_evicted(&mut known));
}

#[test]
fn known_certificates_are_bounded_by_source_and_in_all() {
    let port = port(9, 9);
    let [mut first, mut same, mut second, mut third] = [1, 1, 2, 3].map(|number| port.admit(from(number)).unwrap());
    assert!(first.is_known_now() && !same.is_known_now(), "one of each source");
    assert!(second.is_known_now() && !third.is_known_now(), "two in all");
    drop(first);
    assert!(third.is_known_now() && !same.is_known_now());
    drop(second);
    assert!(same.is_known_now());
}

#[test]
fn a_connection_that_is_being_closed_no_longer_counts_as_known() {
    let port = port(1, 1);
    let mut slot = port.admit(from(1)).unwrap();
    let _newer = port.admit(from(1)).unwrap();
    assert!(!slot.is_known_now());
}

#[test]
fn exempt_networks_have_no_limit_per_source_and_lose_connections_last() {
    let rules = Rules { exempt: networks(&["192.0.2.1"]), ..Rules::default() };
    let port = port_with(6, 2, rules);
    let mut exempt: Vec<_> = (0..4).map(|_| port.admit(from(1)).unwrap()).collect();
    let mut others: Vec<_> = (0..2).map(|_| port.admit(from(2)).unwrap()).collect();
    let mut newest = port.admit(from(3)).unwrap();
    assert_eq!((evicted(&mut exempt), evicted(&mut others)), (vec![], vec![0]));
    let _calls: Vec<_> = others.iter().chain([&newest]).map(|slot| slot.activity().call()).collect();
    let one_more = port.admit(from(4)).unwrap();
    let _call = one_more.activity().call();
    assert!(!is_evicted(&mut newest));
    assert_eq!(evicted(&mut exempt), [0]);
}

#[test]
fn networks_that_are_not_listed_are_refused_and_counted_and_the_list_can_change() {
    let rules = Rules { allow: networks(&["192.0.2.0/25", "2001:db8::/32"]), ..Rules::default() };
    let port = port_with(2, 2, rules);
    let inside = ["192.0.2.127", "::ffff:192.0.2.127", "2001:db8::1"];
    assert!(inside.iter().all(|address| port.admit(address.parse().unwrap()).is_ok()));
    let outside = ["192.0.2.128", "::ffff:192.0.2.128", "2001:db9::1", "127.0.0.1", "::1"];
    assert!(outside.iter().all(|address| port.admit(address.parse().unwrap()).err() == Some(Refusal::Network)));
    assert_eq!(port.counts().refused_networks, 5);
    port.set_rules(Rules { allow: networks(&["127.0.0.0/8"]), ..Rules::default() });
    assert!(port.admit(from(1)).is_err() && port.admit("127.0.0.1".parse().unwrap()).is_ok());
}

#[test]
fn no_data_is_kept_of_closed_connections() {
    let port = port(4, 2);
    let mut slots: Vec<_> = (0..200).map(|number| port.admit(from(number)).unwrap()).collect();
    assert!(slots[199].is_known_now());
    assert_eq!(port.strangers(), 3);
    slots.clear();
    assert!(port.registry().is_empty());
}

#[test]
fn a_port_with_more_than_half_of_its_unknown_connections_in_use_is_under_pressure() {
    let port = port(4, 4);
    let slots: Vec<_> = (0..2).map(|_| port.admit(from(1)).unwrap()).collect();
    assert!(!port.is_pressed());
    let third = port.admit(from(1)).unwrap();
    assert!(port.is_pressed());
    drop((third, slots));
    assert!(!port.is_pressed());
}

#[test]
fn log_lines_about_refusals_are_limited_and_the_next_one_counts_the_suppressed_ones() {
    let mut lines = Lines::default();
    let start = Instant::now();
    let said = (0..100).filter(|_| lines.admit(start) == Some(0)).count();
    assert_eq!(said, usize::try_from(REFUSAL_LINES_MAX).unwrap());
    assert_eq!(lines.admit(start + REFUSAL_LINES_WINDOW), Some(90));
    assert_eq!(lines.admit(start + REFUSAL_LINES_WINDOW), Some(0));
}

#[tokio::test]
async fn a_full_port_accepts_no_connection_while_all_have_a_call_under_way() {
    let port = port(1, 1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slot = port.admit(from(1)).unwrap();
    let call = slot.activity().call();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepting = port.accept(&listener);
    tokio::pin!(accepting);
    let early = poll_fn(|context| Poll::Ready(accepting.as_mut().poll(context).is_ready())).await;
    assert!(!early);
    drop(call);
    assert!(accepting.await.is_some());
}
