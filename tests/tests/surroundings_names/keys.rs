//! A TSIG key file that is replaced while the node runs.

use quorate_tests::{Cluster, Named, Plan, Quorate, eventually};

use super::QUORATE;

#[tokio::test]
async fn a_key_file_that_was_replaced_is_read_again_and_a_secret_may_have_blanks_in_it() {
    let named = Named::start(1, "").await;
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    named.publishes(&mut cluster);
    let file = cluster.path("node1.key");
    std::fs::copy(named.wrong_key_file(1), &file).unwrap();
    cluster.set_variable(1, "QUORATE_DNS_KEY_FILE", &file);
    cluster.form().await;
    cluster.activate().await;
    let said = async |what: &str| {
        eventually(what, async || cluster.said(1).contains(what).then_some(())).await;
    };
    said("BADSIG").await;

    // An invalid key file leaves the previous key in force, and is reported.
    std::fs::write(&file, "no key").unwrap();
    said("changed and cannot be used").await;
    let next = cluster.path("next");
    std::fs::write(&next, named.key_with_blanks(1)).unwrap();
    std::fs::rename(&next, &file).unwrap();
    eventually("the record stands without a restart", async || (named.hosts().await.len() == 1).then_some(())).await;
    said("reloaded the TSIG key").await;
}
