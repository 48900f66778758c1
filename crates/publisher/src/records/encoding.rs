//! Encodes and decodes records. This version or an older one wrote the records that are read.

use activation::{
    certificate::NodeCertificate,
    id::{MachineDigest, NodeId, node_id},
};
use bytes::Bytes;
use prost::Message;

use super::{
    activation::Activation,
    error::{RecordsError, damaged},
};
use crate::{
    issued::{DirectKey, Host, IssuedKey, KeyLimits, RequiredIdentity},
    proto,
};

pub(super) fn encode_key(key: &IssuedKey) -> Vec<u8> {
    proto::IssuedKey {
        key: key.key.to_string(),
        group: key.group.to_string(),
        hosts_limit: key.limits.hosts,
        reactivations_limit: key.limits.reactivations,
        issued_ms: key.issued_ms,
        hosts: key.hosts.iter().map(encode_host).collect(),
        former_hosts: key.former_hosts.iter().map(encode_host).collect(),
        blocked: key.blocked,
        machine_only: key.identity == RequiredIdentity::Machine,
    }
    .encode_to_vec()
}

pub(super) fn decode_key(value: &[u8]) -> Result<IssuedKey, RecordsError> {
    let raw = proto::IssuedKey::decode(value).map_err(|_| damaged("a key"))?;
    Ok(IssuedKey {
        key: raw.key.parse().map_err(|_| damaged("the symbols of a key"))?,
        group: raw.group.parse().map_err(|_| damaged("the group of a key"))?,
        limits: KeyLimits { hosts: raw.hosts_limit, reactivations: raw.reactivations_limit },
        identity: if raw.machine_only { RequiredIdentity::Machine } else { RequiredIdentity::Any },
        issued_ms: raw.issued_ms,
        hosts: raw.hosts.iter().map(decode_host).collect::<Result<_, _>>()?,
        former_hosts: raw.former_hosts.iter().map(decode_host).collect::<Result<_, _>>()?,
        blocked: raw.blocked,
    })
}

fn encode_host(host: &Host) -> proto::Host {
    proto::Host {
        machine: Bytes::copy_from_slice(&host.machine.0),
        node: node_number(host.node),
        node_key: Bytes::copy_from_slice(&host.node_key),
        reactivations: host.reactivations,
        activated_ms: host.activated_ms,
    }
}

fn decode_host(raw: &proto::Host) -> Result<Host, RecordsError> {
    Ok(Host {
        machine: MachineDigest::try_from(raw.machine.as_ref()).map_err(|_| damaged("the machine of a host"))?,
        node: node_id(raw.node.into()).map_err(|_| damaged("the node of a host"))?,
        node_key: raw.node_key.as_ref().try_into().map_err(|_| damaged("the node key of a host"))?,
        reactivations: raw.reactivations,
        activated_ms: raw.activated_ms,
    })
}

pub(super) fn encode_activation(activation: &Activation) -> Vec<u8> {
    proto::Activation {
        request_digest: Bytes::copy_from_slice(&activation.request_digest),
        key: Bytes::copy_from_slice(&activation.certificate.key.0),
        node: node_number(activation.node),
        machine: Bytes::copy_from_slice(&activation.machine.0),
        activated_ms: activation.activated_ms,
        certificate: activation.certificate.encode().into(),
    }
    .encode_to_vec()
}

pub(super) fn decode_activation(request_id: [u8; 16], value: &[u8]) -> Result<Activation, RecordsError> {
    let raw = proto::Activation::decode(value).map_err(|_| damaged("an activation"))?;
    let machine = MachineDigest::try_from(raw.machine.as_ref());
    Ok(Activation {
        request_id,
        request_digest: raw.request_digest.as_ref().try_into().map_err(|_| damaged("the digest of a request"))?,
        node: node_id(raw.node.into()).map_err(|_| damaged("the node of an activation"))?,
        machine: machine.map_err(|_| damaged("the machine of an activation"))?,
        activated_ms: raw.activated_ms,
        certificate: NodeCertificate::decode(&raw.certificate).map_err(|_| damaged("a certificate"))?,
    })
}

pub(super) fn encode_direct_key(key: &DirectKey) -> Vec<u8> {
    proto::DirectKey {
        key: key.key.to_string(),
        product: key.product.to_string(),
        activations_limit: key.activations,
        activations_used: key.used,
        issued_ms: key.issued_ms,
        blocked: key.blocked,
    }
    .encode_to_vec()
}

pub(super) fn decode_direct_key(value: &[u8]) -> Result<DirectKey, RecordsError> {
    let raw = proto::DirectKey::decode(value).map_err(|_| damaged("a direct key"))?;
    Ok(DirectKey {
        key: raw.key.parse().map_err(|_| damaged("the symbols of a direct key"))?,
        product: raw.product.parse().map_err(|_| damaged("the product of a direct key"))?,
        activations: raw.activations_limit,
        used: raw.activations_used,
        issued_ms: raw.issued_ms,
        blocked: raw.blocked,
    })
}

fn node_number(node: NodeId) -> u32 {
    // The conversion loses nothing: every parser refuses a larger node id.
    u32::try_from(node).unwrap_or(u32::MAX)
}
