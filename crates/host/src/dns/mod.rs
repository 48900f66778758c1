//! A node's records in DNS (R25 to R29). They are published while the node may answer clients, and updated when the
//! settings change and again periodically. One node, the leader where it can, withdraws the records of dead members.
//! Where a zone was delegated to the nodes, they also serve the zone itself.
//!
//! The wanted records follow from the node's own configuration (its name, rank, key) and from the cluster's settings
//! (domains, whether to publish, how long). A restart withdraws nothing: it takes seconds, and resolvers cache
//! records for longer. A node that may not answer clients withdraws its own records after the same time after which
//! a dead member's are withdrawn.
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

/// Requests to settle that may wait.
const ORDERS_MAX: usize = 8;

/// Starts the DNS tasks, and returns the handle through which commands reach them.
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
