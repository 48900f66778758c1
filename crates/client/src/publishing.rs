//! A publisher's service: exchanges host keys for certificates (R30, R31) and activates machines directly (R24).
//!
//! [`Publishing`] is one connection over TLS 1.3 to the given publisher. Requests and answers are files that can
//! also be carried by hand, and have their own signatures. A retried request has the same id, so whatever happened
//! to the first attempt, it gets the same answer and uses no second activation.

mod anchors;
mod error;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use activation::VerifyingKey;
use activation::host_activation::FILE_BYTES_MAX;
use activation::id::PublisherId;
use activation::status::Status;
use api::publishing::v1::publishing_client::PublishingClient;
use api::publishing::v1::{self as proto, activate_reply, direct_activate_reply};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};

pub use self::error::{PublishingError, Refusal};
use crate::address::HostAddress;
use crate::connect::connect;
use crate::error::NotReached;
use crate::limits::{CONNECT_MS, EXCHANGE_MS, PUBLISHING_MS};

/// A connection to a publisher's service.
#[derive(Clone, Debug)]
pub struct Publishing {
    address: HostAddress,
    client: PublishingClient<Channel>,
}

impl Publishing {
    /// Connects to the service at `HOST:PORT`, and verifies that it is this publisher's: one of the two activation
    /// keys must have signed its certificate. Where the publisher has an ordinary certificate, the name in `address`
    /// is verified instead, against the certification authorities in the PEM file `authorities`.
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
            // The client itself detected this: the connection is broken.
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

/// A channel on the existing connection; when the connection closes, the channel fails.
async fn channel(stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    let once = tower::service_fn(move |_: Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    // The address is not used, because the connection exists already.
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

/// The longest text of a publisher that is shown, in characters.
const REASON_CHARS_MAX: usize = 300;

/// The other side's text without control characters, for a terminal and a log.
fn plain(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
