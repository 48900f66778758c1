//! Who asks something of the administration.

use std::{fmt, sync::Arc};

use tonic::{Extensions, transport::server::UdsConnectInfo};
use transport::{Certificate, Role, Subject};

use crate::credentials::registered::{NotLetIn, Registered};

/// Who asks; in the extensions of every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// What the certificate says, `node N`, or `uid:N` on the node's own socket; empty where nothing is known.
    pub(crate) name: String,
    /// What they may do; none for nodes and strangers.
    pub(crate) role: Option<Role>,
    /// An address, or `socket`.
    pub(crate) from: String,
    /// What was shown; none on the socket, and by strangers.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Why its holder is not let in.
    pub(crate) not_let_in: Option<NotLetIn>,
}

impl Caller {
    /// From what the connection knows, and the registry says now. A caller on the node's own socket is an administrator.
    pub(crate) fn of(extensions: &Extensions, now_ms: u64, registered: &Registered) -> Self {
        if let Some(socket) = extensions.get::<UdsConnectInfo>() {
            let uid = socket.peer_cred.map_or_else(|| "uid:?".to_owned(), |peer| format!("uid:{}", peer.uid()));
            return Self { name: uid, role: Some(Role::Administrator), from: "socket".into(), ..Self::default() };
        }
        let Some(caller) = extensions.get::<transport::Caller>() else { return Self::default() };
        let from = caller.address.ip().to_canonical().to_string();
        let Some(certificate) = &caller.certificate else { return Self { from, ..Self::default() } };
        let stranger = Self { from, certificate: Some(Arc::clone(certificate)), ..Self::default() };
        // The connection is older than the end of what was shown on it.
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

/// Who makes this call, as [`super::rights`] noted it.
pub(super) fn of<T>(request: &tonic::Request<T>) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_default()
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, from, .. } = self;
        match name.as_str() {
            "" => write!(f, "a stranger from {from}"),
            name => write!(f, "{name} from {from}"),
        }
    }
}
