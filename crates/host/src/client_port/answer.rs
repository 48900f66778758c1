//! One activation, from the stub of a call to the stub of its answer.

use std::sync::Arc;

use activation::{
    catalog::{Catalog, Name, Product},
    id::NodeId,
    message::{AnswerBody, Record, RefusalDetail, Request, ValidRequest, sign_answer},
    state::{Counted, RecordOutcome, Refusal, State},
    status::Status,
};
use dcerpc::{ByteOrder, fault, ndr};
use futures::future::BoxFuture;
use replication::{Recorded, Replica};
use tokio::time::Instant;

use crate::{
    credentials::{Credential, Credentials, Unusable, follow::take_note},
    http::metrics::{ClientFault, Metrics, RequestMeasurement},
    records::activations::{self, Activations},
    records::distinct::Distinct,
    records::duplicates::Duplicates,
};

/// Answers requests with the cluster's count, signed by this node.
#[derive(Clone)]
pub(crate) struct Answerer {
    pub(crate) replica: Replica,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) duplicates: Arc<Duplicates>,
    pub(crate) distinct: Arc<Distinct>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) activations: Arc<Activations>,
}

/// A node's answers for clients in its own process: what port 1688 gives, without connections and PDUs.
#[derive(Clone)]
pub struct Answers(pub(crate) Answerer);

impl Answers {
    /// The answer to an encoded request, and its status; what comes with a refusal is advice for people. A malformed
    /// request is a DCE/RPC fault, whose status is the error.
    pub fn to<'a>(&'a self, request: &[u8]) -> BoxFuture<'a, Result<(Vec<u8>, Status), u32>> {
        let stub = ndr::encode_request(request);
        // Boxed, so that whoever spawns it need not know what the replica is made of.
        Box::pin(async move {
            let answer = self.0.answer(&stub, ByteOrder::Little).await.map_err(|Fault(status)| status)?;
            let (data, status) = ndr::decode_answer(&answer, ByteOrder::Little).map_err(|bad| bad.fault_status())?;
            Ok((data.to_vec(), Status(status)))
        })
    }
}

/// Where a request was recorded, and what was counted.
#[derive(Clone, Copy)]
struct Noted {
    counted: Option<Counted>,
    cluster_time_ms: u64,
    log_index: u64,
    offset: u32,
}

/// A DCE/RPC fault status.
pub(crate) struct Fault(pub(crate) u32);

impl Answerer {
    /// The answer's stub. What is malformed is a fault and never reaches the log; every refusal is a status.
    pub(crate) async fn answer(&self, stub: &[u8], order: ByteOrder) -> Result<Vec<u8>, Fault> {
        let began = Instant::now();
        let bytes = ndr::decode_request(stub, order).map_err(|bad| Fault(bad.fault_status()))?;
        let request = ValidRequest::decode(bytes).map_err(|malformed| {
            self.metrics.client_fault(ClientFault::Request);
            tracing::debug!(%malformed, "a request was malformed");
            Fault(fault::BAD_STUB_DATA)
        })?;
        if let Some(why) = self.barred(request.request()).await {
            tracing::debug!(machine = %request.request().machine_name, why = why.words(), "a request was not taken");
            self.note(request.request(), Status::HOST_NOT_ACTIVATED, None, began);
            return Ok(ndr::encode_answer(&[], Status::HOST_NOT_ACTIVATED.0));
        }
        let record = Record::new(self.replica.identity().owner, &request);
        let mut recorded = None;
        let (data, status) = match self.replica.submit(&record).await {
            Ok(Recorded { outcome: RecordOutcome::Counted(counted), cluster_time_ms, log_index, offset }) => {
                recorded = Some(Noted { counted: Some(counted), cluster_time_ms, log_index, offset });
                if counted.other_machine {
                    self.metrics.other_machine.increment(1);
                }
                let now_ms = self.replica.wall_ms();
                self.duplicates.note(request.request(), now_ms, counted.other_machine);
                self.distinct.note(request.request().cmid, now_ms);
                let body = AnswerBody {
                    count: counted.count,
                    threshold: counted.threshold,
                    activation_interval_minutes: counted.activation_interval_minutes,
                    renewal_interval_minutes: counted.renewal_interval_minutes,
                    cluster_time_ms,
                    log_index,
                    offset,
                };
                match self.credential(&request, &counted, log_index).await {
                    Some(own) => (sign_answer(&body, &own.certificate, &own.key, request.digest()), Status::OK),
                    None => (Vec::new(), Status::HOST_NOT_ACTIVATED),
                }
            }
            Ok(Recorded { outcome: RecordOutcome::Refused(refusal), cluster_time_ms, log_index, offset }) => {
                recorded = Some(Noted { counted: None, cluster_time_ms, log_index, offset });
                (self.explain(refusal, request.request()), refusal.status())
            }
            Err(unavailable) => {
                tracing::debug!(%unavailable, "a request was not recorded");
                (Vec::new(), Status::HOST_UNAVAILABLE)
            }
        };
        self.note(request.request(), status, recorded, began);
        Ok(ndr::encode_answer(&data, status.0))
    }

    /// Measured, and kept as event 12290.
    fn note(&self, request: &Request, status: Status, noted: Option<Noted>, began: Instant) {
        let is_met = |counted: Counted| counted.count >= counted.threshold;
        let counted = noted.and_then(|noted| noted.counted);
        let cluster_time_ms = noted.map(|noted| noted.cluster_time_ms);
        let answered = RequestMeasurement {
            request,
            status,
            is_met: counted.is_some_and(is_met),
            cluster_time_ms,
            took: began.elapsed(),
        };
        self.metrics.answered(&self.replica, &answered);
        say(request, status, counted);
        self.activations.note(activations::AnsweredRequest {
            node: self.replica.identity().owner,
            time_ms: self.replica.wall_ms(),
            status,
            request: request.clone(),
            counted,
            log_position: noted.map_or((0, 0), |noted| (noted.log_index, noted.offset)),
        });
    }

    /// Why this node could not sign what the count would answer: known before anything is counted.
    async fn barred(&self, request: &Request) -> Option<Unusable> {
        match self.credentials.barred(request.publisher)? {
            Unusable::MachineChanged => Some(Unusable::MachineChanged),
            // Perhaps the state here is only old.
            Unusable::KeyLost => {
                self.replica.read_point().await.ok()?;
                take_note(&self.replica, &self.credentials);
                self.credentials.barred(request.publisher)
            }
        }
    }

    /// What goes with a refusal, for the people on both sides. The count has decided; this only looks.
    fn explain(&self, refusal: Refusal, request: &Request) -> Vec<u8> {
        if refusal != Refusal::NotCovered {
            return Vec::new();
        }
        let node = self.replica.identity().owner;
        let detail = self.replica.view(|state| groups_of(state, node, request));
        let needed = detail.needed.as_ref().map_or("none that covers it", |needed| needed.as_str());
        tracing::debug!(
            machine = %request.machine_name,
            status = %refusal.status(),
            needed,
            held = ?detail.held,
            "no key of this node covers the product of a request"
        );
        detail.encode()
    }

    /// What signs under the key that the count chose. The leader may have applied a certificate that this node has not.
    async fn credential(&self, request: &ValidRequest, counted: &Counted, log_index: u64) -> Option<Arc<Credential>> {
        let publisher = request.request().publisher;
        if let Some(credential) = self.credentials.get(publisher, counted.key) {
            return Some(credential);
        }
        self.replica.wait_applied(log_index).await.ok()?;
        take_note(&self.replica, &self.credentials);
        let credential = self.credentials.get(publisher, counted.key);
        if credential.is_none() {
            tracing::error!(key = %counted.key, "the private key of this node's certificate is missing: activate the node again");
        }
        credential
    }
}

/// Event 12290 in the log, its fields in the documented order. What a flood of refusals leaves out is no other answer.
fn say(request: &Request, status: Status, counted: Option<Counted>) {
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
                $words
            )
        };
    }
    match counted {
        Some(_) => say!("a request was processed"),
        None => say!("a request was refused"),
    }
}

/// The group that a request's product needs, and those that the node holds.
fn groups_of(state: &State, node: NodeId, request: &Request) -> RefusalDetail {
    let Some(publisher) = state.publisher(request.publisher) else { return RefusalDetail::default() };
    let catalog = publisher.catalog();
    let product = publisher.opened().product(request.product);
    let held = state.groups_held(publisher.id(), node);
    RefusalDetail {
        needed: product.and_then(|product| lowest_covering(catalog, product)),
        held: held.into_iter().filter_map(|code| Some(catalog.group(code)?.name.clone())).collect(),
    }
}

/// The product's own group, or, where that covers earlier generations only, the first that reaches it.
fn lowest_covering(catalog: &Catalog, product: &Product) -> Option<Name> {
    let own = catalog.group(product.group).filter(|own| catalog.covers(own.code, product));
    own.or_else(|| catalog.groups_covering(product).next()).map(|group| group.name.clone())
}
