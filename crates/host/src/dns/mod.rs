//! A node's records in DNS (R25 to R29): published while it may answer clients, brought in line when the settings change,
//! and again now and then; on one node, the leader where it can, those of members that are dead; and, where a zone was
//! delegated to the nodes, the zone itself.
//!
//! What is wanted comes from the node's own configuration (its name, rank, key) and from the cluster's settings (where,
//! whether, for how long). A restart withdraws nothing: it takes seconds, and DNS forgets slowly. A node that may not
//! answer clients for as long as a dead one is borne withdraws itself.
//!
//! Invariant: never publishes a node that is not ready, and never touches a record that is not this node's or a dead
//! member's.

mod config;
mod follow;
mod key_file;
mod ledger;
mod records;
mod serve;
mod settle;
mod status;
mod watch;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    sync::{mpsc, watch as channel},
    task::JoinSet,
};

pub(crate) use self::{
    config::DnsConfig,
    ledger::Ledger,
    records::Dns,
    serve::Sockets,
    status::{status, zone},
};
use crate::{
    lifecycle::readiness::Readiness,
    peers::node_client::NodeClient,
    tasks::{self, HostTask},
};

/// Requests to settle at once.
const ORDERS_MAX: usize = 8;

/// Starts the tasks, and gives what commands ask.
pub(crate) fn start(
    (own, ledger, sockets, clients): (DnsConfig, Ledger, Vec<Sockets>, channel::Receiver<SocketAddr>),
    nodes: NodeClient,
    readiness: Arc<Readiness>,
    seed: u64,
    background: &mut JoinSet<()>,
) -> Arc<Dns> {
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let port = clients.borrow().port();
    let dns = Arc::new(Dns {
        announcement: Mutex::new(own.announcement(port)),
        clients,
        own,
        replica: nodes.replica().clone(),
        nodes,
        readiness,
        ledger,
        standing: Mutex::default(),
        strangers: Mutex::default(),
        orders,
        zone: channel::Sender::new(None),
    });
    tasks::spawn(background, HostTask::DnsPublishing, follow::run(Arc::clone(&dns), received, seed));
    tasks::spawn(background, HostTask::DnsWatch, watch::run(Arc::clone(&dns)));
    if let Some(served) = dns.own.served.clone() {
        tasks::spawn(background, HostTask::DnsZone, serve::run(Arc::clone(&dns), served, sockets));
    }
    dns
}
