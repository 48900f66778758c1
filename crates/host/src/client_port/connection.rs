//! One client's connection: reads bytes and sends PDUs until it closes, breaks the protocol or exceeds a deadline.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use dcerpc::{Association, Event};
use gateway::Accepted;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use transport::ConnectionSlot;

use crate::{
    client_port::answer::{Answerer, Fault},
    client_port::foreign::{self, Foreign},
    forwarding::{Forwarding, Whose},
    http::metrics::ClientFault,
    limits::{PRESSED_IDLE_TIMEOUT, READ_BYTES},
};

/// Deadlines of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Longest time without a byte between two PDUs.
    pub(crate) idle: Duration,
    /// Longest time for one whole PDU, in either direction.
    pub(crate) pdu: Duration,
}

/// Serves `stream` until it ends or another connection needs its slot. A request in progress at that time, or when
/// the node stops, is still answered.
pub(crate) async fn serve(
    (mut stream, client, mut slot): (TcpStream, SocketAddr, ConnectionSlot),
    mut association: Association,
    (answerer, forwarding): (Answerer, Arc<Forwarding>),
    timeouts: Timeouts,
    mut stopping: watch::Receiver<bool>,
) {
    // Set when the first byte of a PDU arrives and kept until its last byte: sending byte by byte does not extend
    // it.
    let mut pdu_deadline = None;
    let mut is_first = true;
    let source = client.ip();
    // With upstreams: all bytes until the first bind says whose the association is.
    let mut undecided = forwarding.is_on().then(Vec::new);
    loop {
        let idle = if slot.is_pressed() { timeouts.idle.min(PRESSED_IDLE_TIMEOUT) } else { timeouts.idle };
        let deadline = pdu_deadline.unwrap_or_else(|| Instant::now() + idle);
        let readable = tokio::select! {
            readable = timeout_at(deadline, stream.readable()) => readable,
            () = stopped(&mut stopping), if !association.is_mid_pdu() => {
                if let Some(pdu) = association.shutdown() {
                    let _gone = timeout(timeouts.pdu, stream.write_all(&pdu)).await;
                }
                return;
            }
            () = slot.evicted() => return tracing::debug!(%source, "closed a connection: another one needs its slot"),
        };
        match readable {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                if pdu_deadline.is_some() {
                    answerer.metrics.client_fault(ClientFault::Slow);
                }
                return tracing::debug!(%source, mid_pdu = association.is_mid_pdu(), "a client timed out");
            }
        }
        let mut received = match read(&stream) {
            Ok(received) if !received.is_empty() => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            // Closed or reset by the other side, as some probes do.
            Ok(_) | Err(_) => {
                if is_first {
                    answerer.metrics.foreign_connection(Foreign::Closed);
                }
                return;
            }
        };
        slot.activity().received();
        if std::mem::take(&mut is_first)
            && let Some(foreign) = foreign::of_first_bytes(&received)
        {
            answerer.metrics.foreign_connection(foreign);
            let _gone = timeout(timeouts.pdu, stream.write_all(foreign.answer())).await;
            return tracing::debug!(%source, ?foreign, "closed a connection that is not from a client");
        }
        if let Some(held) = &mut undecided {
            held.append(&mut received);
            match forwarding.whose(held, source) {
                Whose::Undecided => {
                    pdu_deadline.get_or_insert_with(|| Instant::now() + timeouts.pdu);
                    continue;
                }
                Whose::Ours => received = undecided.take().unwrap_or_default(),
                Whose::Forwarded(route, bind) => {
                    let accepted = Accepted { stream, client, bind, activity: slot.activity().clone() };
                    tokio::select! {
                        () = forwarding.forward(route, accepted, stopping) => {}
                        () = slot.evicted() => {}
                    }
                    return;
                }
                Whose::Closed => return tracing::debug!(%source, "an association is not forwarded"),
            }
        }
        let mut input = received.as_slice();
        while let Some(event) = association.receive(&mut input) {
            // The PDU is complete; the next one has a deadline of its own.
            pdu_deadline = None;
            // Held until the answer is sent.
            let _call = matches!(event, Event::Call(_)).then(|| slot.activity().call());
            let pdu = match event {
                Event::Send(pdu) => pdu,
                // Boxed while the call lasts, so that an idle connection uses no memory for it.
                Event::Call(call) => match Box::pin(answerer.answer(Some(source), &call.stub, call.order)).await {
                    Ok(stub) => association.respond(call.handle, &stub),
                    Err(Fault(status)) => association.fault(call.handle, status),
                },
                Event::Close(violation) => {
                    answerer.metrics.client_fault(ClientFault::Protocol);
                    return tracing::debug!(%source, %violation, "a client broke the protocol");
                }
            };
            let sent = tokio::select! {
                sent = timeout(timeouts.pdu, stream.write_all(&pdu)) => sent,
                () = slot.evicted() => return,
            };
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    answerer.metrics.client_fault(ClientFault::Slow);
                    return tracing::debug!(%source, "a client did not read its response");
                }
            }
        }
        pdu_deadline = match (association.is_mid_pdu(), pdu_deadline) {
            (false, _) => None,
            (true, Some(deadline)) => Some(deadline),
            (true, None) => Some(Instant::now() + timeouts.pdu),
        };
    }
}

/// Reads what is available. The buffer is on the stack only: an idle connection holds none.
fn read(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut buffer = [0; READ_BYTES];
    let length = stream.try_read(&mut buffer)?;
    Ok(buffer.get(..length).unwrap_or_default().to_vec())
}

/// Returns when the node begins to stop.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A dropped sender means that the node has ended.
    let _stopped_or_gone = stopping.wait_for(|stopping| *stopping).await;
}
