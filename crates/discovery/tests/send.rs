//! The futures that a daemon spawns must be `Send`.

#![cfg(test)]

use std::net::SocketAddr;
use std::time::Duration;

use discovery::{Credentials, Desired, DnsName, Domain, Finder, Neighbours, Primary, RecordPublisher, connect};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

fn assert_send(_: impl Send) {}

#[tokio::test]
async fn every_future_of_the_crate_can_be_spawned() {
    let server: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let name: DnsName = "example.test".parse().unwrap();
    let finder = Finder::with_servers(&[server], vec![name.clone()]).unwrap();
    let publisher =
        RecordPublisher::new(Primary::default(), Credentials::Unsigned, Neighbours::default(), finder.clone());
    let desired = Desired {
        service: Desired::SERVICE.to_owned(),
        domain: Domain { name: name.clone(), priority: 0, weight: 0 },
        target: name.clone(),
        port: 1688,
        ttl_seconds: Desired::TTL_SECONDS,
        addresses: Vec::new(),
    };
    assert_send(publisher.publish(&desired, 0));
    assert_send(publisher.withdraw(Desired::SERVICE, &name, &name, false, 0));
    assert_send(publisher.standing(Desired::SERVICE, &name, 0));
    assert_send(finder.find(Desired::SERVICE, None, &mut StdRng::seed_from_u64(0)));
    assert_send(finder.resolve(&"node1".parse().unwrap(), 1688));
    assert_send(connect(&[server], Duration::ZERO));
}
