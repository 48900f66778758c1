//! One activation, from the stub of a call to the stub of its answer: [`Decider`] decides and signs, then the
//! request is measured and kept as an event.

use std::{net::IpAddr, sync::Arc};

use activation::{
    message::{Request, ValidRequest},
    state::Counted,
    status::Status,
};
use dcerpc::{ByteOrder, fault, ndr};
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    client_port::decider::{Decider, Decision},
    http::metrics::{ClientFault, Metrics, RequestMeasurement},
    records::activations::{self, Activations},
    records::distinct::Distinct,
    records::duplicates::Duplicates,
};

/// Answers requests with the cluster's count, signed by this node.
#[derive(Clone)]
pub(crate) struct Answerer {
    pub(crate) decider: Decider,
    pub(crate) duplicates: Arc<Duplicates>,
    pub(crate) distinct: Arc<Distinct>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) activations: Arc<Activations>,
}

/// A node's answers for clients in the same process: the content that port 1688 sends, without connections and PDUs.
#[derive(Clone)]
pub struct Answers(pub(crate) Answerer);

impl Answers {
    /// The answer to an encoded request, and its status. With a refusal the answer holds human-readable advice. Error:
    /// the status of a DCE/RPC fault where the request is malformed.
    pub fn to<'a>(&'a self, request: &[u8]) -> BoxFuture<'a, Result<(Vec<u8>, Status), u32>> {
        let stub = ndr::encode_request(request);
        // Boxed, so that callers that spawn it need not know the replica's types.
        Box::pin(async move {
            let answer = self.0.answer(None, &stub, ByteOrder::Little).await.map_err(|Fault(status)| status)?;
            let (data, status) = ndr::decode_answer(&answer, ByteOrder::Little).map_err(|bad| bad.fault_status())?;
            Ok((data.to_vec(), Status(status)))
        })
    }
}

/// A DCE/RPC fault status.
pub(crate) struct Fault(pub(crate) u32);

impl Answerer {
    /// The stub of the answer. A malformed request is a fault and never reaches the log; every refusal is a status.
    /// `client` is the address that the request came from, IPv4-mapped or not; `None` from within the process.
    pub(crate) async fn answer(&self, client: Option<IpAddr>, stub: &[u8], order: ByteOrder) -> Result<Vec<u8>, Fault> {
        let began = Instant::now();
        let client = client.map(|client| client.to_canonical());
        let bytes = ndr::decode_request(stub, order).map_err(|bad| Fault(bad.fault_status()))?;
        let request = ValidRequest::decode(bytes).map_err(|malformed| {
            self.metrics.client_fault(ClientFault::Request);
            tracing::debug!(client_address = client.map(tracing::field::display), %malformed, "a request was malformed");
            Fault(fault::BAD_STUB_DATA)
        })?;
        let decision = self.decider.decide(client, &request).await;
        if let Some(counted) = decision.counted() {
            self.observe(request.request(), counted);
            if matches!(decision, Decision::Recorded { is_new: true, .. }) {
                self.metrics.new_cmids.increment(1);
                self.decider.new_cmids.note();
            }
        }
        let (data, status) = self.decider.answer(&request, &decision).await;
        self.note((client, request.request()), status, &decision, began);
        Ok(ndr::encode_answer(&data, status.0))
    }

    /// Notes the client machine of a request that was counted.
    fn observe(&self, request: &Request, counted: Counted) {
        if counted.other_machine {
            self.metrics.other_machine.increment(1);
        }
        let now_ms = self.decider.replica.wall_ms();
        self.duplicates.note(request, now_ms, counted.other_machine);
        self.distinct.note(request.cmid, now_ms);
    }

    /// Measures the request, and keeps it as event 12290.
    fn note(
        &self,
        (client_address, request): (Option<IpAddr>, &Request),
        status: Status,
        decision: &Decision,
        began: Instant,
    ) {
        let replica = &self.decider.replica;
        let is_met = |counted: Counted| counted.count >= counted.threshold;
        let (counted, recorded) = (decision.counted(), decision.recorded());
        let answered = RequestMeasurement {
            request,
            status,
            is_met: counted.is_some_and(is_met),
            cluster_time_ms: recorded.map(|recorded| recorded.cluster_time_ms),
            took: began.elapsed(),
        };
        self.metrics.answered(replica, &answered);
        match decision {
            Decision::Unavailable => self.metrics.unavailable.increment(1),
            Decision::TooManyNew => self.metrics.new_cmids_refused.increment(1),
            Decision::Barred | Decision::Refused(_) | Decision::Recorded { .. } => {}
        }
        say((client_address, request), status, counted);
        self.activations.note(activations::AnsweredRequest {
            node: replica.identity().owner,
            time_ms: replica.wall_ms(),
            status,
            request: request.clone(),
            client_address,
            counted,
            log_position: recorded.map_or((0, 0), |recorded| (recorded.log_index, recorded.offset)),
        });
    }
}

/// Logs event 12290 with its fields in the documented order. The log's limit of lines for refusals never drops other
/// answers.
fn say((client_address, request): (Option<IpAddr>, &Request), status: Status, counted: Option<Counted>) {
    let required_count = counted.map_or(0, |counted| counted.threshold);
    macro_rules! say {
        ($words:literal) => {
            tracing::info!(
                event = 12290,
                %status,
                required_count,
                machine = %request.machine_name,
                cmid = %request.cmid,
                client_time_ms = request.client_time_ms,
                virtual_machine = request.virtual_machine,
                license_status = request.license_status as u8,
                minutes_to_expiry = request.minutes_to_expiry,
                product = %request.product,
                count = counted.map(|counted| counted.count),
                client_address = client_address.map(tracing::field::display),
                $words
            )
        };
    }
    match counted {
        Some(_) => say!("a request was processed"),
        None => say!("a request was refused"),
    }
}
