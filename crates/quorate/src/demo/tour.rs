//! The tour. Each step prints what it does and what is expected; another outcome ends the tour with an error that
//! says what was expected.

use activation::{
    id::{Cmid, MachineDigest, ProductId},
    status::Status,
};
use anyhow::{Context, bail, ensure};
use client::{Deadlines, Exchange, FoundHost, Hosts, Machine};
use data_encoding::HEXLOWER;
use tokio::time::Instant;

use super::{
    cluster::{Cluster, START},
    report::{AnsweredRequest, Failover, TourReport},
};
use crate::output::Output;

/// A client product of the example catalog, with threshold 25.
pub(crate) const CLIENT_PRODUCT: &str = "workstation-professional-2";
/// A server product of the same application, with threshold 5.
const SERVER_PRODUCT: &str = "server-standard-2";

/// How often a machine repeats the DNS lookup and the request while the leader is lost.
const ROUNDS: usize = 3;

/// A client machine of the demo. Its name has 15 characters, the length for which PDU sizes are specified.
struct Visitor {
    cmid: Cmid,
    machine: Machine,
    product: &'static str,
}

impl Visitor {
    fn new(number: u8, product: &'static str) -> anyhow::Result<Self> {
        let kind = if product == SERVER_PRODUCT { "SERVER-ROOM" } else { "WORKSTATION" };
        let name = format!("{kind}-{number:03}").parse().context("a machine name of the demo")?;
        let machine = Machine { name, digest: MachineDigest([number; 8]), is_virtual: false };
        Ok(Self { cmid: client::random_cmid()?, machine, product })
    }
}

struct Tour<'a> {
    cluster: &'a Cluster,
    output: &'a Output,
    requests: Vec<AnsweredRequest>,
    pdu_bytes: (usize, usize),
}

/// Runs the whole tour.
pub(crate) fn run(cluster: &mut Cluster, output: &Output) -> anyhow::Result<TourReport> {
    let mut tour = Tour { cluster, output, requests: Vec::new(), pdu_bytes: (0, 0) };
    tour.twenty_four_machines()?;
    let last = tour.the_twenty_fifth()?;
    tour.a_server()?;
    tour.a_renewal(&last)?;
    tour.one_machine_asks_every_node(&last)?;
    let Tour { requests, pdu_bytes: (request_pdu_bytes, response_pdu_bytes), .. } = tour;
    let failover = the_leader_is_lost(cluster, output)?;
    let state_hashes = the_lost_node_returns(cluster, failover.stopped_node, output)?;
    let nodes = cluster.nodes().count();
    Ok(TourReport { ok: true, nodes, requests, failover, state_hashes, request_pdu_bytes, response_pdu_bytes })
}

impl Tour<'_> {
    fn twenty_four_machines(&mut self) -> anyhow::Result<()> {
        self.output.say(format_args!(
            "24 machines with {CLIENT_PRODUCT} (threshold 25) send a request, each to the first node of its DNS lookup:"
        ));
        for number in 1..=24 {
            self.ask(&Visitor::new(number, CLIENT_PRODUCT)?, None, u32::from(number))?;
        }
        self.output.say("  counts 1 to 24, none activated.\n");
        Ok(())
    }

    fn the_twenty_fifth(&mut self) -> anyhow::Result<Visitor> {
        self.output.say("The 25th machine:");
        let visitor = Visitor::new(25, CLIENT_PRODUCT)?;
        self.ask(&visitor, None, 25)?;
        self.output.say("  count 25: activated for 180 days.\n");
        Ok(visitor)
    }

    fn a_server(&mut self) -> anyhow::Result<()> {
        self.output.say(format_args!(
            "A machine with {SERVER_PRODUCT} (threshold 5; all products of an application share one count):"
        ));
        self.ask(&Visitor::new(1, SERVER_PRODUCT)?, None, 26)?;
        self.output.say("  count 26: activated.\n");
        Ok(())
    }

    fn a_renewal(&mut self, visitor: &Visitor) -> anyhow::Result<()> {
        self.output.say("The 25th machine renews:");
        self.ask(visitor, None, 26)?;
        self.output.say("  still 26: each machine is counted once.\n");
        Ok(())
    }

    fn one_machine_asks_every_node(&mut self, visitor: &Visitor) -> anyhow::Result<()> {
        self.output.say("One machine sends a request to every node:");
        for node in self.cluster.nodes() {
            self.ask(visitor, Some(node), 26)?;
        }
        self.output.say("  all nodes answer with the same count.\n");
        Ok(())
    }

    /// Sends a client machine's request, and checks the count in the answer. With `node`, only that node is used.
    fn ask(&mut self, visitor: &Visitor, node: Option<u64>, expected: u32) -> anyhow::Result<()> {
        let (answered, pdu_bytes) = ask(self.cluster, visitor, node)?;
        check(&answered, expected)?;
        self.output.say(format_args!(
            "  {}  node {}  count {:>2} of {:>2}  {}",
            visitor.machine.name,
            answered.node,
            answered.count,
            answered.threshold,
            if answered.activated { "activated" } else { "not yet" }
        ));
        self.pdu_bytes = (self.pdu_bytes.0.max(pdu_bytes.0), self.pdu_bytes.1.max(pdu_bytes.1));
        self.requests.push(answered);
        Ok(())
    }
}

/// Sends a request as a client machine does, over TCP and DCE/RPC: to the hosts from DNS in turn, or to `node` alone,
/// until one answers. The answer is verified with the publisher's keys.
fn ask(cluster: &Cluster, visitor: &Visitor, node: Option<u64>) -> anyhow::Result<(AnsweredRequest, (usize, usize))> {
    let trust = cluster.trust();
    let product = ProductId::derive(trust.publisher, visitor.product);
    let request = || client::request(trust.publisher, product, visitor.cmid, &visitor.machine);
    let asked = cluster.wait(async {
        let fixed = match node {
            None => None,
            Some(node) => Some(cluster.clients_address(node)?.to_string().parse()?),
        };
        let mut hosts = Hosts::new(fixed, None);
        let asked = hosts.ask(cluster.lookup(), request, trust, Deadlines::default()).await;
        asked.context("expected an answer from a node")
    });
    let Exchange { answered, .. } = asked?;
    let body = &answered.answer.body;
    let report = AnsweredRequest {
        cmid: visitor.cmid.to_string(),
        product: visitor.product.to_owned(),
        node: cluster.node_at(answered.peer)?,
        count: body.count,
        threshold: body.threshold,
        activated: answered.status() == Status::OK,
    };
    Ok((report, (answered.request_pdu_bytes, answered.response_pdu_bytes)))
}

fn check(answered: &AnsweredRequest, expected: u32) -> anyhow::Result<()> {
    let AnsweredRequest { node, count, threshold, activated, .. } = answered;
    ensure!(*count == expected, "expected count {expected} from node {node}, got {count}");
    ensure!(
        *activated == (count >= threshold),
        "expected node {node} to activate from count {threshold} on, but count {count} was {}",
        if *activated { "" } else { "not" }
    );
    Ok(())
}

fn the_leader_is_lost(cluster: &mut Cluster, output: &Output) -> anyhow::Result<Failover> {
    let stopped_node = cluster.leader()?;
    output.say(format_args!(
        "Node {stopped_node}, the leader, is stopped without a shutdown. The next machine sends a request:"
    ));
    let visitor = Visitor::new(26, CLIENT_PRODUCT)?;
    cluster.stop_hard(stopped_node)?;
    let stopped_at = Instant::now();
    // An election may take longer than a node lets a client wait.
    let mut last_error = None;
    for _ in 0..ROUNDS {
        match ask(cluster, &visitor, None) {
            Ok((answered, _)) => {
                let without_answer_ms = u64::try_from(stopped_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                check(&answered, 27)?;
                let node = answered.node;
                ensure!(node != stopped_node, "expected node {stopped_node} to be stopped, but it answered");
                output.say(format_args!(
                    "  {}  node {node}  count 27 of 25  activated, {without_answer_ms} ms after the stop.",
                    visitor.machine.name
                ));
                let is_gone = |hosts: &[FoundHost]| hosts.len() + 1 == cluster.nodes().count();
                cluster.wait_until_dns("to no longer list the stopped node", is_gone)?;
                output.say(format_args!(
                    "  DNS lists only the other two, {} ms after the stop.\n",
                    stopped_at.elapsed().as_millis()
                ));
                return Ok(Failover { stopped_node, answered_by: node, without_answer_ms, count: answered.count });
            }
            Err(error) => {
                output.say("  no answer yet, trying again");
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) => Err(error.context("expected another node to answer with count 27")),
        None => bail!("expected the request to go to another node"),
    }
}

fn the_lost_node_returns(cluster: &mut Cluster, node: u64, output: &Output) -> anyhow::Result<Vec<String>> {
    output.say(format_args!(
        "Node {node} starts again and catches up; the state hashes of the three nodes are compared:"
    ));
    cluster.start_node(node, START)?;
    let hashes = cluster.state_hashes()?;
    for (node, hash) in &hashes {
        output.say(format_args!("  node {node}  {}", HEXLOWER.encode(hash)));
    }
    let mut all = hashes.values();
    let first = all.next();
    ensure!(all.all(|hash| Some(hash) == first), "expected three equal state hashes");
    output.say("  all equal.\n");
    Ok(hashes.values().map(|hash| HEXLOWER.encode(hash)).collect())
}
