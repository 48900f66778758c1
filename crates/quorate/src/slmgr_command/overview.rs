//! A host's status on one page: `/dli`, and with more detail `/dlv`.

use std::{fmt, process::ExitCode};

use admin::wire::{TextEnum, activation_state, node_role};
use api::admin::v1::{
    ClusterStatusReply, ClusterStatusRequest, CountReply, CountRequest, GetSettingsRequest, ListKeysReply,
    ListKeysRequest, NodeActivationState, NodeStatus, SettingValue,
};
use serde_json::{Map, Value, json};

use crate::{
    administration::{AdminArgs, refused},
    output::{CommandResult, Failure, Output},
};

/// The status of a host and of its cluster.
struct Overview {
    cluster: ClusterStatusReply,
    keys: ListKeysReply,
    counts: CountReply,
    settings: Vec<SettingValue>,
    own: Vec<SettingValue>,
    is_long: bool,
}

/// Number of the node to which the command is connected.
pub(super) fn node(admin: &AdminArgs) -> Result<u64, Failure> {
    let reply = admin.ask(async |admin| admin.cluster_status(ClusterStatusRequest {}).await)?;
    Ok(reply.answered_by)
}

pub(super) fn run(admin: &AdminArgs, is_long: bool, output: &Output) -> CommandResult {
    let overview = admin.run(async |mut admin| {
        let cluster = admin.cluster_status(ClusterStatusRequest {}).await.map_err(refused)?.into_inner();
        let keys = admin.list_keys(ListKeysRequest {}).await.map_err(refused)?.into_inner();
        let counts = admin.count(CountRequest::default()).await.map_err(refused)?.into_inner();
        let settings = admin.get_settings(GetSettingsRequest { node: 0 }).await.map_err(refused)?.into_inner().settings;
        let own = GetSettingsRequest { node: cluster.answered_by };
        let own = admin.get_settings(own).await.map_err(refused)?.into_inner().settings;
        Ok(Overview { cluster, keys, counts, settings, own, is_long })
    })?;
    output.result(&overview.json(), &overview);
    Ok(ExitCode::SUCCESS)
}

impl Overview {
    fn node(&self) -> Option<&NodeStatus> {
        self.cluster.nodes.iter().find(|node| node.node == self.cluster.answered_by)
    }

    /// The node's activations, one for each key: the key with its publisher and group, and the state of its
    /// activation.
    fn activations(&self) -> impl Iterator<Item = (&api::admin::v1::InstalledKey, &str)> {
        self.keys.keys.iter().map(|key| {
            let own = key.activations.iter().find(|activation| activation.node == self.cluster.answered_by);
            (key, own.map_or(NodeActivationState::Unactivated, activation_state).text())
        })
    }

    fn json(&self) -> Value {
        let settings = |settings: &[SettingValue]| -> Map<String, Value> {
            settings.iter().map(|setting| (setting.name.clone(), setting.value.clone().into())).collect()
        };
        let keys = self.activations().map(|(key, state)| {
            json!({
                "key": key.masked, "key_id": key.key_id, "publisher": key.publisher, "group": key.group, "state": state,
                "hosts_used": key.standing.map(|standing| standing.hosts_used),
                "hosts_limit": key.standing.map(|standing| standing.hosts_limit),
            })
        });
        let counts = self.counts.applications.iter().map(|application| {
            json!({ "publisher": application.publisher, "application": application.application, "count": application.count })
        });
        json!({
            "node": self.cluster.answered_by,
            "leader": (self.cluster.leader != 0).then_some(self.cluster.leader),
            "ready": self.node().is_some_and(|node| node.ready),
            "port": self.node().map(|node| node.clients_port),
            "keys": keys.collect::<Vec<_>>(),
            "counts": counts.collect::<Vec<_>>(),
            "settings": settings(&self.settings),
            "node_settings": settings(&self.own),
        })
    }
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<22} {value}");
        let setting = |name: &str| {
            let found = self.settings.iter().chain(&self.own).find(|setting| setting.name == name);
            found.map_or("", |setting| setting.value.as_str())
        };
        let (own, nodes) = (self.cluster.answered_by, self.cluster.nodes.len());
        line("Host", format!("node {own} of {nodes} nodes that share the count"))?;
        if self.keys.keys.is_empty() {
            line("Key", "none; install one with /ipk KEY".into())?;
        }
        for (key, state) in self.activations() {
            line("Key", format!("{} of {}", key.masked, key.publisher))?;
            let group = if key.group.is_empty() { String::new() } else { format!(", group {}", key.group) };
            line("License status", format!("{state}{group}"))?;
            if let Some(standing) = key.standing {
                line("Activated hosts", format!("{} of {}", standing.hosts_used, standing.hosts_limit))?;
            }
            if self.is_long {
                line("Key id", key.key_id.clone())?;
            }
        }
        for application in &self.counts.applications {
            line("Current count", format!("{} ({})", application.count, application.application))?;
            for product in application.products.iter().filter(|_| self.is_long) {
                let met = if product.met { "reached" } else { "not reached" };
                line("", format!("{}: threshold {}, {met}", product.product, product.threshold))?;
            }
        }
        if let Some(node) = self.node() {
            line("Listening on port", node.clients_port.to_string())?;
        }
        let publishing = if setting("dns.publish") == "true" { "on" } else { "off" };
        line("DNS publishing", publishing.into())?;
        line("Priority", if setting("process.low_priority") == "true" { "low" } else { "normal" }.into())?;
        line("Activation interval", format!("{} minutes", setting("activation.interval_minutes")))?;
        line("Renewal interval", format!("{} minutes", setting("renewal.interval_minutes")))?;
        for node in self.cluster.nodes.iter().filter(|_| self.is_long) {
            let ready = if node.ready { "ready".to_owned() } else { format!("not ready: {}", node.not_ready_because) };
            let version = if node.version.is_empty() { String::new() } else { format!(", version {}", node.version) };
            line("Node", format!("{}, {}, {ready}{version}", node.node, node_role(node).text()))?;
        }
        let leader = self.cluster.leader;
        f.write_str(&if leader == 0 {
            "No leader is known".to_owned()
        } else {
            format!("Node {leader} is the leader")
        })?;
        write!(f, "; failures tolerated: {}.", self.cluster.failure_tolerance)
    }
}
