//! Repeats a request whose reply was lost, so that it is carried out exactly once.
//!
//! Each request that changes something carries 16 random bytes ([`REQUEST_ID_METADATA`]). Where the connection breaks
//! before the reply arrives, or the node cannot say whether the request was carried out, the same request is sent
//! again with the same bytes. A cluster that writes format 3 or later answers with the outcome of the first request.
//! With an earlier format nothing is repeated: the outcome is unknown, and the error says so.

use std::{
    error::Error,
    task::{Context, Poll},
    time::Duration,
};

use activation::state::Format;
use admin::wire::REQUEST_ID_METADATA;
use anyhow::anyhow;
use api::admin::v1::{ClusterStatusRequest, admin_client::AdminClient};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, Full};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
    metadata::{BinaryMetadataValue, MetadataMap},
    transport::Channel,
};

use super::{
    reach::Reach,
    unreached::{cause, certificates},
};

/// How long a request is repeated after its first reply was lost.
pub(super) const REPEAT_TIMEOUT: Duration = Duration::from_secs(120);

/// Pause between two attempts.
pub(super) const REPEAT_PAUSE: Duration = Duration::from_millis(500);

/// Calls that change something and have one message as reply. Other calls are not repeated: a read can be made anew,
/// and `Enroll` uses no channel of this kind.
const REPEATED: &[&str] = &[
    "TransferLeader",
    "Drain",
    "AddNode",
    "RemoveNode",
    "PromoteNode",
    "RejoinNode",
    "Revoke",
    "RevokeToken",
    "RenewCertificate",
    "CertifyNode",
    "Clock",
    "InstallCatalog",
    "InstallKey",
    "RequestActivation",
    "InstallActivation",
    "ReleaseActivation",
    "ChangeSettings",
    "DnsSettle",
    "SetFormat",
    "CreateToken",
];

type BoxedError = Box<dyn Error + Send + Sync>;
type Response = http::Response<Body>;

/// A channel to one node's administration that repeats requests.
#[derive(Clone)]
pub(crate) struct Repeating {
    reach: Reach,
    channel: Channel,
}

/// A request that can be sent more than once.
struct Kept {
    parts: http::request::Parts,
    message: Bytes,
}

impl Repeating {
    pub(super) async fn connect(reach: Reach) -> anyhow::Result<Self> {
        Ok(Self { channel: reach.connect().await?, reach })
    }
}

impl Service<http::Request<Body>> for Repeating {
    type Response = Response;
    type Error = BoxedError;
    type Future = BoxFuture<'static, Result<Response, BoxedError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxedError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = request.uri().path().rsplit('/').next().unwrap_or_default();
        if !REPEATED.contains(&call) {
            return self.channel.call(request).map(|response| response.map_err(Into::into)).boxed();
        }
        // `poll_ready` was called on this channel, so it takes the request; the clone that replaces it is polled before
        // its use.
        let fresh = self.channel.clone();
        let channel = std::mem::replace(&mut self.channel, fresh);
        let reach = self.reach.clone();
        async move {
            let kept = Kept::of(request).await?;
            match kept.send(channel).await {
                Attempt::Done(response) => Ok(response),
                Attempt::Failed(error) => Err(error),
                Attempt::Lost(cause) => repeat(&reach, &kept, cause).await,
            }
        }
        .boxed()
    }
}

enum Attempt {
    Done(Response),
    /// The node did not accept the request.
    Failed(BoxedError),
    /// The outcome is unknown; the text says why.
    Lost(String),
}

impl Kept {
    async fn of(request: http::Request<Body>) -> Result<Self, BoxedError> {
        let (mut parts, body) = request.into_parts();
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| anyhow!("no randomness: {error}"))?;
        let mut metadata = MetadataMap::from_headers(std::mem::take(&mut parts.headers));
        metadata.insert_bin(REQUEST_ID_METADATA, BinaryMetadataValue::from_bytes(&id));
        parts.headers = metadata.into_headers();
        Ok(Self { parts, message: body.collect().await?.to_bytes() })
    }

    /// Sends the request and waits for the whole reply.
    async fn send(&self, mut channel: Channel) -> Attempt {
        let request = http::Request::from_parts(self.parts.clone(), Body::new(Full::new(self.message.clone())));
        let received = async {
            std::future::poll_fn(|context| channel.poll_ready(context)).await?;
            let (parts, body) = channel.call(request).await?.into_parts();
            let collected = body.collect().await?;
            let trailers = collected.trailers().cloned();
            Ok::<_, BoxedError>((parts, trailers, collected.to_bytes()))
        };
        let (parts, trailers, message) = match received.await {
            Ok(received) => received,
            // That the node refuses the caller's certificate is known only with the first reply.
            Err(error) if certificates(&cause(&*error)).is_some() => return Attempt::Failed(error),
            Err(error) => return Attempt::Lost(cause(&*error)),
        };
        let status = Status::from_header_map(&parts.headers).or_else(|| Status::from_header_map(trailers.as_ref()?));
        match status {
            Some(status) if status.code() == Code::Unknown => Attempt::Lost(status.message().to_owned()),
            _ => {
                let body = Full::new(message).with_trailers(std::future::ready(trailers.map(Ok)));
                Attempt::Done(http::Response::from_parts(parts, Body::new(body)))
            }
        }
    }
}

/// Repeats the request on new connections until a reply arrives or [`REPEAT_TIMEOUT`] is over.
async fn repeat(reach: &Reach, kept: &Kept, mut cause: String) -> Result<Response, BoxedError> {
    let until = Instant::now() + REPEAT_TIMEOUT;
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(REPEAT_PAUSE);
    while Instant::now() < until {
        progress.set_message(format!(
            "{reach}: the connection failed before the reply arrived ({cause}); sending the request again"
        ));
        let attempt = async {
            let channel = reach.connect().await.ok()?;
            match remembers(channel.clone()).await? {
                true => Some(Ok(kept.send(channel).await)),
                false => Some(Err(unknown(&cause))),
            }
        };
        match timeout_at(until, attempt).await {
            Ok(Some(Ok(Attempt::Done(response)))) => {
                progress.finish_and_clear();
                return Ok(response);
            }
            Ok(Some(Ok(Attempt::Failed(error)))) => return Err(error),
            Ok(Some(Ok(Attempt::Lost(again)))) => cause = again,
            Ok(Some(Err(unknown))) => return Ok(unknown),
            Ok(None) | Err(_) => {}
        }
        sleep(REPEAT_PAUSE).await;
    }
    Ok(unknown(&cause))
}

/// Whether the cluster remembers which requests it carried out; `None` where that cannot be found out now.
async fn remembers(channel: Channel) -> Option<bool> {
    let reply = AdminClient::new(channel).cluster_status(ClusterStatusRequest {}).await.ok()?.into_inner();
    // A format that this version does not know is a newer one.
    Some(Format::new(reply.format).map_or(true, Format::remembers_commands))
}

fn unknown(cause: &str) -> Response {
    Status::unknown(format!(
        "the outcome of the request is unknown: the connection failed before the reply arrived ({cause}). Check \
         whether the change was made before you repeat the command"
    ))
    .into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = include_str!("../../../../proto/admin.proto");

    /// Calls that are not repeated: they change nothing, their reply is a stream, or they use another kind of
    /// channel.
    const ASKED_ONCE: [&str; 19] = [
        // Each attempt creates a key.
        "RotateAuthority",
        "ListTokens",
        "Registry",
        "Count",
        "ClusterStatus",
        "ShowCatalogs",
        "ListKeys",
        "GetSettings",
        "DnsStatus",
        "GatewayStatus",
        "DnsZone",
        "Audit",
        "Events",
        "CountedIn",
        "Duplicates",
        "Examine",
        "ConsoleTicket",
        "Backup",
        "Enroll",
    ];

    #[test]
    fn every_call_is_repeated_or_listed_as_not_repeated() {
        let calls = PROTO.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
        let mut calls: Vec<_> = calls.collect();
        let mut known: Vec<_> = REPEATED.iter().chain(&ASKED_ONCE).copied().collect();
        calls.sort_unstable();
        known.sort_unstable();
        assert_eq!(calls, known);
    }

    #[test]
    fn every_repeated_call_exists_and_has_one_reply_message() {
        for call in REPEATED {
            let is_call = |line: &&str| line.trim_start().starts_with(&format!("rpc {call}("));
            let line = PROTO.lines().find(is_call).unwrap_or_else(|| panic!("{call} is no call"));
            assert!(!line.contains("stream"), "{line}");
        }
    }
}
