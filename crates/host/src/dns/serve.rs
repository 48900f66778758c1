//! The zone that was delegated to the nodes: every second the node checks which members may answer clients, and
//! answers DNS queries accordingly.
//!
//! A node without a leader may be cut off from the majority: it answers that it does not know the content, so that
//! resolvers ask another node.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use activation::settings::Announcement;
use discovery::{DnsName, Snapshot, Srv};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
    time::sleep,
};

use super::{
    config::Served,
    records::{Dns, listed, shown},
};
use crate::tasks::{self, HostTask};

/// Pause between two checks.
const EVERY: Duration = Duration::from_secs(1);
/// Pause between two checks while this node does not know the content of the zone.
const EVERY_AT_FIRST: Duration = Duration::from_millis(100);

/// The sockets of one address on which the node answers DNS, over UDP and TCP.
pub(crate) type Sockets = (UdpSocket, TcpListener);

pub(super) async fn run(dns: Arc<Dns>, served: Served, sockets: Vec<Sockets>) {
    // The servers end with this task.
    let mut serving = JoinSet::new();
    for (datagrams, connections) in sockets {
        let server = discovery::serve(served.delegated.clone(), dns.zone.subscribe(), datagrams, connections);
        tasks::spawn(&mut serving, HostTask::DnsServer, server);
    }
    // Members that are silent now stay name servers.
    let mut servers = BTreeSet::from([dns.node()]);
    let mut progress = dns.replica.progress();
    let mut seen = 0;
    loop {
        let now = dns.zone_now(&served, &mut servers).await;
        let pause = if now.is_some() { EVERY } else { EVERY_AT_FIRST };
        dns.zone.send_if_modified(|standing| take(standing, now, dns.now_s()));
        // A change of the configuration, such as an activation or an announcement, ends the pause.
        tokio::select! {
            () = sleep(pause) => {}
            changed = progress.wait_for(|progress| progress.configuration_index > seen) => match changed {
                Ok(progress) => seen = progress.configuration_index,
                Err(_) => return,
            },
        }
    }
}

/// Takes the new content over. Returns whether it changed; if so, the serial grows.
fn take(standing: &mut Option<Snapshot>, now: Option<Snapshot>, now_s: u64) -> bool {
    let Some(mut now) = now else { return standing.take().is_some() };
    let before = standing.as_ref().map_or(0, |standing| standing.serial);
    now.serial = before;
    if standing.as_ref() == Some(&now) {
        return false;
    }
    let seconds = u32::try_from(now_s & u64::from(u32::MAX)).unwrap_or_default();
    now.serial = seconds.max(before.wrapping_add(1));
    *standing = Some(now);
    true
}

impl Dns {
    /// The present content of the zone; `None` where this node knows no leader.
    async fn zone_now(&self, served: &Served, servers: &mut BTreeSet<u64>) -> Option<Snapshot> {
        let seen = self.look().await;
        self.replica.cluster().leader?;
        let zone = shown(&served.zone);
        servers.extend(seen.iter().filter(|(_, readiness)| readiness.serves_zone == zone).map(|(node, _)| *node));
        let mut snapshot = Snapshot::default();
        self.replica.view(|state| {
            for (node, of) in state.announcements() {
                let target = DnsName::from(&of.target);
                if servers.contains(node) {
                    snapshot.name_servers.push(target.clone());
                }
                snapshot.addresses.insert(target.clone(), of.addresses.clone());
                if seen.get(node).is_some_and(|readiness| readiness.ready) {
                    let listed = listed(state.settings(), of).into_iter().find(|domain| domain.name == served.domain);
                    let (priority, weight) = listed.map_or_else(|| own_rank(of), |at| (at.priority, at.weight));
                    snapshot.ready.push(Srv { target, port: of.port, priority, weight });
                }
            }
        });
        Some(snapshot)
    }

    /// The name servers of the zone with the addresses that the parent zone needs: this node, and every member that
    /// reports that it serves the zone or is silent.
    pub(super) async fn name_servers(&self, served: &Served) -> Vec<(DnsName, Vec<IpAddr>)> {
        let (seen, zone) = (self.look().await, shown(&served.zone));
        let serves = |node: &u64| seen.get(node).is_none_or(|readiness| readiness.serves_zone == zone);
        let mut announced = self.replica.view(|state| state.announcements().clone());
        announced.insert(self.node(), self.announcement());
        let members = announced.into_iter().filter(|(node, _)| serves(node));
        members.map(|(_, of)| (DnsName::from(&of.target), of.addresses)).collect()
    }
}

fn own_rank(of: &Announcement) -> (u16, u16) {
    (of.rank.priority, of.rank.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_grows_with_every_change_and_only_then() {
        let target: DnsName = "node1.example.test".parse().unwrap_or_else(|_| unreachable!("a name"));
        let ready = |weight| {
            let srv = Srv { target: target.clone(), port: 1688, priority: 0, weight };
            Some(Snapshot { ready: vec![srv], ..Snapshot::default() })
        };
        let mut standing = None;
        assert!(take(&mut standing, ready(1), 1000));
        assert!(!take(&mut standing, ready(1), 1001), "nothing changed");
        assert!(take(&mut standing, ready(2), 900), "the clock went back");
        assert_eq!(standing.as_ref().map(|zone| zone.serial), Some(1001));
        assert!(take(&mut standing, ready(3), 2000));
        assert_eq!(standing.as_ref().map(|zone| zone.serial), Some(2000));
        assert!(take(&mut standing, None, 2001) && standing.is_none());
        assert!(!take(&mut standing, None, 2002));
    }
}
