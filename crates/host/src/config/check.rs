//! Checks of the whole configuration: ranges, and combinations of values that no single value shows.

use discovery::FixedHost;

use crate::config::{
    declaration::TooSmall,
    error::ConfigError,
    sections::{Config, Tls},
};

impl Config {
    /// Refuses a configuration that cannot work. `origin` is the file name in the error.
    pub(super) fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let refuse = |key, what: String, fix| Err(ConfigError::Value { origin: origin.into(), key, what, fix });
        if activation::id::node_id(self.node).is_err() {
            return refuse("node", format!("{} is not a node number", self.node), "give one from 1 to 65535");
        }
        let sections = [
            self.clients.too_small(),
            self.gateway.too_small(),
            self.peers.too_small(),
            self.admin.too_small(),
            self.metrics.too_small(),
            self.console.too_small(),
            self.audit.too_small(),
            self.log.too_small(),
            self.tls.too_small(),
            self.raft.too_small(),
            self.dns.too_small(),
            self.drain.too_small(),
        ];
        if let Some(TooSmall { key, number, fix }) = sections.into_iter().find_map(|found| found) {
            return refuse(key, format!("it is {number}"), fix);
        }
        if let Some(advertised) = &self.clients.advertise
            && let Err(error) = advertised.parse::<FixedHost>()
        {
            return refuse(
                "clients.advertise",
                error.to_string(),
                "give HOST or HOST:PORT, as clients reach this node",
            );
        }
        let times = self.election_times();
        if !times.is_sorted_by(|shorter, longer| shorter < longer) {
            let [heartbeat_ms, min_ms, max_ms] = times.map(|time| time.as_millis());
            return refuse(
                "raft.election_timeout_min_ms",
                format!("{heartbeat_ms}, {min_ms}, {max_ms} are not in ascending order"),
                "the heartbeat interval must be below the minimum election timeout, and that below the maximum",
            );
        }
        let Tls { authority, certificate, key, crl } = &self.tls;
        if ![certificate.is_some(), key.is_some()].iter().all(|given| *given == authority.is_some()) {
            let fix = "give tls.authority, tls.certificate and tls.key, or none of them";
            return refuse("tls.authority", "an organisation's authority needs all three files".into(), fix);
        }
        if crl.is_some() && authority.is_none() {
            let fix = "set tls.authority, tls.certificate and tls.key too, or remove it: with the cluster's own \
                       authority, use `quorate cluster revoke`";
            return refuse("tls.crl", "the cluster's own authority has no revocation list".into(), fix);
        }
        let members = &self.peers.members;
        if !members.is_empty() && !members.contains_key(&self.node) {
            let what = format!("this node, {}, is not listed", self.node);
            return refuse("peers.members", what, "list every node of the first cluster, including this one");
        }
        Ok(())
    }
}
