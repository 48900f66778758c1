//! A discovered host.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A host to try, with its addresses in the order in which to try them; at least one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundHost {
    /// A name with its trailing dot, or an IP address.
    pub target: String,
    pub port: u16,
    pub priority: u16,
    pub weight: u16,
    pub addresses: Vec<IpAddr>,
}

impl FoundHost {
    /// Target and port in the form in which administrators type them: `node1.example.com:1688`, `192.0.2.1:1688`,
    /// `[2001:db8::1]:1688`.
    pub fn endpoint(&self) -> String {
        match self.target.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).to_string(),
            Err(_) => format!("{}:{}", self.target.trim_end_matches('.'), self.port),
        }
    }

    /// Whether `other` has the same target and port, whatever its addresses.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let bare = |target: &str| target.trim_end_matches('.').to_ascii_lowercase();
        self.port == other.port && bare(&self.target) == bare(&other.target)
    }

    /// The addresses with the port.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port)).collect()
    }
}
