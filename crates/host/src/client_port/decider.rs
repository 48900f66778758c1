//! What a client is told: whether this node takes the request, what the cluster's count says of it, and the signature.
//!
//! Nothing here measures, writes an event or knows a connection, so that the simulation of a cluster runs it as it is.

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

/// Has requests counted by the cluster, and signs the answers with this node's keys.
#[derive(Clone)]
pub(crate) struct Decider {
    pub(crate) replica: Replica,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) new_cmids: Arc<NewCmids>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// Not recorded: this node could not sign what the count would answer.
    Barred,
    /// Perhaps recorded: no leader answered within the deadline.
    Unavailable,
    /// Not recorded: the state would refuse it, as of a moment after it came.
    Refused(Refusal),
    /// Not recorded: the count does not remember the CMID, and its source has brought as many new ones as it may.
    TooManyNew,
    /// Recorded, and counted or refused.
    Recorded {
        recorded: Recorded,
        /// Whether the count, as this node knew it, did not remember the CMID.
        is_new: bool,
    },
}

/// What the state here says of a request before it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foreseen {
    Refused(Refusal),
    /// The count does not remember the CMID.
    New,
    Known,
}

impl Decision {
    /// What was counted, if anything.
    pub(crate) fn counted(&self) -> Option<Counted> {
        match self {
            Self::Recorded { recorded: Recorded { outcome: RecordOutcome::Counted(counted), .. }, .. } => {
                Some(*counted)
            }
            Self::Barred | Self::Unavailable | Self::Refused(_) | Self::TooManyNew | Self::Recorded { .. } => None,
        }
    }

    /// Where the request was recorded, and when.
    pub(crate) fn recorded(&self) -> Option<&Recorded> {
        match self {
            Self::Recorded { recorded, .. } => Some(recorded),
            Self::Barred | Self::Unavailable | Self::Refused(_) | Self::TooManyNew => None,
        }
    }
}

impl Decider {
    /// Records the request of a client at this address, unless this node could sign no answer, the state refuses it whatever its
    /// clock says, or it is one new CMID more than its source may bring: such requests write to no disk.
    pub(crate) async fn decide(&self, client: Option<IpAddr>, request: &ValidRequest) -> Decision {
        if let Some(why) = self.barred(request.request()).await {
            tracing::debug!(machine = %request.request().machine_name, why = why.words(), "a request was not taken");
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
            // The state here may be older than the leader's, so it refuses nothing by itself: once a majority has confirmed where
            // the log stands, and this node has applied that, it is looked at again.
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

    /// The answer to a request that was decided so, and its status. Without [`Status::OK`] it is advice for people, or
    /// empty.
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

    /// The limit of new CMIDs, for people.
    fn limited(&self) -> RefusalDetail {
        RefusalDetail { new_cmids_per_minute: self.new_cmids.per_minute_max(), ..RefusalDetail::default() }
    }

    fn refuse(&self, refusal: Refusal, request: &ValidRequest) -> (Vec<u8>, Status) {
        (self.explain(refusal, request.request()), refusal.status())
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

/// The group that a request's product needs, and those that the node holds.
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

/// The product's own group, or, where that covers earlier generations only, the first that reaches it.
fn lowest_covering(catalog: &Catalog, product: &Product) -> Option<Name> {
    let own = catalog.group(product.group).filter(|own| catalog.covers(own.code, product));
    own.or_else(|| catalog.groups_covering(product).next()).map(|group| group.name.clone())
}
