//! The enums of `admin.proto`: their texts, and how to read them from messages of this version and of earlier
//! versions, which sent only the text.

use api::admin::v1::{
    CertificateRole, CreateTokenRequest, DnsRecord, DnsRecordState, ElectionProfile, EnrollReply, NodeActivation,
    NodeActivationState, NodeDnsState, NodeRole, NodeState, NodeStatus, UnusableKey,
};

/// Metadata of an administrator's request: 16 random bytes. In a cluster that writes format 3 or later, a request
/// that is repeated with the same bytes is carried out once.
pub const REQUEST_ID_METADATA: &str = "quorate-request-bin";

/// An enum of `admin.proto` whose values have a text, which is printed and sent to earlier versions.
pub trait TextEnum: Copy + Default + PartialEq + TryFrom<i32> + 'static {
    /// Every value except the unspecified one.
    const TEXTS: &'static [(Self, &'static str)];

    /// The text of this value; empty where it is unspecified.
    fn text(self) -> &'static str {
        let found = Self::TEXTS.iter().find(|(value, _)| *value == self);
        found.map_or("", |(_, text)| text)
    }

    /// The value with this text; unspecified where there is none.
    #[must_use]
    fn from_text(text: &str) -> Self {
        let found = Self::TEXTS.iter().find(|(_, known)| *known == text);
        found.map_or_else(Self::default, |(value, _)| *value)
    }
}

impl TextEnum for NodeRole {
    const TEXTS: &'static [(Self, &'static str)] =
        &[(Self::Leader, "leader"), (Self::Voter, "voter"), (Self::Learner, "learner")];
}

impl TextEnum for NodeState {
    const TEXTS: &'static [(Self, &'static str)] = &[
        (Self::Ok, "ok"),
        (Self::Lagging, "lagging"),
        (Self::Diverged, "diverged"),
        (Self::Quarantined, "quarantined"),
        (Self::Unreachable, "unreachable"),
        (Self::Draining, "draining"),
        (Self::Stopped, "stopped"),
    ];
}

impl TextEnum for ElectionProfile {
    const TEXTS: &'static [(Self, &'static str)] = &[(Self::Near, "near"), (Self::Far, "far")];
}

impl TextEnum for NodeDnsState {
    // A failure is reported by its error.
    const TEXTS: &'static [(Self, &'static str)] =
        &[(Self::Published, "published"), (Self::Withdrawn, "withdrawn"), (Self::None, "none")];
}

impl TextEnum for DnsRecordState {
    const TEXTS: &'static [(Self, &'static str)] = &[
        (Self::Own, "own"),
        (Self::Member, "member"),
        (Self::Dead, "dead"),
        (Self::Known, "known"),
        (Self::Foreign, "foreign"),
        (Self::Missing, "missing"),
    ];
}

impl TextEnum for NodeActivationState {
    const TEXTS: &'static [(Self, &'static str)] = &[
        (Self::Activated, "activated"),
        (Self::Unactivated, "unactivated"),
        (Self::Blocked, "blocked"),
        (Self::Changed, "changed"),
        (Self::Lost, "lost"),
        (Self::Ended, "ended"),
    ];
}

impl TextEnum for CertificateRole {
    const TEXTS: &'static [(Self, &'static str)] = &[
        (Self::Node, "node"),
        (Self::Administrator, "administrator"),
        (Self::Operator, "operator"),
        (Self::Reader, "reader"),
    ];
}

/// The enum, or where that is unspecified the value for the text that an earlier version sent.
fn received<E: TextEnum>(number: i32, text: &str) -> E {
    match E::try_from(number) {
        Ok(value) if value != E::default() => value,
        _ => E::from_text(text),
    }
}

/// The role of a member.
#[must_use]
pub fn node_role(node: &NodeStatus) -> NodeRole {
    received(node.role, &node.role_text)
}

/// Whether a member can contribute to the quorum; unspecified where that is unknown, or where the reply is of an
/// earlier version.
#[must_use]
pub fn node_state(node: &NodeStatus) -> NodeState {
    received(node.state, "")
}

/// The election profile in force on a member; unspecified where the node did not answer, or runs an earlier version.
#[must_use]
pub fn election_profile(node: &NodeStatus) -> ElectionProfile {
    received(node.election_profile, "")
}

/// The state of a node's own records in DNS; unspecified where the node did not answer.
#[must_use]
pub fn node_dns(node: &NodeStatus) -> NodeDnsState {
    match received(node.dns, &node.dns_text) {
        // Earlier versions sent the error in place of a state.
        NodeDnsState::Unspecified if !node.dns_text.is_empty() => NodeDnsState::Failed,
        state => state,
    }
}

/// The state of a node's own records in DNS as text: the last error where it failed, empty where the node did not
/// answer.
#[must_use]
pub fn node_dns_text(node: &NodeStatus) -> &str {
    match node_dns(node) {
        NodeDnsState::Failed if node.dns_error.is_empty() => &node.dns_text,
        NodeDnsState::Failed => &node.dns_error,
        state => state.text(),
    }
}

/// The owner of a record in DNS.
#[must_use]
pub fn record_state(record: &DnsRecord) -> DnsRecordState {
    received(record.state, &record.state_text)
}

/// The state of a node for one host key.
#[must_use]
pub fn activation_state(activation: &NodeActivation) -> NodeActivationState {
    received(activation.state, &activation.state_text)
}

/// Why a node cannot sign with a key.
#[must_use]
pub fn unusable_state(key: &UnusableKey) -> NodeActivationState {
    received(key.state, &key.state_text)
}

/// The role that is requested for a token.
#[must_use]
pub fn token_role(asked: &CreateTokenRequest) -> CertificateRole {
    received(asked.role, &asked.role_text)
}

/// The role of a certificate that was issued for a token.
#[must_use]
pub fn enrolled_role(reply: &EnrollReply) -> CertificateRole {
    received(reply.role, &reply.role_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts_lead_back<E: TextEnum + std::fmt::Debug>() {
        for (value, text) in E::TEXTS {
            assert_eq!((value.text(), E::from_text(text)), (*text, *value));
            assert_eq!(received::<E>(0, text), *value, "from a version before");
        }
        assert_eq!(received::<E>(0, "something new"), E::default());
        assert_eq!(received::<E>(1000, ""), E::default(), "from a later version");
    }

    #[test]
    fn enums_are_read_from_messages_of_this_version_and_of_those_before() {
        texts_lead_back::<NodeRole>();
        texts_lead_back::<NodeState>();
        texts_lead_back::<NodeDnsState>();
        texts_lead_back::<DnsRecordState>();
        texts_lead_back::<NodeActivationState>();
        texts_lead_back::<CertificateRole>();
        // Where both are set, the enum is used.
        let node = NodeStatus { role: NodeRole::Voter.into(), role_text: "leader".into(), ..NodeStatus::default() };
        assert_eq!(node_role(&node), NodeRole::Voter);
    }

    #[test]
    fn the_error_of_dns_is_read_from_this_version_and_those_before() {
        let before = |text: &str| NodeStatus { dns_text: text.into(), ..NodeStatus::default() };
        let cases = [
            (before(""), NodeDnsState::Unspecified, ""),
            (before("published"), NodeDnsState::Published, "published"),
            (before("example.com: REFUSED"), NodeDnsState::Failed, "example.com: REFUSED"),
            (
                NodeStatus { dns: NodeDnsState::Failed.into(), dns_error: "late".into(), ..before("") },
                NodeDnsState::Failed,
                "late",
            ),
            (NodeStatus { dns: NodeDnsState::None.into(), ..before("") }, NodeDnsState::None, "none"),
        ];
        for (node, state, text) in cases {
            assert_eq!((node_dns(&node), node_dns_text(&node)), (state, text), "{node:?}");
        }
    }
}
