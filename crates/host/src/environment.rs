//! The environment of a node: real clocks, randomness and sockets, handed to the other crates as parameters.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use replication::{Clock, Connect};
use tonic::transport::Endpoint;
use transport::{PresentedIdentity, connector};

use crate::{
    limits::{PEER_CONNECT_TIMEOUT, PEER_KEEP_ALIVE_INTERVAL, PEER_KEEP_ALIVE_TIMEOUT},
    test_hooks,
};

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the edge where time enters")]
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the edge where time enters")]
    fn wall_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: in the median of the voters' clocks it is outvoted.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn is_synchronised(&self) -> bool {
        test_hooks::is_clock_synchronised().unwrap_or_else(machine::is_clock_synchronised)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// `N` bytes of the operating system's randomness.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// Opens channels to other nodes over TLS and TCP, with the certificate that this node presents at the time of each
/// connection.
pub(crate) fn connect_over_tls(own: Arc<PresentedIdentity>) -> Connect {
    let connector = connector(own, PEER_CONNECT_TIMEOUT);
    Arc::new(move |address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .http2_keep_alive_interval(PEER_KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(PEER_KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_with_connector_lazy(connector.clone()))
    })
}
