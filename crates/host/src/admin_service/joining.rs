//! The call with which a node that joined with a token adds itself to the cluster. The token is the consent.
//!
//! The node calls the peer port before its key is registered. This is the only call there that such a node may make;
//! all others look the caller's key up in the registry.

use std::net::SocketAddr;

use activation::state::{Holder, KeyDigest};
use api::node::v1::{JoinReply, JoinRequest, joining_server::Joining};
use replication::Clock as _;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};
use transport::{Caller, Subject, is_host_and_port};

use super::{
    acting::Acting,
    members::Members,
    status::{ACCESS_DENIED, invalid, unavailable},
};
use crate::{environment::SystemClock, lifecycle::registration::Registrar};

/// The service for joining nodes.
pub(crate) struct JoiningService {
    registrar: Registrar,
    /// Adds one node at a time.
    turn: Mutex<()>,
}

impl JoiningService {
    pub(crate) fn new(registrar: Registrar) -> Self {
        Self { registrar, turn: Mutex::default() }
    }

    /// Whether the holder of this key is a member already. Error: it is not a member, and may not add itself.
    async fn is_member(&self, node: u64, key: &KeyDigest) -> Result<bool, Status> {
        let replica = self.registrar.nodes.replica();
        let now_ms = replica.read_point().await.map_err(unavailable)?.expiry_ms;
        let (holder, joining) = replica.view(|state| {
            let registry = state.registry();
            (registry.get(key).map(|known| known.holder.clone()), registry.joining(key).copied())
        });
        if holder == Some(Holder::Node(node)) && replica.cluster().members.contains_key(&node) {
            return Ok(true);
        }
        match joining {
            Some(joining) if joining.node == node && joining.until_ms >= now_ms => Ok(false),
            Some(_) => Err(refused("the time limit for this node to add itself has passed")),
            None => Err(refused(
                "this node may not add itself: it already joined once, was revoked, or was prepared by file",
            )),
        }
    }
}

#[tonic::async_trait]
impl Joining for JoiningService {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| refused("only a node may make this call"))?;
        // The request has arrived completely: keep its connection open until the answer is sent.
        let _call = caller.activity.call();
        let certificate = caller.certificate.ok_or_else(|| refused("only a node may make this call"))?;
        let Subject::Node(node) = certificate.subject else { return Err(refused("only a node may make this call")) };
        if certificate.ends_ms < SystemClock::default().wall_ms() {
            return Err(refused("the certificate of this node has expired"));
        }
        let address = address(request.get_ref(), caller.address)?;
        if self.is_member(node, &certificate.key).await? {
            return Ok(Response::new(JoinReply {}));
        }
        let _turn = self.turn.lock().await;
        // Another call of this node may have added it meanwhile.
        if !self.is_member(node, &certificate.key).await? {
            let from = caller.address.ip().to_canonical().to_string();
            let acting = Acting::joining(&self.registrar.nodes, node, from);
            let members = Members { acting: &acting, registrar: &self.registrar };
            members.add_joining(node, certificate.key, &address).await?;
            tracing::info!(node, address, "a node joined with a token");
        }
        Ok(Response::new(JoinReply {}))
    }
}

/// The caller's peer address: the requested one, or the address from which it calls with the requested port.
fn address(asked: &JoinRequest, from: SocketAddr) -> Result<String, Status> {
    if asked.address.is_empty() {
        let port = u16::try_from(asked.port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| invalid("give an address, or a port"))?;
        return Ok(SocketAddr::new(from.ip().to_canonical(), port).to_string());
    }
    let is_address = is_host_and_port(&asked.address);
    is_address.then(|| asked.address.clone()).ok_or_else(|| invalid("the address is not HOST:PORT"))
}

fn refused(why: &str) -> Status {
    Status::permission_denied(format!("{ACCESS_DENIED}: {why}; add it with `quorate cluster add NODE=HOST:PORT`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_on_all_addresses_is_where_it_calls_from() {
        let from = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 50_000);
        let asked = |address: &str, port| JoinRequest { address: address.into(), port };
        for (asked, ip, expected) in [
            (asked("", 1689), "192.0.2.4", Some("192.0.2.4:1689")),
            (asked("", 1689), "::ffff:192.0.2.4", Some("192.0.2.4:1689")),
            (asked("", 1689), "2001:db8::4", Some("[2001:db8::4]:1689")),
            (asked("node4.example.test:1689", 7), "192.0.2.4", Some("node4.example.test:1689")),
            (asked("", 0), "192.0.2.4", None),
            (asked("", 65_536), "192.0.2.4", None),
            (asked("nowhere", 1689), "192.0.2.4", None),
        ] {
            assert_eq!(address(&asked, from(ip)).ok().as_deref(), expected, "{asked:?} from {ip}");
        }
    }
}
