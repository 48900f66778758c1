//! Port 1688: accepts connections, limited in total and per source.

use std::{io, sync::Arc, time::Duration};

use activation::message::{INTERFACE_UUID, INTERFACE_VERSION};
use dcerpc::{Association, AssociationGroups, Interface};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use transport::Connections;
use uuid::Uuid;

use crate::{
    client_port::answer::Answerer,
    client_port::connection::{self, Timeouts, stopped},
    config::Clients,
    forwarding::Forwarding,
    limits::STOP_DEADLINE,
    tasks::{self, HostTask},
};

/// The interface `Activation`, to which clients bind.
const INTERFACE: Interface = Interface {
    uuid: Uuid::from_u128(INTERFACE_UUID),
    major: INTERFACE_VERSION.0,
    minor: INTERFACE_VERSION.1,
    operations: 1,
};

/// Serves `listener`, or the newest listener from the channel instead, until `stopping`; then lets open requests
/// finish, up to [`STOP_DEADLINE`].
pub(crate) async fn serve(
    (mut listener, mut others): (TcpListener, mpsc::Receiver<TcpListener>),
    (settings, port): (&Clients, Connections),
    (answerer, forwarding): (Answerer, Arc<Forwarding>),
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut number = listener.local_addr()?.port();
    let groups = AssociationGroups::new();
    let timeouts = Timeouts {
        idle: Duration::from_secs(settings.idle_timeout_s),
        pdu: Duration::from_secs(settings.pdu_timeout_s),
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = port.accept(&listener) => accepted,
            () = stopped(&mut stopping) => break,
            Some(other) = others.recv() => {
                listener = other;
                number = listener.local_addr()?.port();
                continue;
            }
            // Join finished tasks, which frees their memory.
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, address, slot)) = accepted else { continue };
        answerer.metrics.connections.increment(1);
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let association = Association::new(INTERFACE, groups.clone(), number);
        let parts = (answerer.clone(), Arc::clone(&forwarding));
        let serving = connection::serve((stream, address, slot), association, parts, timeouts, stopping.clone());
        let open = answerer.metrics.connections_open.clone();
        open.increment(1.0);
        tasks::spawn(&mut connections, HostTask::ClientConnection, async move {
            serving.await;
            open.decrement(1.0);
        });
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_DEADLINE, finished).await.is_err() {
        tracing::warn!("some requests were still open at the deadline");
    }
    Ok(())
}
