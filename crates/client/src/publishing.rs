//! A publisher's service: host keys exchanged for certificates (R30, R31), machines activated directly (R24).
//!
//! [`Publishing`] is one connection over TLS 1.3 to the publisher that is meant; requests and answers are files as they
//! also travel by hand, and signed in themselves. A request keeps its id when it is asked again: whatever happened to
//! the first attempt, it is answered the same and spends nothing twice.

mod anchors;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use activation::VerifyingKey;
use activation::host_activation::FILE_BYTES_MAX;
use activation::id::{NodeId, PublisherId};
use activation::status::Status;
use api::publishing::v1::publishing_client::PublishingClient;
use api::publishing::v1::{self as proto, activate_reply, direct_activate_reply};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::connect::connect;
use crate::limits::{CONNECT_MS, EXCHANGE_MS, PUBLISHING_MS};
use crate::{HostAddress, InvalidAddress, NotReached};

/// A connection to a publisher's service.
#[derive(Clone, Debug)]
pub struct Publishing {
    address: HostAddress,
    client: PublishingClient<Channel>,
}

/// No answer of the publisher that is meant.
#[derive(Debug, Error)]
pub enum PublishingError {
    #[error("not the address of a publisher's service: {0}")]
    Address(#[from] InvalidAddress),
    #[error("the file of authorities does not do: {0}")]
    Certificates(&'static str),
    /// Nothing came back. Whether the request was answered is unknown: asked again, it is answered the same.
    #[error("no publisher was reached at {address}")]
    NotReached {
        address: HostAddress,
        #[source]
        reason: NotReached,
    },
    /// The other side has no certificate that this publisher signed.
    #[error("what answers at {address} is not this publisher")]
    NotThisPublisher {
        address: HostAddress,
        #[source]
        error: rustls::Error,
    },
    /// By the publisher's rules: nothing was given, and nothing was spent.
    #[error("the publisher refused: {}", Listed(.0))]
    Refused(Vec<Refusal>),
    /// It is this publisher, and it cannot answer now.
    #[error("the publisher at {address} does not answer now: {message}")]
    Unavailable { address: HostAddress, message: String },
    /// Something else than a publisher's service, or another version of it.
    #[error("what listens at {address} does not speak as a publisher's service: {message}")]
    Protocol { address: HostAddress, message: String },
}

/// What the publisher says no to, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{status} {reason}", Asking(*.node))]
pub struct Refusal {
    /// The node that asked; none where a machine asked for itself.
    pub node: Option<NodeId>,
    pub status: Status,
    /// For people, in the publisher's words.
    pub reason: String,
}

/// A publisher's words are shown up to this length.
const REASON_CHARS_MAX: usize = 300;

struct Listed<'a>(&'a [Refusal]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            write!(f, "{}{refusal}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

struct Asking(Option<NodeId>);

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |node| write!(f, "node {node}: "))
    }
}

impl Publishing {
    /// Connects to the service at `HOST:PORT`, and makes sure that it is this publisher's: one of the two activation keys
    /// vouches for it. A publisher with an ordinary certificate is verified by the name in `address` instead, against the
    /// certification authorities in the PEM file `authorities`.
    pub async fn connect(
        address: &str,
        publisher: PublisherId,
        activation_keys: [VerifyingKey; 2],
        authorities: Option<&[u8]>,
    ) -> Result<Self, PublishingError> {
        let address: HostAddress = address.parse()?;
        let (config, name) = match authorities {
            None => anchors::of_publisher(publisher, &activation_keys)?,
            Some(authorities) => anchors::of_authorities(&address, authorities)?,
        };
        let not_reached = |reason| PublishingError::NotReached { address: address.clone(), reason };
        let (stream, _) = connect(&address, Duration::from_millis(CONNECT_MS)).await.map_err(not_reached)?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = match timeout(Duration::from_millis(EXCHANGE_MS), handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(not_connected(&address, error)),
            Err(_) => return Err(not_reached(NotReached::Silent)),
        };
        let channel = channel(stream).await;
        let channel = channel.map_err(|error| protocol(&address, &error))?;
        let client = PublishingClient::new(channel).max_decoding_message_size(FILE_BYTES_MAX + 1024);
        Ok(Self { address, client })
    }

    /// Exchanges a file of requests for a file of answers (see [`activation::host_activation`]).
    pub async fn activate(&self, requests: Vec<u8>) -> Result<Vec<u8>, PublishingError> {
        let mut client = self.client.clone();
        let reply = client.activate(proto::ActivateRequest { requests: requests.into() });
        match self.within_deadline(reply).await?.outcome {
            Some(activate_reply::Outcome::Answers(answers)) => Ok(answers.to_vec()),
            Some(activate_reply::Outcome::Refused(refused)) => Err(self.refused(refused)),
            None => Err(protocol(&self.address, &"an empty answer")),
        }
    }

    /// Exchanges a [`DirectRequest`](activation::direct::DirectRequest) for a
    /// [`DirectCertificate`](activation::direct::DirectCertificate), both encoded.
    pub async fn activate_directly(&self, request: Vec<u8>) -> Result<Vec<u8>, PublishingError> {
        let mut client = self.client.clone();
        let reply = client.activate_directly(proto::DirectActivateRequest { request: request.into() });
        match self.within_deadline(reply).await?.outcome {
            Some(direct_activate_reply::Outcome::Certificate(certificate)) => Ok(certificate.to_vec()),
            Some(direct_activate_reply::Outcome::Refused(refused)) => Err(self.refused(refused)),
            None => Err(protocol(&self.address, &"an empty answer")),
        }
    }

    async fn within_deadline<T>(
        &self,
        reply: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, PublishingError> {
        match timeout(Duration::from_millis(PUBLISHING_MS), reply).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(PublishingError::NotReached { address: self.address.clone(), reason: NotReached::Silent }),
        }
    }

    fn failed(&self, status: &tonic::Status) -> PublishingError {
        let address = self.address.clone();
        let transport = std::error::Error::source(status).is_some();
        match status.code() {
            // Not said by the publisher, but found here: the connection is gone.
            _ if transport => {
                let error = io::Error::other(plain(status.message()));
                PublishingError::NotReached { address, reason: NotReached::Broken(error) }
            }
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
                PublishingError::Unavailable { address, message: plain(status.message()) }
            }
            _ => protocol(&address, &status.message()),
        }
    }

    fn refused(&self, refused: proto::Refused) -> PublishingError {
        if refused.refusals.is_empty() {
            return protocol(&self.address, &"a refusal of nothing");
        }
        let refusals = refused.refusals.into_iter().map(|refusal| Refusal {
            node: Some(refusal.node).filter(|node| *node != 0),
            status: Status(refusal.status),
            reason: plain(&refusal.reason),
        });
        PublishingError::Refused(refusals.collect())
    }
}

/// The one connection that is there already; when it is gone, so is the channel.
async fn channel(stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    let once = tower::service_fn(move |_: Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    // The address is not used: the connection is made.
    Endpoint::from_static("http://publisher").connect_with_connector(once).await
}

fn not_connected(address: &HostAddress, error: io::Error) -> PublishingError {
    let address = address.clone();
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
    match tls {
        Some(error @ rustls::Error::InvalidCertificate(_)) => PublishingError::NotThisPublisher { address, error },
        Some(error) => protocol(&address, &error),
        None => PublishingError::NotReached { address, reason: NotReached::Broken(error) },
    }
}

fn protocol(address: &HostAddress, message: &dyn fmt::Display) -> PublishingError {
    PublishingError::Protocol { address: address.clone(), message: plain(&message.to_string()) }
}

/// Somebody else's words, fit for a terminal and a log.
fn plain(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl PublishingError {
    /// The code that administrators know for this. Where the publisher did not speak it is the client's own.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Refused(refusals) => refusals.first().map_or(Status::ACCESS_DENIED, |refusal| refusal.status),
            Self::NotThisPublisher { .. } => Status::ACCESS_DENIED,
            _ => Status::HOST_UNAVAILABLE,
        }
    }

    /// What to do next, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Refused(_) => self.status().advice(),
            Self::Address(_) => "Give HOST:PORT, as the publisher says it.",
            Self::Certificates(_) => "Give the certificates of the publisher's certification authority in PEM.",
            Self::NotReached { reason, .. } => match reason {
                NotReached::Lookup(_) | NotReached::NoAddress => {
                    "Check the name of the publisher's service and the DNS servers of this machine."
                }
                NotReached::Connect { .. } => {
                    "Check address and port of the publisher's service, and the firewalls on the way."
                }
                _ => "Ask again: the same request is answered the same, and spends nothing twice.",
            },
            Self::NotThisPublisher { .. } => {
                "Check the address; a publisher with an ordinary certificate needs the file of its authority. \
                 Someone on the way may be in between."
            }
            Self::Unavailable { .. } => "Ask again in a while: the same request spends nothing twice.",
            Self::Protocol { .. } => "Check address and port, and compare the versions of both sides.",
        }
    }
}
