//! Who asks something of the administration.

use std::fmt;

use tonic::{Extensions, transport::server::UdsConnectInfo};
use transport::{Role, Subject};

/// Who asks; in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// What the certificate says, `node N`, or `uid:N` on the node's own socket; empty where nothing is known.
    pub(crate) name: String,
    /// What they may do; none for nodes and strangers.
    pub(crate) role: Option<Role>,
    /// An address, or `socket`.
    pub(crate) from: String,
}

impl Caller {
    /// From what the connection knows. Whoever may open the node's own socket is an administrator.
    pub(crate) fn of(extensions: &Extensions, now_ms: u64) -> Self {
        if let Some(socket) = extensions.get::<UdsConnectInfo>() {
            let uid = socket.peer_cred.map_or_else(|| "uid:?".to_owned(), |peer| format!("uid:{}", peer.uid()));
            return Self { name: uid, role: Some(Role::Administrator), from: "socket".into() };
        }
        let Some(caller) = extensions.get::<transport::Caller>() else {
            return Self { name: String::new(), role: None, from: String::new() };
        };
        let from = caller.address.ip().to_canonical().to_string();
        match &caller.subject {
            // The connection is older than the end of what was shown on it.
            _ if caller.subject.is_some() && caller.ends_ms < now_ms => Self { name: String::new(), role: None, from },
            Some(Subject::Person { name, role }) => Self { name: name.clone(), role: Some(*role), from },
            Some(node @ Subject::Node(_)) => Self { name: node.to_string(), role: None, from },
            None => Self { name: String::new(), role: None, from },
        }
    }
}

/// Who makes this call, as [`super::rights`] noted it.
pub(super) fn of<T>(request: &tonic::Request<T>) -> Caller {
    let stranger = || Caller { name: String::new(), role: None, from: String::new() };
    request.extensions().get::<Caller>().cloned().unwrap_or_else(stranger)
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
