//! The decision on a request: whether this node accepts it, the result of the cluster's count, and the signature.
//!
//! This module takes no measurements, writes no events and knows no connections, so that the simulation of a cluster
//! runs it unchanged.

use std::{net::IpAddr, sync::Arc};

use activation::{
    catalog::{Catalog, Name, Product},
    id::NodeId,
    message::{AnswerBody, Record, RefusalDetail, Request, ValidRequest, sign_answer},
    state::{Counted, RecordOutcome, Refusal, State},
    status::Status,
};
use replication::{Recorded, Replica, Unavailable};

use crate::{
    credentials::{Credential, Credentials, Unusable, follow::take_note},
    records::new_cmids::NewCmids,
};

/// Submits requests to the cluster's count, and signs the answers with this node's keys.
#[derive(Clone)]
pub(crate) struct Decider {
    pub(crate) replica: Replica,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) new_cmids: Arc<NewCmids>,
}

/// The outcome of a request.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// Not recorded: this node cannot sign an answer, whatever the count.
    Barred,
    /// Possibly recorded: no leader answered within the deadline.
    Unavailable,
    /// Not recorded: the state, as of a time after the request arrived, refuses it.
    Refused(Refusal),
    /// Not recorded: the count does not hold the CMID, and its source has reached the limit of new CMIDs.
    TooManyNew,
    /// Recorded in the log, and either counted or refused.
    Recorded {
        recorded: Recorded,
        /// Whether the CMID was missing from the count in this node's state.
        is_new: bool,
    },
}

/// The result of checking a request against this node's state before it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foreseen {
    Refused(Refusal),
    /// The count does not hold the CMID.
    New,
    Known,
}

impl Decision {
    /// The result of the count, if the request was counted.
    pub(crate) fn counted(&self) -> Option<Counted> {
        match self {
            Self::Recorded { recorded: Recorded { outcome: RecordOutcome::Counted(counted), .. }, .. } => {
                Some(*counted)
            }
            Self::Barred | Self::Unavailable | Self::Refused(_) | Self::TooManyNew | Self::Recorded { .. } => None,
        }
    }

    /// Where and when the request was recorded, if it was.
    pub(crate) fn recorded(&self) -> Option<&Recorded> {
        match self {
            Self::Recorded { recorded, .. } => Some(recorded),
            Self::Barred | Self::Unavailable | Self::Refused(_) | Self::TooManyNew => None,
        }
    }
}

impl Decider {
    /// Records the request of a client at this address, except where this node cannot sign an answer, where the
    /// state refuses the request whatever the client's clock, or where its source exceeds the limit of new CMIDs.
    /// Such requests cause no write to disk.
    pub(crate) async fn decide(&self, client: Option<IpAddr>, request: &ValidRequest) -> Decision {
        if let Some(why) = self.barred(request.request()).await {
            tracing::debug!(machine = %request.request().machine_name, why = why.words(), "a request was not accepted");
            return Decision::Barred;
        }
        self.record(client, request).await.unwrap_or_else(|unavailable| {
            tracing::debug!(%unavailable, "a request was not recorded");
            Decision::Unavailable
        })
    }

    async fn record(&self, client: Option<IpAddr>, request: &ValidRequest) -> Result<Decision, Unavailable> {
        let mut foreseen = self.foresee(request.request());
        let is_over = foreseen == Foreseen::New && !self.new_cmids.admits(client);
        if is_over || matches!(foreseen, Foreseen::Refused(_)) {
            // This node's state may be older than the leader's, so it does not refuse on its own: after a majority
            // has confirmed the log's end and this node has applied up to it, the request is checked again.
            self.replica.shared_read_point().await?;
            foreseen = self.foresee(request.request());
        }
        match foreseen {
            Foreseen::Refused(refusal) => return Ok(Decision::Refused(refusal)),
            Foreseen::New if is_over => return Ok(Decision::TooManyNew),
            Foreseen::New | Foreseen::Known => {}
        }
        let recorded = self.replica.submit(&Record::new(self.replica.identity().owner, request)).await?;
        Ok(Decision::Recorded { recorded, is_new: foreseen == Foreseen::New })
    }

    fn foresee(&self, request: &Request) -> Foreseen {
        let node = self.replica.identity().owner;
        let Request { publisher, product, cmid, .. } = *request;
        self.replica.view(|state| match state.refusal(node, publisher, product) {
            Some(refusal) => Foreseen::Refused(refusal),
            None if state.is_new(publisher, product, cmid) => Foreseen::New,
            None => Foreseen::Known,
        })
    }

    /// The answer to a request after this decision, and its status. With another status than [`Status::OK`] the
    /// answer is human-readable advice, or empty.
    pub(crate) async fn answer(&self, request: &ValidRequest, decision: &Decision) -> (Vec<u8>, Status) {
        match decision {
            Decision::Barred => (Vec::new(), Status::HOST_NOT_ACTIVATED),
            Decision::Unavailable => (Vec::new(), Status::HOST_UNAVAILABLE),
            Decision::Refused(refusal) => self.refuse(*refusal, request),
            Decision::TooManyNew => (self.limited().encode(), Status::HOST_UNAVAILABLE),
            Decision::Recorded { recorded, .. } => match recorded.outcome {
                RecordOutcome::Counted(counted) => self.sign(request, recorded, counted).await,
                RecordOutcome::Refused(refusal) => self.refuse(refusal, request),
            },
        }
    }

    async fn sign(&self, request: &ValidRequest, recorded: &Recorded, counted: Counted) -> (Vec<u8>, Status) {
        let body = AnswerBody {
            count: counted.count,
            threshold: counted.threshold,
            activation_interval_minutes: counted.activation_interval_minutes,
            renewal_interval_minutes: counted.renewal_interval_minutes,
            cluster_time_ms: recorded.cluster_time_ms,
            log_index: recorded.log_index,
            offset: recorded.offset,
        };
        match self.credential(request, &counted, recorded.log_index).await {
            Some(own) => (sign_answer(&body, &own.certificate, &own.key, request.digest()), Status::OK),
            None => (Vec::new(), Status::HOST_NOT_ACTIVATED),
        }
    }

    /// The limit of new CMIDs, as human-readable advice.
    fn limited(&self) -> RefusalDetail {
        RefusalDetail { new_cmids_per_minute: self.new_cmids.per_minute_max(), ..RefusalDetail::default() }
    }

    fn refuse(&self, refusal: Refusal, request: &ValidRequest) -> (Vec<u8>, Status) {
        (self.explain(refusal, request.request()), refusal.status())
    }

    /// Why this node cannot sign an answer, whatever the count; checked before anything is counted. `None` where it
    /// can sign.
    async fn barred(&self, request: &Request) -> Option<Unusable> {
        match self.credentials.barred(request.publisher)? {
            Unusable::MachineChanged => Some(Unusable::MachineChanged),
            // This node's state may only be out of date.
            Unusable::KeyLost => {
                self.replica.read_point().await.ok()?;
                take_note(&self.replica, &self.credentials);
                self.credentials.barred(request.publisher)
            }
        }
    }

    /// The detail of a refusal, for the client's user and the node's administrator. The count has decided already;
    /// this only reads the state.
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

    /// The credential for the key that the count chose. The leader may have applied a certificate that this node has
    /// not applied yet.
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

/// The group that the request's product needs, and the groups that the node holds.
fn groups_of(state: &State, node: NodeId, request: &Request) -> RefusalDetail {
    let Some(publisher) = state.publisher(request.publisher) else { return RefusalDetail::default() };
    let catalog = publisher.catalog();
    let product = publisher.opened().product(request.product);
    let held = state.groups_held(publisher.id(), node);
    RefusalDetail {
        needed: product.and_then(|product| lowest_covering(catalog, product)),
        held: held.into_iter().filter_map(|code| Some(catalog.group(code)?.name.clone())).collect(),
        new_cmids_per_minute: 0,
    }
}

/// The product's own group, or, where that group covers only earlier generations, the first group that covers the
/// product.
fn lowest_covering(catalog: &Catalog, product: &Product) -> Option<Name> {
    let own = catalog.group(product.group).filter(|own| catalog.covers(own.code, product));
    own.or_else(|| catalog.groups_covering(product).next()).map(|group| group.name.clone())
}
