//! Discovery of hosts by the records of a real server.

use std::net::IpAddr;
use std::time::Duration;

use discovery::{Desired, FindError, Finder, FoundHost, NextStep, Preferred, connect};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::Instant;

use crate::named::{Named, ZONE, name};

const RECORDS: &str = "_vlmcs._tcp SRV 0 60 1688 node1\n_vlmcs._tcp SRV 0 30 1689 node2\n\
    _vlmcs._tcp SRV 9 0 1690 node3\n_vlmcs._tcp SRV 0 0 1691 nowhere\n_vlmcs._tcp.off SRV 0 0 0 .\n\
    node1 A 192.0.2.1\nnode1 A 192.0.2.11\nnode1 AAAA 2001:db8::1\nnode2 A 192.0.2.2\nnode3 AAAA 2001:db8::3\n";

fn targets(hosts: &[FoundHost]) -> Vec<&str> {
    hosts.iter().map(|host| host.target.as_str()).collect()
}

#[tokio::test]
async fn r16_hosts_are_found_in_order_with_their_addresses_interleaved() {
    let named = Named::start(RECORDS).await;
    let mut random = StdRng::seed_from_u64(1);
    let hosts = named.finder().find(Desired::SERVICE, Some(&name(ZONE)), &mut random).await.unwrap();
    // A target without an address is left out, and the higher priority value is last.
    assert_eq!(hosts.len(), 3);
    assert_eq!(targets(&hosts)[2], "node3.example.test.");
    let one = hosts.iter().find(|host| host.target == "node1.example.test.").unwrap();
    assert_eq!((one.port, one.priority, one.weight, one.addresses.len()), (1688, 0, 60, 3));
    let families: Vec<bool> = one.addresses.iter().map(IpAddr::is_ipv6).collect();
    assert_eq!(families, [true, false, false]);
    assert_eq!(hosts[2].addresses, ["2001:db8::3".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn r17_the_search_list_is_queried_domain_by_domain() {
    let named = Named::start(RECORDS).await;
    let mut random = StdRng::seed_from_u64(1);
    let listed = Finder::with_servers(&[named.address], vec![name("off.example.test"), name(ZONE)]).unwrap();
    assert_eq!(listed.find(Desired::SERVICE, None, &mut random).await.unwrap().len(), 3);
    let nameless = Finder::with_servers(&[named.address], Vec::new()).unwrap();
    let error = nameless.find(Desired::SERVICE, None, &mut random).await.unwrap_err();
    assert!(matches!(error, FindError::Configuration { .. }), "{error}");
}

/// Aliases of the service's name in several domains: one alias, a chain of nine, and a cycle of two.
fn aliases() -> String {
    let chain = |link: u32| format!("_vlmcs._tcp.long{link} CNAME _vlmcs._tcp.long{}\n", link + 1);
    let circle = "_vlmcs._tcp.round CNAME _vlmcs._tcp.back\n_vlmcs._tcp.back CNAME _vlmcs._tcp.round\n";
    let one = "_vlmcs._tcp.site CNAME _vlmcs._tcp\n_vlmcs._tcp.dangling CNAME _vlmcs._tcp.absent\n\
               _vlmcs._tcp.twice CNAME _vlmcs._tcp.site\n";
    (0..20).map(chain).collect::<String>() + circle + one
}

#[tokio::test]
async fn an_alias_at_the_services_name_is_followed_bounded_and_without_circles() {
    let named = Named::start(&format!("{RECORDS}{}", aliases())).await;
    let finder = named.finder();
    let mut random = StdRng::seed_from_u64(1);
    let mut find = async |domain: &str| finder.find(Desired::SERVICE, Some(&name(domain)), &mut random).await;
    for domain in ["site.example.test", "twice.example.test"] {
        assert_eq!(find(domain).await.unwrap().len(), 3, "{domain}");
    }
    for (domain, said) in [("round.example.test", "form a loop"), ("long0.example.test", "more than 8 aliases")] {
        let error = find(domain).await.unwrap_err();
        assert!(matches!(error, FindError::Unusable { .. }) && error.to_string().contains(said), "{domain}: {error}");
    }
    let error = find("dangling.example.test").await.unwrap_err();
    assert!(matches!(error, FindError::NoRecord { .. }), "{error}");
    assert!(error.to_string().contains("an alias of _vlmcs._tcp.absent.example.test."), "{error}");
}

#[tokio::test]
async fn r17_the_search_continues_past_a_domain_whose_targets_have_no_address_and_says_what_was_queried() {
    let named = Named::start(&format!("{RECORDS}_vlmcs._tcp.stale SRV 0 0 1688 nowhere\n")).await;
    let mut random = StdRng::seed_from_u64(1);
    let domains = [name("empty.example.test"), name("stale.example.test"), name(ZONE), name("off.example.test")];
    let search = named.finder().search_in(Desired::SERVICE, &domains, &mut random).await;
    assert_eq!(search.result.unwrap().len(), 3);
    let said: Vec<_> = search.asked.iter().map(|asked| format!("{} {}", asked.name, asked.answer)).collect();
    let expected = [
        "_vlmcs._tcp.empty.example.test. no record",
        "_vlmcs._tcp.stale.example.test. DNS has no address record of nowhere.example.test.",
        "_vlmcs._tcp.example.test. 3 hosts",
    ];
    assert_eq!(said, expected);
    // Where no domain has a host, the error is that of the domain that has records.
    let search = named.finder().search_in(Desired::SERVICE, &domains[..2], &mut random).await;
    assert!(matches!(search.result, Err(FindError::NoAddress { .. })), "{:?}", search.result);
}

#[tokio::test]
async fn the_systems_resolver_configuration_is_read_again_when_it_was_written_replaced_or_linked_anew() {
    let named = Named::start(RECORDS).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let finder = Finder::system_at(file.clone(), named.address.port());
    let mut random = StdRng::seed_from_u64(1);
    let mut find = async || finder.find(Desired::SERVICE, None, &mut random).await;
    let (good, dead) = ("search example.test\nnameserver 127.0.0.1\n", "search example.test\nnameserver 127.0.0.9\n");
    let error = find().await.unwrap_err();
    assert!(matches!(error, FindError::Configuration { .. }), "missing: {error}");
    let mut before = finder.fingerprint();
    let mut changed = || {
        let now = finder.fingerprint();
        std::mem::replace(&mut before, now) != now
    };
    std::fs::write(&file, "").unwrap();
    assert!(changed());
    let error = find().await.unwrap_err();
    assert!(matches!(error, FindError::Configuration { .. }), "empty: {error}");
    std::fs::write(&file, good).unwrap();
    assert_eq!((changed(), changed(), find().await.unwrap().len()), (true, false, 3), "written");
    std::fs::write(&file, dead).unwrap();
    let error = find().await.unwrap_err();
    assert!(changed() && matches!(error, FindError::NoServer { .. }), "{error}");
    let other = folder.path().join("other");
    std::fs::write(&other, good).unwrap();
    std::fs::rename(&other, &file).unwrap();
    assert_eq!((changed(), find().await.unwrap().len()), (true, 3), "replaced");
    std::fs::write(&other, dead).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&other, &file).unwrap();
    assert!(changed() && find().await.is_err(), "linked");
}

#[tokio::test]
async fn r19_no_record_no_answer_and_a_refusal_are_told_apart() {
    let named = Named::start(RECORDS).await;
    let mut random = StdRng::seed_from_u64(1);
    // Bound and silent, on UDP and TCP.
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let silent = Finder::with_servers(&[udp.local_addr().unwrap()], Vec::new()).unwrap();
    let table = [
        (named.finder(), "empty.example.test", 0x8007_232B),
        (named.finder(), "off.example.test", 0x8007_232B),
        (named.finder(), "elsewhere.test", 0x8007_232D),
        (silent, ZONE, 0x8007_05B4),
    ];
    for (finder, domain, code) in table {
        let error = finder.find(Desired::SERVICE, Some(&name(domain)), &mut random).await.unwrap_err();
        assert_eq!(error.code(), code, "{domain}: {error}");
    }
}

#[tokio::test]
async fn r18_a_fixed_host_is_an_address_a_full_name_or_a_short_one() {
    let named = Named::start(RECORDS).await;
    let finder = named.finder();
    for (text, target, port, addresses) in [
        ("192.0.2.9:7", "192.0.2.9", 7, 1),
        ("2001:db8::9", "2001:db8::9", 1688, 1),
        ("node1.example.test", "node1.example.test.", 1688, 3),
    ] {
        let host = finder.resolve(&text.parse().unwrap(), 1688).await.unwrap();
        assert_eq!((host.target.as_str(), host.port, host.addresses.len()), (target, port, addresses), "{text}");
    }
    let short = Finder::with_servers(&[named.address], vec![name(ZONE)]).unwrap();
    assert_eq!(short.resolve(&"node2".parse().unwrap(), 1688).await.unwrap().target, "node2.example.test.");
    let error = finder.resolve(&"missing.example.test".parse().unwrap(), 1688).await.unwrap_err();
    assert!(matches!(error, FindError::NoAddress { .. }), "{error}");
}

#[tokio::test]
async fn the_cached_host_is_killed_and_another_is_reached_within_the_deadlines() {
    let (one, two) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let records = format!(
        "_vlmcs._tcp SRV 0 0 {} a\n_vlmcs._tcp SRV 1 0 {} b\na A 127.0.0.1\nb A 127.0.0.1\n",
        port(&one),
        port(&two)
    );
    let named = Named::start(&records).await;
    let finder = named.finder();
    let mut hosts = Preferred::default();
    let mut one = Some(one);
    let mut questions = Vec::new();
    for round in 0..4 {
        if round == 2 {
            one.take();
        }
        let begun = Instant::now();
        let mut asked = 0;
        loop {
            match hosts.next_step() {
                NextStep::Try(host) => match connect(&host.sockets(), Duration::from_secs(2)).await {
                    Ok(_) => break hosts.answered(&host),
                    Err(_) => hosts.failed(&host),
                },
                NextStep::AskDns => {
                    asked += 1;
                    let mut random = StdRng::seed_from_u64(round);
                    let found = finder.find(Desired::SERVICE, Some(&name(ZONE)), &mut random).await.unwrap();
                    hosts.found(found);
                }
                NextStep::Exhausted => panic!("no host in round {round}"),
            }
        }
        questions.push(asked);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(questions, [1, 0, 1, 0]);
    assert_eq!(hosts.preferred().unwrap().target, "b.example.test.");
}
