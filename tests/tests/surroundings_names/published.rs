//! Addresses and ports under which clients and nodes reach a node, where they are not the ones that it listens on.

use quorate_tests::{Cluster, Named, Plan, Quorate, ZONE, eventually, words};

use super::QUORATE;

async fn published(variables: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let named = Named::start(1, "").await;
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan { variables, ..Plan::of(1) }).await;
    named.publishes(&mut cluster);
    if variables.iter().any(|(name, value)| *name == "QUORATE_CLIENTS_ADVERTISE" && value.contains(ZONE)) {
        cluster.unset_variable(1, "QUORATE_DNS_TARGET");
    }
    cluster.form().await;
    cluster.activate().await;
    let hosts = eventually("a record stands", async || {
        let hosts = named.hosts().await;
        (!hosts.is_empty()).then_some(hosts)
    })
    .await;
    (hosts, named.dig("A", &format!("node1.{ZONE}")).await)
}

#[tokio::test]
async fn a_node_behind_a_port_mapping_publishes_the_address_port_and_name_at_which_clients_reach_it() {
    let record = |port: u16| vec![format!("0 0 {port} node1.{ZONE}.")];
    let advertised = ("QUORATE_CLIENTS_ADVERTISE", "192.0.2.7:16880");
    assert_eq!(published(&[advertised]).await, (record(16880), vec!["192.0.2.7".to_owned()]));
    let both = [advertised, ("QUORATE_DNS_PORT", "16881"), ("QUORATE_DNS_ADDRESSES", "192.0.2.8")];
    assert_eq!(published(&both).await, (record(16881), vec!["192.0.2.8".to_owned()]));
    let name = format!("node1.{ZONE}:16882");
    assert_eq!(published(&[("QUORATE_CLIENTS_ADVERTISE", &name)]).await.0, record(16882));
}

#[tokio::test]
async fn host_init_refuses_to_listen_for_peers_on_loopback_where_members_are_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let init = async |more: &[&str]| {
        let (config, data) = (folder.path().join("node.toml"), folder.path().join("data"));
        let mut command = words!["host", "init", "--config", &config, "--node", "1", "--data", &data].to_vec();
        command.extend(more.iter().map(Into::into));
        let finished = Quorate::at(QUORATE).run(command).await;
        assert_eq!(config.exists(), finished.code == Some(0), "{}", finished.stderr);
        finished
    };
    for members in ["1=10.0.0.1:1689,2=10.0.0.2:1689", "1=127.0.0.1:1689,2=node2.example.test:1689"] {
        let refused = init(&["--peers-members", members]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        for said in ["peers.listen", "127.0.0.1:1689", "other nodes could not connect to this one", "--peers-listen"] {
            assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
        }
    }
    let wrong = init(&["--peers-members", "1=127.0.0.1:1689", "--clients-advertise", "host:0"]).await;
    assert!(wrong.code == Some(2) && wrong.stderr.contains("clients.advertise"), "{}", wrong.stderr);
    let several = "1=10.0.0.1:1689,2=10.0.0.2:1689";
    let refused = init(&["--peers-members", several, "--peers-listen", "0.0.0.0:1689"]).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("quorate cluster token"), "{}", refused.stderr);
    for (more, said) in [(&[][..], "--peers-listen ADDRESS:PORT"), (&["--peers-listen", "[::]:1689"], "peers.members")]
    {
        let refused = init(more).await;
        assert!(refused.code == Some(2) && refused.stderr.contains(said), "{}", refused.stderr);
    }
    let given = init(&["--peers-members", "1=10.0.0.1:1689", "--peers-listen", "0.0.0.0:1689"]).await;
    assert_eq!(given.code, Some(0), "{}", given.stderr);
}
