//! The connections of the node's four ports: their limits, the networks that may connect, and their counters.

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
    /// The maximum number of client connections that the limit of open files allows.
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
                "the limit on open files is low: fewer than clients.connections_max connections are accepted; raise \
                 LimitNOFILE of the unit, or `ulimit -n`"
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

    /// Takes over the lists of networks from a configuration that was read again; they apply to new connections.
    pub(crate) fn follow(&self, config: &Config) {
        let [clients, peers, admin, metrics] = rules(config);
        self.clients.set_rules(clients);
        self.peers.set_rules(peers);
        self.admin.set_rules(admin);
        self.metrics.set_rules(metrics);
    }

    /// Admission to the port of peers: connections of admitted nodes are not closed in favour of others.
    pub(crate) fn admission_of_peers(&self, registered: &Arc<Registered>) -> Admission {
        let known = Arc::clone(registered);
        let is_node = |certificate: &Certificate| matches!(certificate.subject, Subject::Node(_));
        Admission {
            connections: self.peers.clone(),
            standing: registered.standing(),
            is_known: Arc::new(move |certificate| is_node(certificate) && known.node(certificate).is_ok()),
        }
    }

    /// Admission to the port of administration: connections of all admitted callers are not closed in favour of
    /// others.
    pub(crate) fn admission_of_administrators(&self, registered: &Arc<Registered>) -> Admission {
        let known = Arc::clone(registered);
        Admission {
            connections: self.admin.clone(),
            standing: registered.standing(),
            is_known: Arc::new(move |certificate| known.holder(certificate).is_ok()),
        }
    }

    /// The connections of each port, with the port's name in metrics and log lines.
    pub(crate) fn named(&self) -> [(&'static str, &Connections); 4] {
        [("clients", &self.clients), ("peers", &self.peers), ("admin", &self.admin), ("metrics", &self.metrics)]
    }
}

/// The rules of the ports, in the order of [`Ports`].
fn rules(config: &Config) -> [Rules; 4] {
    let allow = |networks: &Vec<_>| Rules { allow: networks.clone(), exempt: Vec::new() };
    let clients = Rules { exempt: config.clients.exempt.clone(), ..allow(&config.clients.allow) };
    [clients, allow(&config.peers.allow), allow(&config.admin.allow), allow(&config.metrics.allow)]
}
