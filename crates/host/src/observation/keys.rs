//! The installed keys, as they are listed for administrators.

use std::collections::BTreeMap;

use activation::{
    host_activation::ReleaseStatement,
    id::{KeyId, NodeId, PublisherId},
    state::{Activation, InstalledKey, State},
};
use admin::wire::TextEnum;
use api::admin::v1::{self as proto, NodeActivationState};

/// By member, the state of each key with which the member cannot sign.
pub(crate) type Unusable = BTreeMap<NodeId, BTreeMap<String, NodeActivationState>>;

/// Every installed key, with every node that is a member and its activation. A node that is not a member any more is
/// left out, even where it has a certificate.
pub(crate) fn keys(state: &State, unusable: &Unusable) -> proto::ListKeysReply {
    let releases = state.publishers().flat_map(activation::state::PublisherState::pending_releases);
    proto::ListKeysReply {
        keys: state.keys().map(|key| installed(state, &key, unusable)).collect(),
        pending_releases: releases.map(|place| released(state, place)).collect(),
    }
}

fn installed(state: &State, key: &InstalledKey<'_>, unusable: &Unusable) -> proto::InstalledKey {
    let activations = unusable.iter().map(|(&node, says)| {
        let says = says.get(&key.id.to_string());
        node_activation(state, key, node, says.copied())
    });
    proto::InstalledKey {
        key_id: key.id.to_string(),
        masked: key.key.masked(),
        publisher: publisher_name(state, key.publisher),
        group: group(state, key.publisher, key.id).unwrap_or_default(),
        activations: activations.collect(),
        publisher_id: key.publisher.to_string(),
        standing: key.standing.map(|standing| proto::KeyStanding {
            hosts_limit: standing.hosts_limit,
            hosts_used: standing.hosts_used,
            told_ms: standing.told_ms,
        }),
    }
}

fn node_activation(
    state: &State,
    key: &InstalledKey<'_>,
    node: NodeId,
    says: Option<NodeActivationState>,
) -> proto::NodeActivation {
    let Some(Activation { certificate, reactivations_left }) = key.activations.get(&node) else {
        let state = NodeActivationState::Unactivated;
        let (state, state_text) = (state.into(), state.text().into());
        return proto::NodeActivation { node, state, state_text, ..proto::NodeActivation::default() };
    };
    let state_clock = state.certificate_clock_ms();
    let blocked = state.publisher(key.publisher).is_some_and(|publisher| publisher.catalog().blocks(certificate));
    let validity = certificate.validity();
    let ended = state_clock.is_some_and(|now_ms| validity.has_ended_at(now_ms));
    let state = match says {
        _ if blocked => NodeActivationState::Blocked,
        _ if ended => NodeActivationState::Ended,
        Some(unusable) => unusable,
        None => NodeActivationState::Activated,
    };
    proto::NodeActivation {
        node,
        state: state.into(),
        state_text: state.text().into(),
        issued_ms: u64::from(certificate.issued_minutes) * 60_000,
        reactivations_left: Some(*reactivations_left),
        certificate_ends_ms: validity.ends_ms(),
        renewal_due_ms: validity.due_ms(),
    }
}

/// The group of a key: that of a certificate, or else the hint in the key itself.
pub(crate) fn group(state: &State, publisher: PublisherId, key: KeyId) -> Option<String> {
    let publisher = state.publisher(publisher)?;
    let key = publisher.keys().find(|installed| installed.id == key)?;
    let certified = key.activations.values().next().map(|activation| activation.certificate.group);
    let group = publisher.catalog().group(certified.unwrap_or_else(|| key.key.group_hint()))?;
    Some(group.name.to_string())
}

pub(crate) fn released(state: &State, place: &ReleaseStatement) -> proto::PlaceReleased {
    proto::PlaceReleased {
        node: place.node,
        key_id: place.key.to_string(),
        publisher: publisher_name(state, place.publisher),
        publisher_id: place.publisher.to_string(),
    }
}

/// The publisher's name in its catalog; empty where none is installed.
pub(crate) fn publisher_name(state: &State, publisher: PublisherId) -> String {
    state.publisher(publisher).map(|publisher| publisher.name().to_owned()).unwrap_or_default()
}
