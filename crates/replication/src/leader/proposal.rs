//! What an administrator proposes to the leader, its outcome, and both as messages between nodes.

use activation::state::RequestId;
use api::peer::v1::{self as proto, propose_request::Proposal as Message};
use bytes::Bytes;

/// A change of the membership that an administrator requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add { node: u64, address: String },
    Remove { node: u64 },
    Promote { node: u64, instead_of: Option<u64> },
}

/// What an administrator proposes to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proposal {
    Command(Bytes),
    /// Accepts a jump of the clocks. The id ensures that it is executed once; `None` if the proposer's version
    /// sends no id.
    AcceptClock(Option<RequestId>),
    /// Sets cluster time to the median of the voters' clocks. The id ensures that it is executed once; `None` if
    /// the proposer's version sends no id.
    ResetClock(Option<RequestId>),
    Change(Change),
    /// The node `node`, whose state has diverged, takes over the majority's state.
    Rejoin {
        node: u64,
    },
}

/// The outcome of a proposal.
#[derive(Debug)]
pub(crate) enum Proposed {
    Committed {
        log_index: u64,
    },
    /// The proposal was not executed; the text tells the administrator why. The message between nodes carries only
    /// this text.
    Refused(String),
    /// Nothing was executed: this node does not lead, or no longer leads.
    Retry,
    /// The outcome is unknown: the proposal may have been executed.
    Unknown,
}

impl Proposed {
    pub(crate) fn refused(why: impl ToString) -> Self {
        Self::Refused(why.to_string())
    }
}

fn id_out(id: Option<RequestId>) -> Bytes {
    id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id))
}

fn id_in(id: &[u8]) -> Option<RequestId> {
    id.try_into().ok()
}

impl From<Proposal> for Message {
    fn from(proposal: Proposal) -> Self {
        match proposal {
            Proposal::Command(command) => Self::Command(command),
            Proposal::AcceptClock(id) => Self::AcceptClock(proto::AcceptClock { id: id_out(id) }),
            Proposal::ResetClock(id) => Self::ResetClock(proto::ResetClock { id: id_out(id) }),
            Proposal::Change(Change::Add { node, address }) => Self::AddNode(proto::AddNode { node, address }),
            Proposal::Change(Change::Remove { node }) => Self::RemoveNode(proto::RemoveNode { node }),
            Proposal::Change(Change::Promote { node, instead_of }) => {
                Self::PromoteNode(proto::PromoteNode { node, instead_of: instead_of.unwrap_or(0) })
            }
            Proposal::Rejoin { node } => Self::RejoinNode(proto::RejoinNode { node }),
        }
    }
}

impl From<Message> for Proposal {
    fn from(message: Message) -> Self {
        match message {
            Message::Command(command) => Self::Command(command),
            Message::AcceptClock(proto::AcceptClock { id }) => Self::AcceptClock(id_in(&id)),
            Message::ResetClock(proto::ResetClock { id }) => Self::ResetClock(id_in(&id)),
            Message::AddNode(proto::AddNode { node, address }) => Self::Change(Change::Add { node, address }),
            Message::RemoveNode(proto::RemoveNode { node }) => Self::Change(Change::Remove { node }),
            Message::PromoteNode(proto::PromoteNode { node, instead_of }) => {
                Self::Change(Change::Promote { node, instead_of: (instead_of > 0).then_some(instead_of) })
            }
            Message::RejoinNode(proto::RejoinNode { node }) => Self::Rejoin { node },
        }
    }
}

impl From<Proposed> for proto::ProposeReply {
    fn from(proposed: Proposed) -> Self {
        use proto::propose_reply::Result;
        let result = match proposed {
            Proposed::Committed { log_index } => Result::Committed(proto::Committed { log_index }),
            Proposed::Refused(why) => Result::Refused(why),
            Proposed::Retry => Result::Retry(proto::Retry {}),
            Proposed::Unknown => Result::Unknown(proto::Unknown {}),
        };
        Self { result: Some(result) }
    }
}

impl From<proto::ProposeReply> for Proposed {
    fn from(reply: proto::ProposeReply) -> Self {
        use proto::propose_reply::Result;
        match reply.result {
            Some(Result::Committed(proto::Committed { log_index })) => Self::Committed { log_index },
            Some(Result::Refused(why)) => Self::Refused(why),
            Some(Result::Retry(proto::Retry {})) => Self::Retry,
            // A result that this version does not know: the proposal may have been executed.
            Some(Result::Unknown(proto::Unknown {})) | None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_unchanged_by_forwarding_to_the_leader() {
        let proposals = [
            Proposal::Command(Bytes::from_static(b"command")),
            Proposal::AcceptClock(None),
            Proposal::AcceptClock(Some([7; 16])),
            Proposal::ResetClock(Some([8; 16])),
            Proposal::Change(Change::Add { node: 4, address: "host:1689".into() }),
            Proposal::Change(Change::Remove { node: 4 }),
            Proposal::Change(Change::Promote { node: 4, instead_of: None }),
            Proposal::Change(Change::Promote { node: 4, instead_of: Some(2) }),
            Proposal::Rejoin { node: 4 },
        ];
        for proposal in proposals {
            assert_eq!(Proposal::from(Message::from(proposal.clone())), proposal);
        }
    }
}
