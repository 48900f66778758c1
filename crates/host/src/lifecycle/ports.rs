//! The connections of the node's four ports: how many, of whom, and what became of them.

use std::sync::Arc;

use transport::{Admission, Certificate, Connections, Limits, Rules, Subject};

use crate::{
    config::Config,
    credentials::registered::Registered,
    lifecycle::descriptors::{Shares, descriptor_limit},
};

/// The connections of each port.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) clients: Connections,
    pub(crate) peers: Connections,
    pub(crate) admin: Connections,
    pub(crate) metrics: Connections,
    /// Most connections of clients that the limit of open files leaves room for.
    pub(crate) clients_max: usize,
}

impl Ports {
    pub(crate) fn new(config: &Config) -> Self {
        let [clients, peers, admin, metrics] = rules(config);
        let descriptors = descriptor_limit();
        let shares = Shares::of(descriptors, config.clients.connections_max);
        if shares.clients < config.clients.connections_max {
            tracing::warn!(
                descriptors,
                connections = shares.clients,
                wanted = config.clients.connections_max,
                "few files may be open: fewer clients than clients.connections_max are served at once; raise LimitNOFILE of the \
                 unit, or `ulimit -n`"
            );
        }
        let of_clients = Limits::without_certificates(shares.clients, config.clients.connections_per_source_default);
        let of_metrics = Limits::without_certificates(shares.metrics, shares.metrics_per_source());
        Self {
            clients: Connections::new("clients", of_clients, clients),
            peers: Connections::new("peers", shares.peers, peers),
            admin: Connections::new("admin", shares.admin, admin),
            metrics: Connections::new("metrics", of_metrics, metrics),
            clients_max: shares.clients,
        }
    }

    /// Takes the lists of networks from a configuration that was read again, from the next connection on.
    pub(crate) fn follow(&self, config: &Config) {
        let [clients, peers, admin, metrics] = rules(config);
        self.clients.set_rules(clients);
        self.peers.set_rules(peers);
        self.admin.set_rules(admin);
        self.metrics.set_rules(metrics);
    }

    /// On the port of peers the connections of nodes that are let in are not closed for others.
    pub(crate) fn admission_of_peers(&self, registered: &Arc<Registered>) -> Admission {
        let known = Arc::clone(registered);
        let is_node = |certificate: &Certificate| matches!(certificate.subject, Subject::Node(_));
        Admission {
            connections: self.peers.clone(),
            standing: registered.standing(),
            is_known: Arc::new(move |certificate| is_node(certificate) && known.node(certificate).is_ok()),
        }
    }

    /// On the port of administration the connections of all who are let in are not closed for others.
    pub(crate) fn admission_of_administrators(&self, registered: &Arc<Registered>) -> Admission {
        let known = Arc::clone(registered);
        Admission {
            connections: self.admin.clone(),
            standing: registered.standing(),
            is_known: Arc::new(move |certificate| known.holder(certificate).is_ok()),
        }
    }

    /// Each with the name that its metrics and log lines have.
    pub(crate) fn named(&self) -> [(&'static str, &Connections); 4] {
        [("clients", &self.clients), ("peers", &self.peers), ("admin", &self.admin), ("metrics", &self.metrics)]
    }
}

/// Of the ports in the order of [`Ports`].
fn rules(config: &Config) -> [Rules; 4] {
    let allow = |networks: &Vec<_>| Rules { allow: networks.clone(), exempt: Vec::new() };
    let clients = Rules { exempt: config.clients.exempt.clone(), ..allow(&config.clients.allow) };
    [clients, allow(&config.peers.allow), allow(&config.admin.allow), allow(&config.metrics.allow)]
}
