//! Connections to upstreams.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use crate::{
    driver::{inner::Inner, observer::UpstreamId},
    failure::Failure,
    limits::{ADDRESSES_MAX, LOOKUP_TIMEOUT},
};

impl Inner {
    /// A connection to an upstream, with its name resolved again where its addresses are too old.
    pub(super) async fn connect(&self, id: &UpstreamId, deadline: Duration) -> Result<TcpStream, Failure> {
        let addresses = self.addresses(id).await?;
        let allowed: Vec<_> = addresses.into_iter().filter(|address| !(self.environment.is_member)(*address)).collect();
        if allowed.is_empty() {
            return Err(Failure::Member);
        }
        let connected = discovery::connect(&allowed, deadline).await;
        let stream = connected.map_err(|error| {
            let local = error.failed.iter().map(|attempt| Failure::of_connect(&attempt.cause));
            local.max().unwrap_or(Failure::Connect)
        })?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        Ok(stream)
    }

    /// At least one address.
    async fn addresses(&self, id: &UpstreamId) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(address) = id.address.socket() {
            return Ok(vec![address]);
        }
        let now = self.now();
        let known = self.with_upstream(id, |upstream| upstream.addresses(now));
        let (known, is_fresh) = known.unwrap_or_default();
        if is_fresh && !known.is_empty() {
            return Ok(known);
        }
        let lookup = timeout(LOOKUP_TIMEOUT, self.environment.names.addresses(id.address.host())).await;
        let now = self.now();
        match lookup {
            Ok(Ok(found)) if !found.values.is_empty() => {
                let port = id.address.port();
                let addresses = found.values.iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(*address, port));
                let addresses: Vec<_> = addresses.collect();
                self.with_upstream(id, |upstream| upstream.found(addresses.clone(), found.ttl, now));
                if !known.is_empty() && known != addresses {
                    tracing::info!(upstream = %id.address, before = ?known, now = ?addresses, "an upstream has another address");
                }
                Ok(addresses)
            }
            _ => {
                self.with_upstream(id, |upstream| upstream.not_found(now));
                if known.is_empty() { Err(Failure::Resolve) } else { Ok(known) }
            }
        }
    }
}
