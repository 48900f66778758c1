//! Why DNS returned no host, sorted by which side is to blame.

use hickory_resolver::net::{DnsError, NetError};

use crate::name::DnsName;

/// Why no host was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    #[error("DNS has no SRV record of a host at {}", names.join(", "))]
    NoRecord { names: Vec<String> },
    #[error("no DNS server answered the query for {name}: {cause}")]
    NoServer { name: String, cause: String },
    #[error("the DNS server answered {rcode} to the query for {name}")]
    Failed { name: String, rcode: String, code: u16 },
    #[error("the DNS answer for {name} is invalid: {cause}")]
    Unusable { name: String, cause: String },
    #[error("DNS has no address record of {}", targets.join(", "))]
    NoAddress { targets: Vec<String> },
    #[error("DNS has no zone that contains {name}")]
    NoZone { name: String },
    #[error("the SOA of the zone {zone} names no primary (its MNAME is the root)")]
    NoMname { zone: String },
    #[error("this machine's DNS configuration cannot be used: {cause}")]
    Configuration { cause: String },
}

impl FindError {
    /// The status that a client reports: the HRESULT of the DNS error with the same meaning.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoRecord { .. } => 0x8007_232B, // DNS_ERROR_RCODE_NAME_ERROR
            Self::NoServer { .. } => 0x8007_05B4, // ERROR_TIMEOUT
            Self::Failed { code, .. } => 0x8007_2328 + u32::from(*code),
            Self::Unusable { .. } => 0x8007_251E,      // DNS_ERROR_BAD_PACKET
            Self::NoAddress { .. } => 0x8007_251D,     // DNS_INFO_NO_RECORDS
            Self::NoMname { .. } => 0x8007_2584,       // DNS_ERROR_ZONE_CONFIGURATION_ERROR
            Self::NoZone { .. } => 0x8007_2581,        // DNS_ERROR_ZONE_DOES_NOT_EXIST
            Self::Configuration { .. } => 0x8007_267C, // DNS_ERROR_NO_DNS_SERVERS
        }
    }

    /// The next step, in one sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoRecord { .. } => {
                "Publish a host in one of these domains, or configure a host (quorate client set-host HOST --state \
                 DIR)."
            }
            Self::NoServer { .. } => "Check that a DNS server of this machine's configuration runs and can be reached.",
            Self::Failed { .. } | Self::Unusable { .. } => "See the log of the DNS server that this machine uses.",
            Self::NoAddress { .. } => "Publish A or AAAA records of the host, or correct its name.",
            Self::NoZone { .. } => "Correct the domain, or set the primary in the configuration (dns.primary).",
            Self::NoMname { .. } => {
                "Set the primary in the configuration (dns.primary), or correct the MNAME of the zone's SOA record."
            }
            Self::Configuration { .. } => {
                "Set a DNS server and a search domain in /etc/resolv.conf, or give them as options."
            }
        }
    }
}

/// Sorts an error by which side is to blame: no server answered, a server failed, or the record does not exist.
pub(super) fn sorted(name: &DnsName, error: NetError) -> FindError {
    let (name, cause) = (name.to_string(), error.to_string());
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => FindError::NoRecord { names: vec![name] },
        NetError::Dns(DnsError::ResponseCode(rcode)) => {
            FindError::Failed { name, rcode: rcode.to_string(), code: rcode.into() }
        }
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) | NetError::Busy => {
            FindError::NoServer { name, cause }
        }
        _ => FindError::Unusable { name, cause },
    }
}
