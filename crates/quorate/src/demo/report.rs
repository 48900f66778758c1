//! The result of the tour, as JSON and as text.

use serde::Serialize;

/// One activation request and its verified answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AnsweredRequest {
    pub(crate) cmid: String,
    pub(crate) product: String,
    pub(crate) node: u64,
    pub(crate) count: u32,
    pub(crate) threshold: u32,
    pub(crate) activated: bool,
}

/// What happened when the leader was stopped.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failover {
    pub(crate) stopped_node: u64,
    pub(crate) answered_by: u64,
    pub(crate) without_answer_ms: u64,
    pub(crate) count: u32,
}

/// The result of a tour in which every step succeeded.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TourReport {
    pub(crate) ok: bool,
    pub(crate) nodes: usize,
    pub(crate) requests: Vec<AnsweredRequest>,
    pub(crate) failover: Failover,
    pub(crate) state_hashes: Vec<String>,
    pub(crate) request_pdu_bytes: usize,
    pub(crate) response_pdu_bytes: usize,
}

impl TourReport {
    /// The summary that ends the tour.
    pub(crate) fn conclusion(&self) -> String {
        format!(
            "{} requests, one count on {} nodes, one leader failure, no count lost. A request is {} bytes on the wire, \
             an answer {}.",
            self.requests.len() + 1,
            self.nodes,
            self.request_pdu_bytes,
            self.response_pdu_bytes
        )
    }
}
