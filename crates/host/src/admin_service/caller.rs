//! The caller of an administration request.

use std::{fmt, sync::Arc};

use tonic::{Extensions, transport::server::UdsConnectInfo};
use transport::{Certificate, Role, Subject};

use crate::credentials::registered::{NotLetIn, Registered};

/// The caller of an administration request; stored in the extensions of every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The name in the certificate, `node N`, or `uid:N` on the node's own socket. Empty for an unknown caller.
    pub(crate) name: String,
    /// The caller's role. `None` for nodes and unknown callers.
    pub(crate) role: Option<Role>,
    /// The caller's IP address, or `socket`.
    pub(crate) from: String,
    /// The certificate that the caller presented. `None` on the socket, and for callers without one.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Why the holder of the certificate is not admitted; `None` where it is, or where there is no certificate.
    pub(crate) not_let_in: Option<NotLetIn>,
}

impl Caller {
    /// Determines the caller from the connection and the current registry. A caller on the node's own socket is an
    /// administrator.
    pub(crate) fn of(extensions: &Extensions, now_ms: u64, registered: &Registered) -> Self {
        if let Some(socket) = extensions.get::<UdsConnectInfo>() {
            let uid = socket.peer_cred.map_or_else(|| "uid:?".to_owned(), |peer| format!("uid:{}", peer.uid()));
            return Self { name: uid, role: Some(Role::Administrator), from: "socket".into(), ..Self::default() };
        }
        let Some(caller) = extensions.get::<transport::Caller>() else { return Self::default() };
        let from = caller.address.ip().to_canonical().to_string();
        let Some(certificate) = &caller.certificate else { return Self { from, ..Self::default() } };
        let stranger = Self { from, certificate: Some(Arc::clone(certificate)), ..Self::default() };
        // The certificate was valid when the connection began and has expired since.
        if certificate.ends_ms < now_ms {
            return stranger;
        }
        match registered.holder(certificate) {
            Ok(Subject::Person { name, role }) => Self { name, role: Some(role), ..stranger },
            Ok(node @ Subject::Node(_)) => Self { name: node.to_string(), ..stranger },
            Err(why) => Self { not_let_in: Some(why), ..stranger },
        }
    }
}

/// The caller of this request, as [`super::rights`] noted it in the extensions.
pub(super) fn of<T>(request: &tonic::Request<T>) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_default()
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, from, .. } = self;
        match name.as_str() {
            "" => write!(f, "an unauthenticated caller from {from}"),
            name => write!(f, "{name} from {from}"),
        }
    }
}
