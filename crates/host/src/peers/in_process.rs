//! A channel to this node's own node service without the network, so that a node calls itself as it calls the
//! others.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::limits::IN_PROCESS_BYTES;

/// Connections that may wait for the service to start; the channel needs one.
const WAITING_MAX: usize = 4;

/// The server's end of the channel: a stream of connections for a tonic server.
pub(crate) type Incoming =
    futures::stream::Map<ReceiverStream<DuplexStream>, fn(DuplexStream) -> io::Result<DuplexStream>>;

/// Creates the channel, and the stream of the connections that it makes. Calls wait until the connections are
/// served.
pub(crate) fn pair() -> (Channel, Incoming) {
    let (connections, accepted) = mpsc::channel(WAITING_MAX);
    let connect = service_fn(move |_: Uri| {
        let connections = connections.clone();
        async move {
            let (near, far) = duplex(IN_PROCESS_BYTES);
            let sent = connections.send(far).await;
            sent.map_err(|_| io::Error::new(io::ErrorKind::ConnectionRefused, "the node is stopping"))?;
            Ok::<_, io::Error>(TokioIo::new(near))
        }
    });
    let channel = Endpoint::from_static("http://this-node").connect_with_connector_lazy(connect);
    let incoming: fn(DuplexStream) -> io::Result<DuplexStream> = Ok;
    (channel, futures::StreamExt::map(ReceiverStream::new(accepted), incoming))
}
