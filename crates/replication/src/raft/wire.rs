//! Conversion between openraft's types and this project's protobuf messages, which go to disks and to other nodes.
//!
//! Every incoming message is checked here: a message that lacks a part is [`Malformed`]; no default replaces the
//! part.

use api::{log::v1 as log, peer::v1 as peer};
use openraft::{
    EntryPayload,
    alias::CommittedLeaderIdOf,
    raft::{
        AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    vote::RaftLeaderId,
};
use uuid::Uuid;

use crate::raft::types::{Command, Entry, LogId, Member, Membership, StoredMembership, TypeConfig, Vote};

/// A message from disk or from a peer that this version cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub &'static str);

type Result<T> = std::result::Result<T, Malformed>;

fn required<T>(part: Option<T>, name: &'static str) -> Result<T> {
    part.ok_or(Malformed(name))
}

pub(crate) fn log_id_out(id: &LogId) -> log::LogId {
    log::LogId { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

pub(crate) fn log_id_in(id: log::LogId) -> LogId {
    LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(id.term, id.leader), id.index)
}

pub(crate) fn vote_out(vote: &Vote) -> log::Vote {
    log::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(crate) fn vote_in(vote: Option<log::Vote>) -> Result<Vote> {
    let vote = required(vote, "a vote is missing")?;
    Ok(if vote.committed { Vote::new_committed(vote.term, vote.node) } else { Vote::new(vote.term, vote.node) })
}

pub(crate) fn membership_out(membership: &Membership) -> log::Membership {
    log::Membership {
        voters: membership
            .get_joint_config()
            .iter()
            .map(|voters| log::Voters { nodes: voters.iter().copied().collect() })
            .collect(),
        members: membership
            .nodes()
            .map(|(&node, member)| log::Member {
                node,
                address: member.address.clone(),
                store: member.store.as_bytes().to_vec().into(),
            })
            .collect(),
    }
}

pub(crate) fn membership_in(membership: log::Membership) -> Result<Membership> {
    let voters = membership.voters.into_iter().map(|voters| voters.nodes.into_iter().collect()).collect();
    let members = membership
        .members
        .into_iter()
        .map(|member| Ok((member.node, Member { address: member.address, store: store_in(&member.store)? })))
        .collect::<Result<std::collections::BTreeMap<_, _>>>()?;
    // An empty membership is valid: that of a node that belongs to no cluster yet.
    Membership::new(voters, members).map_err(|_| Malformed("a voter is not a member"))
}

pub(crate) fn store_in(store: &[u8]) -> Result<Uuid> {
    Uuid::from_slice(store).map_err(|_| Malformed("a store's UUID is not 16 bytes"))
}

pub(crate) fn stored_membership_out(stored: &StoredMembership) -> log::StoredMembership {
    log::StoredMembership {
        id: stored.log_id().as_ref().map(log_id_out),
        membership: Some(membership_out(stored.membership())),
    }
}

pub(crate) fn stored_membership_in(stored: Option<log::StoredMembership>) -> Result<StoredMembership> {
    let stored = required(stored, "a membership is missing")?;
    let membership = membership_in(required(stored.membership, "a membership is missing")?)?;
    Ok(StoredMembership::new(stored.id.map(log_id_in), membership))
}

pub(crate) fn entry_out(entry: &Entry) -> log::Entry {
    let payload = match &entry.payload {
        EntryPayload::Blank => log::entry::Payload::Blank(log::Blank {}),
        EntryPayload::Normal(command) => log::entry::Payload::Command(command.0.clone()),
        EntryPayload::Membership(membership) => log::entry::Payload::Membership(membership_out(membership)),
    };
    log::Entry { id: Some(log_id_out(&entry.log_id)), payload: Some(payload) }
}

pub(crate) fn entry_in(entry: log::Entry) -> Result<Entry> {
    let payload = match required(entry.payload, "an entry has no payload")? {
        log::entry::Payload::Blank(_) => EntryPayload::Blank,
        log::entry::Payload::Command(command) => EntryPayload::Normal(Command(command)),
        log::entry::Payload::Membership(membership) => EntryPayload::Membership(membership_in(membership)?),
    };
    Ok(Entry { log_id: log_id_in(required(entry.id, "an entry has no log id")?), payload })
}

pub(crate) fn append_out(request: &AppendEntriesRequest<TypeConfig>) -> peer::AppendRequest {
    peer::AppendRequest {
        vote: Some(vote_out(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_out),
        entries: request.entries.iter().map(entry_out).collect(),
        committed: request.leader_commit.as_ref().map(log_id_out),
    }
}

pub(crate) fn append_in(request: peer::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>> {
    Ok(AppendEntriesRequest {
        vote: vote_in(request.vote)?,
        prev_log_id: request.previous.map(log_id_in),
        entries: request.entries.into_iter().map(entry_in).collect::<Result<_>>()?,
        leader_commit: request.committed.map(log_id_in),
    })
}

pub(crate) fn append_result_out(result: &StreamAppendResult<TypeConfig>) -> peer::AppendReply {
    use peer::append_reply::Result as Reply;
    let result = match result {
        Ok(last) => Reply::Matching(peer::Matching { last: last.as_ref().map(log_id_out) }),
        Err(StreamAppendError::Conflict(id)) => Reply::Conflict(log_id_out(id)),
        Err(StreamAppendError::HigherVote(vote)) => Reply::HigherVote(vote_out(vote)),
    };
    peer::AppendReply { result: Some(result), durable: None }
}

pub(crate) fn append_result_in(reply: peer::AppendReply) -> Result<StreamAppendResult<TypeConfig>> {
    use peer::append_reply::Result as Reply;
    Ok(match required(reply.result, "an append reply has no result")? {
        Reply::Matching(matching) => Ok(matching.last.map(log_id_in)),
        Reply::Conflict(id) => Err(StreamAppendError::Conflict(log_id_in(id))),
        Reply::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_in(Some(vote))?)),
    })
}

pub(crate) fn vote_request_out(request: &VoteRequest<TypeConfig>) -> peer::VoteRequest {
    peer::VoteRequest {
        vote: Some(vote_out(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_out),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request_in(request: peer::VoteRequest) -> Result<VoteRequest<TypeConfig>> {
    let mut vote = VoteRequest::new(vote_in(request.vote)?, request.last.map(log_id_in));
    vote.leadership_transfer = request.leadership_transfer;
    Ok(vote)
}

pub(crate) fn vote_reply_out(response: &VoteResponse<TypeConfig>) -> peer::VoteReply {
    peer::VoteReply {
        vote: Some(vote_out(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id_out),
        durable: None,
    }
}

pub(crate) fn vote_reply_in(reply: peer::VoteReply) -> Result<VoteResponse<TypeConfig>> {
    Ok(VoteResponse::new(vote_in(reply.vote)?, reply.last.map(log_id_in), reply.granted))
}

pub(crate) fn transfer_out(request: &TransferLeaderRequest<TypeConfig>) -> peer::TransferLeaderRequest {
    peer::TransferLeaderRequest {
        from: Some(vote_out(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id_out),
    }
}

pub(crate) fn transfer_in(request: peer::TransferLeaderRequest) -> Result<TransferLeaderRequest<TypeConfig>> {
    Ok(TransferLeaderRequest::new(vote_in(request.from)?, request.to, request.last.map(log_id_in)))
}

pub(crate) fn transfer_reply_out(response: &TransferLeaderResponse<TypeConfig>) -> peer::TransferLeaderReply {
    use peer::transfer_leader_reply::Result as Reply;
    let result = match response {
        Ok(()) => Reply::Accepted(peer::Accepted {}),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            Reply::VoteChanged(peer::VoteChanged { expected: Some(vote_out(expected)), actual: Some(vote_out(actual)) })
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Reply::LogNotFlushed(peer::LogNotFlushed {
            expected: expected.as_ref().map(log_id_out),
            actual: actual.as_ref().map(log_id_out),
        }),
    };
    peer::TransferLeaderReply { result: Some(result) }
}

pub(crate) fn transfer_reply_in(reply: peer::TransferLeaderReply) -> Result<TransferLeaderResponse<TypeConfig>> {
    use peer::transfer_leader_reply::Result as Reply;
    Ok(match required(reply.result, "a transfer reply has no result")? {
        Reply::Accepted(_) => Ok(()),
        Reply::VoteChanged(changed) => Err(TransferLeaderError::VoteChanged {
            expected: vote_in(changed.expected)?,
            actual: vote_in(changed.actual)?,
        }),
        Reply::LogNotFlushed(log) => Err(TransferLeaderError::LogNotFlushed {
            expected: log.expected.map(log_id_in),
            actual: log.actual.map(log_id_in),
        }),
    })
}
