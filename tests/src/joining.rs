//! Lets a node of a test's cluster join with a token, as on a machine of its own.

use std::fs;

use crate::Cluster;

/// Replaces the certificate of a stopped node with one that `host init --join` gets for a token of the node `via`. The
/// node keeps its addresses.
pub async fn join(cluster: &Cluster, via: u64, node: u64) {
    let made = cluster.administrate(via, &words!["cluster", "token"]).await;
    let token = made.get("token").and_then(serde_json::Value::as_str).expect("there is a token").to_owned();
    let address = cluster.node(via).admin.to_string();
    let (config, data) = (&cluster.node(node).config, &cluster.node(node).data);
    fs::remove_dir_all(data.join("tls")).expect("the node has a certificate");
    let written = fs::read_to_string(config).expect("the node has a configuration");
    fs::remove_file(config).expect("a test's own file can be removed");
    let (number, peers) = (node.to_string(), cluster.node(node).peers.to_string());
    let init = words!["host", "init", "--config", config, "--data", data, "--node", number, "--peers-listen", peers];
    let joined = cluster.run(&[&init[..], &words!["--join", address, "--token", token]].concat()).await;
    assert_eq!(joined.code, Some(0), "{}", joined.stderr);
    // Restores the configuration, which has the addresses that the test uses.
    fs::write(config, written).expect("a test's own folder takes a file");
}
