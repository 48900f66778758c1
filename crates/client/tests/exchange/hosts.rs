//! Test hosts: a real server association whose one operation replies as the test requires, and raw bytes.

use std::net::SocketAddr;
use std::time::Duration;

use activation::message::{INTERFACE_OPERATIONS, INTERFACE_UUID, INTERFACE_VERSION};
use client::{ActivateError, Deadlines, Session};
use dcerpc::{Association, AssociationGroups, Event, Interface, ndr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;
use uuid::Uuid;

const INTERFACE: Interface = Interface {
    uuid: Uuid::from_u128(INTERFACE_UUID),
    major: INTERFACE_VERSION.0,
    minor: INTERFACE_VERSION.1,
    operations: INTERFACE_OPERATIONS,
};

/// The reply of a test host to one request.
pub(crate) enum Reply {
    Answer(Vec<u8>),
    /// An unsigned HRESULT without an answer.
    Refuse(u32),
    /// An unsigned HRESULT with a detail.
    RefuseWith(u32, Vec<u8>),
    Fault(u32),
    /// An answer with these bytes as its stub.
    Stub(Vec<u8>),
    /// These bytes instead of a PDU.
    Raw(Vec<u8>),
    /// The bytes `first`, and then `next` once each millisecond until the client disconnects.
    Endless {
        first: Vec<u8>,
        next: Vec<u8>,
    },
    /// A PDU that asks the client to disconnect.
    Shutdown,
    Silence,
    Close,
}

/// The address that hosts without a socket have in errors.
pub(crate) fn peer() -> SocketAddr {
    "192.0.2.7:1688".parse().unwrap()
}

/// Serves one connection until the client disconnects.
pub(crate) async fn serve<S>(mut stream: S, interface: Interface, mut reply: impl FnMut(&[u8]) -> Reply)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut association = Association::new(interface, AssociationGroups::new(), 1688);
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        let mut input = &buffer[..bytes];
        while let Some(event) = association.receive(&mut input) {
            let out = match event {
                Event::Send(pdu) => pdu,
                Event::Close(why) => panic!("the client broke the protocol: {why}"),
                Event::Call(call) => match reply(ndr::decode_request(&call.stub, call.order).unwrap()) {
                    Reply::Answer(data) => association.respond(call.handle, &ndr::encode_answer(&data, 0)),
                    Reply::Refuse(status) => association.respond(call.handle, &ndr::encode_answer(&[], status)),
                    Reply::RefuseWith(status, data) => {
                        association.respond(call.handle, &ndr::encode_answer(&data, status))
                    }
                    Reply::Fault(status) => association.fault(call.handle, status),
                    Reply::Stub(stub) => association.respond(call.handle, &stub),
                    Reply::Raw(bytes) => bytes,
                    Reply::Endless { first, next } => return endless(&mut stream, first, &next).await,
                    Reply::Shutdown => association.shutdown().unwrap(),
                    Reply::Silence => Vec::new(),
                    Reply::Close => return,
                },
            };
            if stream.write_all(&out).await.is_err() {
                return;
            }
        }
    }
}

async fn endless(stream: &mut (impl AsyncWrite + Unpin), first: Vec<u8>, next: &[u8]) {
    let mut written = stream.write_all(&first).await;
    while written.is_ok() {
        sleep(Duration::from_millis(1)).await;
        written = stream.write_all(next).await;
    }
}

/// A session with a host that replies to each request as `reply` returns.
pub(crate) async fn session_with(reply: impl FnMut(&[u8]) -> Reply + Send + 'static) -> Session<DuplexStream> {
    let (near, far) = duplex(64 * 1024);
    tokio::spawn(serve(far, INTERFACE, reply));
    Session::over(near, peer(), Deadlines::default()).await.unwrap()
}

/// The client's error with a server that offers another interface.
pub(crate) async fn bind_to(interface: Interface) -> ActivateError {
    let (near, far) = duplex(64 * 1024);
    tokio::spawn(serve(far, interface, |_| Reply::Close));
    Session::over(near, peer(), Deadlines::default()).await.unwrap_err()
}

/// The client's error with a server that answers the bind with `bytes` and then waits.
pub(crate) async fn bind_answered_with(bytes: Vec<u8>) -> ActivateError {
    let (near, mut far) = duplex(1024 * 1024);
    far.write_all(&bytes).await.unwrap();
    let result = Session::over(near, peer(), Deadlines::default()).await.unwrap_err();
    drop(far);
    result
}

pub(crate) fn activation() -> Interface {
    INTERFACE
}
