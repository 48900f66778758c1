//! `quorate host init`: writes a configuration, and makes a certificate for the node.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use host::{Config, Overrides, identity, joining};

use super::{
    by_file::{ByFile, complete, request},
    configuration::warn_of,
};
use crate::{
    administration::enrolment::{self, Joined},
    output::{CommandResult, Failure, Output},
    private_files::RightsBefore,
    secrets::TokenArgs,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate host init --config node1.toml --node 1 --data /var/lib/quorate --peers-listen 10.0.0.1:1689
                                                                      the first node: run it once with --bootstrap
  quorate host init --config node2.toml --data /var/lib/quorate --peers-listen 10.0.0.2:1689 \\
      --join 10.0.0.1:1690 --token-file token.txt                     the other nodes: each adds itself when it runs
  quorate host init --config node3.toml --node 3 --data /var/lib/quorate --peers-listen 10.0.0.3:1689 \\
      --request node3.csr                                             without access to port 1690 of the cluster:
  quorate host init --config node3.toml --certificate node3.pem       with the output of `quorate cluster certify node3.csr`
  quorate host init --config node1.toml --renew-identity              for a data folder without a certificate

The first node creates the cluster's authority, which issues the certificates of the others. Each node's private key is
created on its own machine. With tls.authority, tls.certificate and tls.key, certificates of your organisation are used
and none is created; --peers-members then lists all nodes that form the cluster.";

/// Arguments of `host init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The configuration file to write; an existing file is not changed.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Join a running cluster: the address of the administration of one of its nodes (admin.listen, port 1690).
    #[arg(long, value_name = "HOST:PORT")]
    join: Option<String>,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    by_file: ByFile,
    /// Create only the missing certificate, for an existing configuration.
    #[arg(long)]
    renew_identity: bool,
    #[command(flatten)]
    given: Overrides,
}

/// Whether the host of this HOST:PORT is a loopback address or name.
fn is_on_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
}

impl Init {
    pub(super) fn run(mut self, rights: RightsBefore, output: &Output) -> CommandResult {
        let file = self.config.display().to_string();
        let exists = self.renew_identity || self.by_file.certificate.is_some();
        if !exists && self.config.exists() {
            return Err(anyhow!("cannot write {file}: it exists already; choose another name with --config").into());
        }
        if !exists {
            self.list_itself()?;
        }
        let mut config = self.configuration(&file)?;
        warn_of(if exists { config.old_names.as_slice() } else { self.given.old_names() }, output);
        if !exists {
            self.check_peers(&config)?;
            self.check_list(&config)?;
        }
        let next = if let Some(address) = self.join.clone() {
            self.join(&address, &mut config, &file, output)?
        } else if let Some(request_file) = &self.by_file.request {
            request(&config, request_file, &file)?
        } else if let Some(certificate) = &self.by_file.certificate {
            complete(&config, certificate, &file)?
        } else {
            self.begin(&config, &file)?
        };
        if !exists {
            let text = host::init::configuration(&self.given);
            let written = host::init::write_new(&self.config, &text).and_then(|()| rights.share(&self.config));
            written.with_context(|| format!("cannot write {file}"))?;
        }
        let what = match exists {
            true => "was not changed, and the node has its certificate",
            false => "written",
        };
        output.result(
            &serde_json::json!({ "config": file, "node": config.node, "admin": format!("unix:{}", config.admin_socket().display()) }),
            format_args!("{file} {what}. {next}"),
        );
        Ok(ExitCode::SUCCESS)
    }

    fn is_given(&self, key: &str) -> bool {
        self.given.given().any(|(setting, _)| setting.key == key)
    }

    /// Whether the node joins a cluster that exists.
    fn joins(&self) -> bool {
        self.join.is_some() || self.by_file.request.is_some()
    }

    /// Without `peers.members`, the first node forms the cluster alone, at the address to which the others connect.
    fn list_itself(&mut self) -> Result<(), Failure> {
        if self.joins() || self.is_given("peers.members") {
            return Ok(());
        }
        let value = |key| self.given.given().find(|(setting, _)| setting.key == key).map(|(_, value)| value.to_owned());
        let (Some(node), Some(listen)) = (value("node"), value("peers.listen")) else {
            return Err(Failure::usage(anyhow!(
                "give --node and --peers-listen ADDRESS:PORT, the address of this machine to which the other nodes connect; or \
                 --join HOST:PORT with a node of a running cluster, or --request FILE"
            )));
        };
        if listen.parse::<SocketAddr>().is_ok_and(|listen| listen.ip().is_unspecified()) {
            return Err(Failure::usage(anyhow!(
                "peers.members is missing: peers.listen has all addresses, so give --peers-members {node}=HOST:PORT, the \
                 address to which the other nodes connect"
            )));
        }
        self.given.set("peers.members", format!("{node}={listen}"));
        Ok(())
    }

    /// Refuses a list of several nodes that no authority has certified.
    fn check_list(&self, config: &Config) -> Result<(), Failure> {
        if config.peers.members.len() > 1 && !self.joins() && !identity::is_made(config) {
            return Err(Failure::usage(anyhow!(
                "peers.members lists several nodes, which needs certificates of your organisation (tls.authority). With the \
                 cluster's own authority one node forms the cluster: list that one or none, and join the others with a token \
                 (`quorate cluster token`) or by file (--request)"
            )));
        }
        Ok(())
    }

    /// Refuses the default of peers.listen, which is on loopback, where the other nodes are on other machines.
    fn check_peers(&self, config: &Config) -> Result<(), Failure> {
        if self.is_given("peers.listen") {
            return Ok(());
        }
        let members = config.peers.members.iter().map(|(node, address)| (format!("{node}={address}"), address));
        let joined = self.join.iter().map(|address| (format!("--join {address}"), address));
        let Some((elsewhere, address)) = members.chain(joined).find(|(_, address)| !is_on_loopback(address)) else {
            return match self.by_file.request {
                Some(_) => Err(Failure::usage(anyhow!(
                    "peers.listen is missing: give --peers-listen ADDRESS:PORT, an address of this machine, or 0.0.0.0:{} for all \
                     of them",
                    config.peers.listen.port()
                ))),
                None => Ok(()),
            };
        };
        let port = config.peers.listen.port();
        let own = config.peers.members.get(&config.node).filter(|own| own.parse::<SocketAddr>().is_ok());
        let example = own.cloned().unwrap_or_else(|| format!("ADDRESS:{port}"));
        Err(Failure::usage(anyhow!(
            "peers.listen has its default {}, a loopback address, but {address} ({elsewhere}) is on another machine: \
             other nodes could not connect to this one; give --peers-listen {example}, an address of this machine, or \
             0.0.0.0:{port} for all its addresses",
            config.peers.listen
        )))
    }

    /// The existing configuration, or the one that will be written. Where the cluster has not assigned the node's
    /// number yet, a placeholder is used.
    fn configuration(&self, file: &str) -> Result<Config, Failure> {
        if self.renew_identity || self.by_file.certificate.is_some() {
            return Config::load(&self.config, &self.given).map_err(Failure::usage);
        }
        let mut given = self.given.clone();
        if self.join.is_some() && !self.is_given("node") {
            given.set("node", "1".into());
        }
        let text = host::init::configuration(&given);
        Config::parse(&text, file, &Overrides::default()).map_err(Failure::usage)
    }

    /// Exchanges the token for a certificate, and for a number if none is given. Returns the next commands.
    fn join(&mut self, address: &str, config: &mut Config, file: &str, output: &Output) -> Result<String, Failure> {
        let token = self.token.required()?;
        let wanted = self.is_given("node") || self.renew_identity;
        if identity::is_made(config) {
            return Err(anyhow!("{} has a certificate already; it was not changed", config.data.display()).into());
        }
        let peers = config.peers.listen.to_string();
        let node = if wanted { config.node } else { 0 };
        let Joined { reply, key } = enrolment::join(address, &token, (node, peers), output)?;
        self.given.set("node", reply.node.to_string());
        *config = self.configuration(file)?;
        let taken = if reply.certificate.is_empty() {
            identity::take_in(config, &reply.authority, &reply.authority_key)
        } else {
            identity::take_in_certified(config, &reply.authority, &reply.certificate, &key)
        };
        taken.context(
            "no certificate was stored, and the token is used up: create another one with `quorate cluster token`",
        )?;
        let run = format!("Run the node with\n  quorate host run --config {file}\n");
        if !reply.adds_itself {
            return Ok(format!(
                "{run}and add it, on a node of the cluster, with\n  quorate cluster add {}=HOST:PORT",
                config.node
            ));
        }
        let members = reply.members.into_iter().map(|member| member.address).collect();
        let kept = joining::keep(config, members);
        kept.with_context(|| {
            format!(
                "the address of the cluster was not stored: add the node with `quorate cluster add {}=HOST:PORT`",
                config.node
            )
        })?;
        Ok(format!("{run}within 24 hours: it adds itself to the cluster."))
    }

    /// Creates the authority of a new cluster, unless there is a certificate already. Returns the next commands for the
    /// user.
    fn begin(&self, config: &Config, file: &str) -> Result<String, Failure> {
        // A folder that exists already keeps its content.
        if !identity::is_made(config) {
            identity::create(config).context("cannot create the node's certificate")?;
        }
        let mut next = format!(
            "Run the node with\n  quorate host run --config {file}\nand, on one node only and only once, with --bootstrap added."
        );
        if config.tls.authority.is_none() {
            next.push_str("\nEach other node joins with a token, which this command creates:\n  quorate cluster token");
        }
        Ok(next)
    }
}
