//! A node's own DNS configuration, checked when the node starts.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};

use activation::settings::{Announcement, DomainName, Rank};
use discovery::{Credentials, Delegated, DnsName, Finder, FixedHost, Neighbours, Primary, RecordPublisher};

use super::key_file::KeyFile;
use crate::config::{Config, ConfigError, Dns};

/// Documentation addresses (RFC 5737, RFC 3849). Nothing is sent to them: the system only reports the source address
/// that it would use.
const ELSEWHERE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 53),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 53),
];

/// One node's configuration of its own records.
#[derive(Debug)]
pub(crate) struct DnsConfig {
    pub(super) target: DnsName,
    announced: DomainName,
    rank: Rank,
    /// The port in the SRV record, if clients reach the node at another port than it listens on.
    port: Option<u16>,
    addresses: Vec<IpAddr>,
    listens_on: IpAddr,
    pub(super) service: String,
    pub(super) publish: bool,
    pub(super) share_name: bool,
    pub(super) known: Vec<DnsName>,
    pub(super) republish: Duration,
    /// The file with the node's own TSIG key, if it has one.
    key_file: Option<KeyFile>,
    finder: Finder,
    publisher: RecordPublisher,
    /// The delegated zone that this node serves; `None` where it serves none.
    pub(super) served: Option<Served>,
}

/// A zone that was delegated to the nodes.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) zone: DnsName,
    /// The domain whose clients find the nodes in this zone.
    pub(super) domain: DnsName,
    pub(super) delegated: Delegated,
}

impl DnsConfig {
    /// Reads and checks the configuration. `None` where the node has no name in DNS.
    pub(crate) fn read(config: &Config) -> Result<Option<Self>, ConfigError> {
        let dns = &config.dns;
        let advertised = config.advertised();
        let advertised_name = advertised.as_ref().filter(|host| host.address().is_none()).map(|host| &host.host);
        // A node behind a port mapping may get its name from `clients.advertise`.
        let named = advertised_name.filter(|_| meant_without_name(dns).is_some());
        let Some(target) = dns.target.as_ref().or(named) else {
            let meant = meant_without_name(dns).map(|key| {
                wrong(key, "it is set, but dns.target is not".into(), "give the node's full name as dns.target")
            });
            return meant.map_or(Ok(None), Err);
        };
        let not_full = "give the node's full name, as in node1.example.com";
        let announced: DomainName =
            target.parse().map_err(|error| wrong("dns.target", format!("{error}"), not_full))?;
        if !announced.as_str().contains('.') {
            return Err(wrong("dns.target", format!("{target:?} is a short name"), not_full));
        }
        let is_service = |label: &str| label.len() > 1 && label.starts_with('_');
        let labels: Vec<_> = dns.service.split('.').collect();
        let [service, protocol] = labels.as_slice() else {
            return Err(wrong("dns.service", format!("{:?}", dns.service), "two labels, as in _vlmcs._tcp"));
        };
        if !is_service(service) || !is_service(protocol) || dns.service.parse::<DnsName>().is_err() {
            return Err(wrong("dns.service", format!("{:?}", dns.service), "two labels, as in _vlmcs._tcp"));
        }
        let (credentials, key_file) = credentials(dns)?;
        let primary = dns.primary.as_deref().map_or_else(|| Ok(Primary::default()), str::parse);
        let primary = primary.map_err(|error: discovery::PrimaryError| {
            wrong("dns.primary", error.to_string(), "give HOST or HOST:PORT")
        })?;
        let finder = match dns.resolvers.as_slice() {
            [] => Finder::system(),
            resolvers => Finder::with_servers(resolvers, Vec::new())
                .map_err(|error| wrong("dns.resolvers", error.to_string(), "name servers as ADDRESS:PORT"))?,
        };
        let known = dns.known.iter().map(|name| name.parse()).collect::<Result<_, _>>();
        let known = known
            .map_err(|error: discovery::NameError| wrong("dns.known", error.to_string(), "give names of hosts"))?;
        Ok(Some(Self {
            target: DnsName::from(&announced),
            announced,
            rank: Rank { priority: dns.priority, weight: dns.weight },
            port: Some(dns.port).filter(|port| *port > 0).or_else(|| advertised.as_ref()?.port),
            addresses: addresses(dns, advertised.as_ref()),
            listens_on: config.clients.listen.ip(),
            service: dns.service.clone(),
            publish: dns.publish_node,
            share_name: dns.share_name,
            known,
            republish: Duration::from_secs(dns.republish_h.saturating_mul(3600)),
            key_file,
            served: served(dns)?,
            finder: finder.clone(),
            publisher: RecordPublisher::new(primary, credentials, Neighbours::default(), finder),
        }))
    }

    /// The publisher that sends updates to the primaries, with the key as it is in its file now.
    pub(super) fn publisher(&self) -> RecordPublisher {
        let mut publisher = self.publisher.clone();
        if let Some(key_file) = &self.key_file {
            publisher.credentials = Credentials::Tsig(key_file.key());
        }
        publisher
    }

    /// The name of the node's own TSIG key; `None` where it has none.
    pub(super) fn key_name(&self) -> Option<DnsName> {
        Some(self.key_file.as_ref()?.key().name().clone())
    }

    /// A number that changes when the TSIG key or the system's resolver configuration changes.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.finder.fingerprint(), self.key_file.as_ref().map(KeyFile::fingerprint)).hash(&mut hasher);
        hasher.finish()
    }

    /// The announcement to the cluster. `port` is the port on which clients are served now.
    pub(super) fn announcement(&self, port: u16) -> Announcement {
        let mut addresses = self.addresses.clone();
        if addresses.is_empty() && !self.listens_on.is_unspecified() {
            addresses.push(self.listens_on);
        }
        if addresses.is_empty() {
            addresses.extend(ELSEWHERE.into_iter().filter_map(address_towards));
        }
        addresses.truncate(activation::limits::ADDRESSES_MAX);
        let port = self.port.unwrap_or(port);
        Announcement { target: self.announced.clone(), port, rank: self.rank, addresses }
    }
}

/// The configured addresses of the node: those of `dns.addresses`, or the address in `clients.advertise`.
fn addresses(dns: &Dns, advertised: Option<&FixedHost>) -> Vec<IpAddr> {
    if dns.addresses.is_empty() {
        return advertised.and_then(FixedHost::address).into_iter().collect();
    }
    dns.addresses.clone()
}

/// The first setting that is given and has no effect without the node's name.
fn meant_without_name(dns: &Dns) -> Option<&'static str> {
    let given = [
        ("dns.key_file", dns.key_file.is_some()),
        ("dns.keytab", dns.keytab.is_some()),
        ("dns.principal", dns.principal.is_some()),
        ("dns.unsigned", dns.unsigned),
        ("dns.primary", dns.primary.is_some()),
        ("dns.addresses", !dns.addresses.is_empty()),
        ("dns.port", dns.port > 0),
        ("dns.serve", !dns.serve.is_empty()),
        ("dns.zone", dns.zone.is_some()),
    ];
    given.into_iter().find_map(|(key, given)| given.then_some(key))
}

fn served(dns: &Dns) -> Result<Option<Served>, ConfigError> {
    let zone = match (&dns.zone, dns.serve.as_slice()) {
        (None, []) => return Ok(None),
        (Some(_), []) => {
            return Err(wrong(
                "dns.zone",
                "dns.serve is empty".into(),
                "list the addresses on which the node answers for the zone",
            ));
        }
        (None, _) => {
            return Err(wrong("dns.serve", "dns.zone is missing".into(), "name the zone that was delegated"));
        }
        (Some(zone), _) => zone,
    };
    if let Some(all) = dns.serve.iter().find(|address| address.ip().is_unspecified()) {
        let what =
            format!("{all} means every address of the machine, but a response must come from the queried address");
        return Err(wrong("dns.serve", what, "list the addresses one by one"));
    }
    let not_a_zone = |error: String| wrong("dns.zone", error, "give the name that the parent zone delegates");
    let zone: DnsName = zone.parse().map_err(|error: discovery::NameError| not_a_zone(error.to_string()))?;
    let service = format!("{}.", dns.service.to_ascii_lowercase());
    let text = zone.to_string().to_ascii_lowercase();
    let domain = text.strip_prefix(&service).map_or_else(|| Ok(zone.clone()), str::parse);
    let domain = domain.map_err(|error| not_a_zone(error.to_string()))?;
    let delegated = Delegated::new(zone.clone(), &dns.service, &domain, Delegated::TTL_SECONDS);
    let delegated = delegated.map_err(|error| not_a_zone(error.to_string()))?;
    Ok(Some(Served { zone, domain, delegated }))
}

/// The local address from which this machine would send to `remote`; `None` without a route.
fn address_towards(remote: SocketAddr) -> Option<IpAddr> {
    let unspecified: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((unspecified, 0)).ok()?;
    socket.connect(remote).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

fn credentials(dns: &Dns) -> Result<(Credentials, Option<KeyFile>), ConfigError> {
    if dns.principal.is_some() && dns.keytab.is_none() {
        return Err(wrong("dns.principal", "no keytab is given".into(), "name the account's keytab in dns.keytab"));
    }
    match (&dns.key_file, &dns.keytab, dns.unsigned) {
        (Some(_), Some(_), _) => Err(wrong(
            "dns.keytab",
            "a TSIG key is given as well (dns.key_file)".into(),
            "remove one of the two: a zone uses one kind of signature",
        )),
        (Some(_), _, true) | (_, Some(_), true) => Err(wrong(
            "dns.unsigned",
            "a key to sign with is given as well".into(),
            "remove one of the two: updates are either signed or unsigned",
        )),
        (None, None, false) if dns.publish_node => Err(wrong(
            "dns.key_file",
            "dns.target is set, but no key to sign updates with".into(),
            "make one with `tsig-keygen`, or give a keytab in dns.keytab, or set dns.unsigned = true, or \
             dns.publish_node = false",
        )),
        (None, None, _) => Ok((Credentials::Unsigned, None)),
        (Some(path), None, false) => {
            let key_file = KeyFile::open(path).map_err(|error| {
                wrong(
                    "dns.key_file",
                    error.to_string(),
                    "give a file as `tsig-keygen` writes it, readable by the daemon",
                )
            })?;
            Ok((Credentials::Tsig(key_file.key()), Some(key_file)))
        }
        (None, Some(path), false) => Ok((account(path, dns.principal.clone())?, None)),
    }
}

#[cfg(feature = "gss-tsig")]
fn account(keytab: &Path, principal: Option<String>) -> Result<Credentials, ConfigError> {
    let key = discovery::GssKey::from_keytab(keytab.to_owned(), principal);
    let unfit = |error: discovery::KerberosError| {
        wrong("dns.keytab", error.to_string(), "give the service account's keytab, readable by the daemon")
    };
    Ok(Credentials::Gss(key.map_err(unfit)?))
}

#[cfg(not(feature = "gss-tsig"))]
fn account(keytab: &Path, _: Option<String>) -> Result<Credentials, ConfigError> {
    Err(wrong(
        "dns.keytab",
        format!("this program was built without the feature gss-tsig and cannot use {}", keytab.display()),
        "use one that was built with `--features gss-tsig`, or give a TSIG key in dns.key_file",
    ))
}

fn wrong(key: &'static str, what: String, fix: &'static str) -> ConfigError {
    ConfigError::Value { origin: "configuration".into(), key, what, fix }
}
