//! Signs certificates for nodes, as an organisation's own authority would.

use std::{fs, path::PathBuf, time::Duration};

use transport::{Authority, Subject};

use crate::{Cluster, now_ms};

/// Writes authority, certificate and key of a node, and replaces existing ones. Returns their paths.
pub fn certify(organisation: &Authority, cluster: &Cluster, node: u64, lifetime: Duration) -> [PathBuf; 3] {
    let [authority, certificate, key] =
        ["authority", "certificate", "key"].map(|kind| cluster.path(&format!("{node}-{kind}.pem")));
    let issued = organisation.issue_with_key(&Subject::Node(node), now_ms(), lifetime);
    let (certificate_pem, key_pem) = issued.expect("an authority issues certificates");
    fs::write(&key, key_pem.as_bytes()).expect("a test's own folder takes a file");
    fs::write(&certificate, certificate_pem).expect("a test's own folder takes a file");
    fs::write(&authority, organisation.certificate_pem()).expect("a test's own folder takes a file");
    [authority, certificate, key]
}

/// Removes the cluster's own authority from all nodes of a cluster that does not run yet, and gives them certificates
/// of the organisation.
pub fn certify_all(organisation: &Authority, cluster: &mut Cluster, lifetime: Duration) {
    for node in cluster.numbers() {
        fs::remove_dir_all(cluster.node(node).data.join("tls")).expect("host init has made it");
        let files = certify(organisation, cluster, node, lifetime);
        for (kind, file) in ["AUTHORITY", "CERTIFICATE", "KEY"].into_iter().zip(files) {
            cluster.set_variable(node, &format!("QUORATE_TLS_{kind}"), file);
        }
    }
}
