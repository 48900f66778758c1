//! One connection to a host, and the exchanges on it (R2).

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use activation::message::{
    ACTIVATE_OPNUM, INTERFACE_OPERATIONS, INTERFACE_UUID, INTERFACE_VERSION, RefusalDetail, Request, VerifiedAnswer,
    verify_answer,
};
use activation::status::Status;
use activation::trust::Trust;
use dcerpc::{ByteOrder, ClientAssociation, ClientEvent, Interface, ndr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use crate::address::HostAddress;
use crate::connect::connect;
use crate::error::{ActivateError, NotAHost, NotReached};
use crate::limits::{Deadlines, READ_BYTES};

const ACTIVATION: Interface = Interface {
    uuid: Uuid::from_u128(INTERFACE_UUID),
    major: INTERFACE_VERSION.0,
    minor: INTERFACE_VERSION.1,
    operations: INTERFACE_OPERATIONS,
};

/// An answer that passed every check of [`verify_answer`], with details of its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedAnswer {
    pub answer: VerifiedAnswer,
    /// The answer's bytes as the node signed them. Together with the request's bytes they can be verified again
    /// later.
    pub signed: Vec<u8>,
    /// The address of the host that answered.
    pub peer: SocketAddr,
    /// Length of the request on the wire, as a whole PDU, in bytes.
    pub request_pdu_bytes: usize,
    /// Length of the answer on the wire, all fragments of its PDU, in bytes.
    pub response_pdu_bytes: usize,
}

impl ReceivedAnswer {
    /// [`Status::OK`] or [`Status::BELOW_THRESHOLD`]: the host counts, and the client compares with the threshold
    /// (R3).
    #[must_use]
    pub fn status(&self) -> Status {
        if self.answer.body.is_activated() { Status::OK } else { Status::BELOW_THRESHOLD }
    }
}

/// Asks one host once, on a separate connection.
pub async fn activate(
    host: &HostAddress,
    request: &Request,
    trust: &Trust,
    deadlines: Deadlines,
) -> Result<ReceivedAnswer, ActivateError> {
    let mut session = Session::open(host, deadlines).await?;
    let peer = session.peer;
    within(deadlines.exchange, peer, async {
        session.bind().await?;
        session.ask(request, trust).await
    })
    .await
}

/// A bound connection that carries one exchange after another.
///
/// After a refusal, a fault or an answer that does not verify, the session stays usable. After a timeout, an
/// exchange that was dropped half-way or a broken connection, every further exchange returns
/// [`NotReached::SessionOver`].
#[derive(Debug)]
pub struct Session<S = TcpStream> {
    stream: S,
    association: ClientAssociation,
    peer: SocketAddr,
    deadlines: Deadlines,
    buffer: Box<[u8]>,
    /// The part of `buffer` that the association has not consumed yet.
    unread: Range<usize>,
}

impl Session {
    /// Connects to the first IP address of `host` that accepts, and binds.
    pub async fn connect(host: &HostAddress, deadlines: Deadlines) -> Result<Self, ActivateError> {
        let mut session = Self::open(host, deadlines).await?;
        within(deadlines.exchange, session.peer, session.bind()).await?;
        Ok(session)
    }

    async fn open(host: &HostAddress, deadlines: Deadlines) -> Result<Self, ActivateError> {
        let not_reached = |reason| ActivateError::NotReached { host: host.clone(), reason };
        let (stream, peer) = connect(host, deadlines.connect).await.map_err(not_reached)?;
        Ok(Self::new(stream, peer, deadlines))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Binds on an existing connection of any kind; errors and answers name `peer`.
    pub async fn over(stream: S, peer: SocketAddr, deadlines: Deadlines) -> Result<Self, ActivateError> {
        let mut session = Self::new(stream, peer, deadlines);
        within(deadlines.exchange, peer, session.bind()).await?;
        Ok(session)
    }

    /// Sends the request, and verifies the answer against `trust`.
    pub async fn exchange(&mut self, request: &Request, trust: &Trust) -> Result<ReceivedAnswer, ActivateError> {
        within(self.deadlines.exchange, self.peer, self.ask(request, trust)).await
    }

    /// The IP address and port to which the session is connected.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn new(stream: S, peer: SocketAddr, deadlines: Deadlines) -> Self {
        let association = ClientAssociation::new(ACTIVATION);
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Self { stream, association, peer, deadlines, buffer, unread: 0..0 }
    }

    async fn bind(&mut self) -> Result<(), ActivateError> {
        let pdu = self.association.bind();
        self.write(&pdu).await?;
        match self.next_event().await? {
            (ClientEvent::Bound, _) => Ok(()),
            (ClientEvent::Response { .. } | ClientEvent::Fault { .. } | ClientEvent::Shutdown, _) => {
                Err(not_reached(self.peer, NotReached::Closed))
            }
        }
    }

    async fn ask(&mut self, request: &Request, trust: &Trust) -> Result<ReceivedAnswer, ActivateError> {
        let message = request.encode();
        let call = self.association.request(ACTIVATE_OPNUM, &ndr::encode_request(&message));
        let pdu = call.map_err(|_| not_reached(self.peer, NotReached::SessionOver))?;
        self.write(&pdu).await?;
        let peer = self.peer;
        match self.next_event().await? {
            (ClientEvent::Response { stub, order, .. }, response_pdu_bytes) => {
                let data = answer(peer, &stub, order)?;
                let answer = verify_answer(data, &message, trust, request.product)
                    .map_err(|error| ActivateError::NotTrusted { peer, error })?;
                let signed = data.to_vec();
                Ok(ReceivedAnswer { answer, signed, peer, request_pdu_bytes: pdu.len(), response_pdu_bytes })
            }
            (ClientEvent::Fault { status, .. }, _) => Err(ActivateError::Fault { peer, status }),
            (ClientEvent::Shutdown | ClientEvent::Bound, _) => Err(not_reached(peer, NotReached::Closed)),
        }
    }

    /// The next event, and how many bytes of the stream it consisted of.
    async fn next_event(&mut self) -> Result<(ClientEvent, usize), ActivateError> {
        let mut taken = 0;
        loop {
            let mut input = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let waiting = input.len();
            let event = self.association.receive(&mut input);
            taken += waiting - input.len();
            self.unread.start = self.unread.end - input.len();
            match event {
                Some(Ok(event)) => return Ok((event, taken)),
                Some(Err(error)) => return Err(ActivateError::Protocol { peer: self.peer, error: error.into() }),
                None => {}
            }
            let read = self.stream.read(&mut self.buffer).await;
            self.unread = match read.map_err(|error| not_reached(self.peer, NotReached::Broken(error)))? {
                0 => return Err(not_reached(self.peer, NotReached::Closed)),
                bytes => 0..bytes,
            };
        }
    }

    async fn write(&mut self, pdu: &[u8]) -> Result<(), ActivateError> {
        let written = self.stream.write_all(pdu).await;
        written.map_err(|error| not_reached(self.peer, NotReached::Broken(error)))
    }
}

/// Extracts the bytes of an answer from the results of the operation.
fn answer(peer: SocketAddr, stub: &[u8], order: ByteOrder) -> Result<&[u8], ActivateError> {
    match ndr::decode_answer(stub, order) {
        Ok((data, 0)) => Ok(data),
        Ok((data, status)) => {
            let status = Status(status);
            let detail = match status {
                Status::KEY_DOES_NOT_COVER_PRODUCT => RefusalDetail::decode(data),
                Status::HOST_UNAVAILABLE => {
                    RefusalDetail::decode(data).filter(|detail| detail.new_cmids_per_minute > 0)
                }
                _ => None,
            };
            Err(ActivateError::Refused { peer, status, detail })
        }
        Err(bad) => Err(ActivateError::Protocol { peer, error: NotAHost::Stub(bad) }),
    }
}

fn not_reached(peer: SocketAddr, reason: NotReached) -> ActivateError {
    ActivateError::NotReached { host: peer.into(), reason }
}

async fn within<T>(
    deadline: Duration,
    peer: SocketAddr,
    step: impl Future<Output = Result<T, ActivateError>>,
) -> Result<T, ActivateError> {
    timeout(deadline, step).await.unwrap_or_else(|_| Err(not_reached(peer, NotReached::Silent)))
}
