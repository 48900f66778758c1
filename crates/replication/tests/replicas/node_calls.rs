//! Calls between daemons outside the peer service.

use api::peer::v1::{ClockRequest, peer_client::PeerClient};
use replication::FROM;
use tonic::{Code, metadata::MetadataMap, transport::Endpoint};
use uuid::Uuid;

use crate::cluster::{Cluster, TIMEOUT};

#[tokio::test]
async fn a_channel_to_a_member_introduces_the_caller_and_a_plain_one_is_refused() {
    let cluster = Cluster::activated(3).await;
    let channel = cluster.node(1).replica().channel(2).unwrap();
    let called = cluster.node(1).on(async move |_| PeerClient::new(channel).clock(ClockRequest {}).await).await;
    assert!(called.is_ok(), "{called:?}");
    let plain = Endpoint::from_shared(format!("http://{}", cluster.node(2).address())).unwrap().connect_lazy();
    let refused = PeerClient::new(plain).clock(ClockRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let unknown = cluster.node(1).replica().channel(4).unwrap_err();
    assert_eq!(unknown.to_string(), "node 4 is not a member of this cluster");
}

#[tokio::test]
async fn a_second_service_admits_members_alone_and_each_with_its_own_store() {
    let cluster = Cluster::activated(3).await;
    let members = cluster.node(1).replica().cluster().members;
    let introduced = |from: &str, from_store: Uuid, to_store: Uuid| {
        let mut metadata = MetadataMap::new();
        metadata.insert(FROM, from.parse().unwrap());
        metadata.insert("quorate-from-store", from_store.to_string().parse().unwrap());
        metadata.insert("quorate-to-store", to_store.to_string().parse().unwrap());
        metadata
    };
    let (first, second, other) = (members[&1].store, members[&2].store, Uuid::from_u128(7));
    let cases = [
        (introduced("2", second, first), Ok(2), "a member"),
        (introduced("2", other, first), Err(Code::PermissionDenied), "a member's number with another store"),
        (introduced("2", second, other), Err(Code::FailedPrecondition), "a caller that means another store"),
        (MetadataMap::new(), Err(Code::Unauthenticated), "a caller without an introduction"),
    ];
    for (metadata, expected, case) in cases {
        let admitted = cluster.node(1).replica().admit(&metadata).map_err(|status| status.code());
        assert_eq!(admitted, expected, "{case}");
    }
}

#[tokio::test]
async fn a_node_answers_the_questions_of_nodes_of_the_version_before() {
    let cluster = Cluster::activated(3).await;
    let ask = |node: u64, question: &'static [u8]| {
        cluster.node(1).on(async move |replica| replica.legacy_ask(node, question.into(), TIMEOUT).await)
    };
    let refused = async |node, question| ask(node, question).await.unwrap_err().message().to_owned();
    assert_eq!(ask(3, b"disk").await.unwrap(), "3: disk");
    assert_eq!(refused(2, b"\xff").await, "no text");
    assert!(refused(4, b"disk").await.contains("not a member"));
}
