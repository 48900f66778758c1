//! Hello: two members compare their records of each other's starts.

use api::peer::v1 as proto;
use storage::WriteFailed;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    gate::{
        incarnation::{Incarnation, Objection, incarnation_in, incarnation_out, judge},
        state::Gate,
    },
    limits::ADDRESS_PROBE_TIMEOUT,
    peers::{channels::Peers, identify},
    raft::{
        log::Log,
        types::{LogId, Member, Membership, Vote},
        wire::{self, Malformed},
    },
};

/// The content of a Hello request.
pub(crate) struct Hello {
    /// The caller's start.
    own: Incarnation,
    /// The caller's records of other nodes' starts, and its own current number of writes.
    known: Vec<(u64, Incarnation)>,
    /// The last entry that this node acknowledged to the caller, if the caller leads.
    acknowledged: Option<(Vote, LogId)>,
}

/// The request to the member `node` with this store; `vote` is this node's vote if it leads.
pub(crate) fn hello_out(gate: &Gate, node: u64, store: Uuid, vote: Option<&Vote>) -> proto::HelloRequest {
    let acknowledged = vote.and_then(|vote| Some((vote, gate.acknowledged_by(node, store, vote)?)));
    proto::HelloRequest {
        own: Some(incarnation_out(&gate.own())),
        known: gate.all_known(),
        acknowledged: acknowledged.map(|(vote, last)| proto::Acknowledged {
            vote: Some(wire::vote_out(vote)),
            last: Some(wire::log_id_out(&last)),
        }),
    }
}

pub(crate) fn hello_in(message: proto::HelloRequest) -> Result<Hello, Malformed> {
    let known = message.known.into_iter().map(|known| Ok((known.node, incarnation_in(known.incarnation)?)));
    let acknowledged = message.acknowledged.map(|acknowledged| {
        let last = acknowledged.last.ok_or(Malformed("an acknowledgement names no entry"))?;
        Ok((wire::vote_in(acknowledged.vote)?, wire::log_id_in(last)))
    });
    Ok(Hello {
        own: incarnation_in(message.own)?,
        known: known.collect::<Result<_, Malformed>>()?,
        acknowledged: acknowledged.transpose()?,
    })
}

/// A member's answer to Hello.
pub(crate) enum Verdict {
    Agreed,
    Objection(String),
    Undecided(String),
}

pub(crate) fn reply_out(gate: &Gate, verdict: Verdict) -> proto::HelloReply {
    use proto::hello_reply::Verdict as Message;
    let verdict = match verdict {
        Verdict::Agreed => Message::Agreed(proto::Agreed {}),
        Verdict::Objection(reason) => Message::Objection(proto::Objection { reason }),
        Verdict::Undecided(reason) => Message::Undecided(proto::Undecided { reason }),
    };
    proto::HelloReply { own: Some(incarnation_out(&gate.own())), verdict: Some(verdict) }
}

pub(crate) fn reply_in(message: proto::HelloReply) -> Result<(Incarnation, Verdict), Malformed> {
    use proto::hello_reply::Verdict as Message;
    let verdict = match message.verdict.ok_or(Malformed("a reply to Hello has no verdict"))? {
        Message::Agreed(proto::Agreed {}) => Verdict::Agreed,
        Message::Objection(proto::Objection { reason }) => Verdict::Objection(reason),
        Message::Undecided(proto::Undecided { reason }) => Verdict::Undecided(reason),
    };
    Ok((incarnation_in(message.own)?, verdict))
}

/// Answers the Hello of `node`.
pub(crate) async fn answer(
    (gate, peers, log): (&Gate, &Peers, &Log),
    membership: &Membership,
    node: u64,
    hello: Hello,
) -> Result<Verdict, WriteFailed> {
    let own = gate.own();
    if let Some(objection) = against_this_node(gate, log, &hello) {
        gate.quarantine(&objection, node).await;
    }
    if gate.is_quarantined() {
        return Ok(Verdict::Undecided("it is quarantined itself".into()));
    }
    for (known, start) in &hello.known {
        let is_member = membership.get_node(known).is_some_and(|member| member.store == start.store);
        if *known != node && start.store != own.store && is_member {
            gate.hear(*known, start);
        }
    }
    let is_read = !gate.was_member || membership.nodes().next().is_some();
    let verdict = match membership.get_node(&node) {
        None if !is_read => Verdict::Undecided("it has not read its membership yet".into()),
        // The node is not in this node's membership: nothing here depends on it.
        None => Verdict::Agreed,
        Some(member) => meet(gate, peers, (node, member), hello.own).await?,
    };
    let by_now = hello.known.iter().find(|(known, _)| *known == node && membership.get_node(&node).is_some());
    if let (Verdict::Agreed, Some((_, start))) = (&verdict, by_now) {
        // The caller's current number of writes.
        gate.hear(node, start);
    }
    Ok(verdict)
}

/// Judges the start of another member: by the record of its last start, and by the process that answers at its
/// address.
async fn meet(
    gate: &Gate,
    peers: &Peers,
    (node, member): (u64, &Member),
    found: Incarnation,
) -> Result<Verdict, WriteFailed> {
    let known = gate.known_of(node, found.store);
    if let Err(objection) = judge(known.as_ref(), &found) {
        return Ok(objected(node, &objection));
    }
    if known.is_none_or(|known| known.boot != found.boot) {
        match who_answers(peers, &member.address, found.store).await {
            Some(boot) if boot == Some(found.boot) => {}
            Some(_) => {
                let address = member.address.clone();
                return Ok(objected(node, &Objection::AnswersElsewhere { address }));
            }
            None => return Ok(Verdict::Undecided(format!("no node answers at its address {}", member.address))),
        }
    }
    Ok(match gate.meet(node, found).await? {
        Ok(()) => Verdict::Agreed,
        Err(objection) => objected(node, &objection),
    })
}

fn objected(node: u64, objection: &Objection) -> Verdict {
    tracing::warn!(node, %objection, "a process of a node is not recognised: it must be quarantined");
    Verdict::Objection(objection.to_string())
}

/// The process that answers at `address` with this store: `None` if none does, `Some(None)` if its version does not
/// report its process.
pub(crate) async fn who_answers(peers: &Peers, address: &str, store: Uuid) -> Option<Option<u64>> {
    let found = timeout(ADDRESS_PROBE_TIMEOUT, identify::identify(peers, address)).await.ok()?.ok()?;
    (found.store == store).then_some(found.boot)
}

/// The objection that the caller's records raise against this node, if any.
fn against_this_node(gate: &Gate, log: &Log, hello: &Hello) -> Option<Objection> {
    let own = gate.own();
    let of_this_node = hello.known.iter().filter(|(_, start)| start.store == own.store);
    let objection = of_this_node.filter_map(|(_, known)| judge(Some(known), &own).err()).next();
    let lost = || hello.acknowledged.filter(|(vote, last)| log.lacks(vote, last));
    objection.or_else(|| lost().map(|(_, last)| Objection::LostEntry { index: last.index }))
}
