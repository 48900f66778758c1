//! One probe: connect, bind, and no request.

use std::time::Duration;

use dcerpc::relay::{BindAck, HEADER_BYTES, Kind, first_header};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{
    driver::{inner::Inner, state::ProbeTask},
    failure::Failure,
};

/// Longest answer to a probe's bind, which has one context, in bytes.
const ANSWER_BYTES_MAX: usize = 1024;
/// Provider rejection, and its reason "abstract syntax not supported" (C706 section 12.6.3.1).
const INTERFACE_UNKNOWN: (u16, u16) = (2, 1);

impl Inner {
    /// Probes an upstream; returns how long it took from the start of the connection to the bind_ack.
    pub(super) async fn probe(&self, task: &ProbeTask) -> Result<Duration, Failure> {
        let timeouts = self.state().settings.timeouts();
        let began = Instant::now();
        let mut stream = self.connect(&task.upstream, timeouts.connect).await?;
        let bind = dcerpc::relay::probe(task.call_id, task.interface);
        let answer = timeout(timeouts.bind, exchange(&mut stream, &bind)).await.map_err(|_| Failure::Silent)??;
        let header = first_header(&answer).ok_or(Failure::Protocol)?;
        if header.call_id != task.call_id {
            return Err(Failure::Protocol);
        }
        match header.kind {
            Kind::BindAck => {}
            Kind::BindNak | Kind::Fault => return Err(Failure::Refused),
            _ => return Err(Failure::Protocol),
        }
        let ack = BindAck::decode(&answer).map_err(|_| Failure::Protocol)?;
        let is_unknown = ack.answers.first().is_some_and(|answer| (answer.result, answer.reason) == INTERFACE_UNKNOWN);
        if is_unknown && task.was_accepted { Err(Failure::Refused) } else { Ok(began.elapsed()) }
    }
}

/// Sends a bind and reads the whole PDU that answers it.
async fn exchange(stream: &mut TcpStream, bind: &[u8]) -> Result<Vec<u8>, Failure> {
    stream.write_all(bind).await.map_err(|_| Failure::Closed)?;
    let mut answer = vec![0; HEADER_BYTES];
    stream.read_exact(&mut answer).await.map_err(|_| Failure::Closed)?;
    let length = first_header(&answer).map_or(0, |header| usize::from(header.fragment_bytes));
    if !(HEADER_BYTES..=ANSWER_BYTES_MAX).contains(&length) {
        return Err(Failure::Protocol);
    }
    answer.resize(length, 0);
    let body = answer.get_mut(HEADER_BYTES..).unwrap_or_default();
    stream.read_exact(body).await.map_err(|_| Failure::Closed)?;
    Ok(answer)
}
