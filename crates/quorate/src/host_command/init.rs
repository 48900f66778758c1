//! `quorate host init`: writes a configuration, and makes a certificate for the node.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use host::{Config, Overrides, identity};
use transport::Folder;

use super::configuration::warn_of;
use crate::{
    administration::enrolment::{self, Joined},
    output::{CommandResult, Failure, Output},
    private_files::RightsBefore,
    secrets::TokenArgs,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate host init --config node1.toml --node 1 --data /var/lib/quorate \\
      --peers-listen 10.0.0.1:1689 \\
      --peers-members 1=10.0.0.1:1689,2=10.0.0.2:1689,3=10.0.0.3:1689
  quorate host init --config node2.toml --node 2 ... --authority /media/tls     the first node's tls folder, or a copy
  quorate host init --config node4.toml --data /var/lib/quorate --peers-listen 10.0.0.4:1689 \\
      --join 10.0.0.1:1690 --token-file token.txt                     joins a running cluster, which assigns the number
  quorate host init --config node1.toml --renew-identity                        for a data folder without a certificate

The first node creates the cluster's authority. The others copy it from the first node's tls folder (--authority).
With tls.authority, tls.certificate and tls.key, certificates of your organisation are used and none is created.";

/// Arguments of `host init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The configuration file to write; an existing file is not changed.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Copy the cluster's authority from the tls folder of another node, or a copy of it, instead of creating one.
    #[arg(long, value_name = "FOLDER")]
    authority: Option<PathBuf>,
    /// Join a running cluster: the address of the administration of one of its nodes (admin.listen, port 1690).
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "authority")]
    join: Option<String>,
    #[command(flatten)]
    token: TokenArgs,
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
        if !self.renew_identity && self.config.exists() {
            return Err(anyhow!("cannot write {file}: it exists already; choose another name with --config").into());
        }
        let mut config = self.configuration(&file)?;
        let of_file = if self.renew_identity { config.old_names.as_slice() } else { self.given.old_names() };
        warn_of(of_file, output);
        if config.peers.members.is_empty() && !self.renew_identity && self.join.is_none() {
            return Err(Failure::usage(anyhow!(
                "peers.members is missing: give --peers-members NODE=HOST:PORT,... with every node of the new cluster, \
                 or --join with the address of a running cluster"
            )));
        }
        if !self.renew_identity {
            self.check_peers(&config)?;
        }
        if let Some(address) = &self.join {
            let token = self.token.required()?;
            let wanted = self.given.given().any(|(setting, _)| setting.key == "node") || self.renew_identity;
            if identity::is_made(&config) {
                return Err(anyhow!("{} has a certificate already; it was not changed", config.data.display()).into());
            }
            let peers = config.peers.listen.to_string();
            let node = if wanted { config.node } else { 0 };
            let Joined { reply, key } = enrolment::join(address, &token, (node, peers), output)?;
            self.given.set("node", reply.node.to_string());
            config = self.configuration(&file)?;
            let taken = if reply.certificate.is_empty() {
                identity::take_in(&config, &reply.authority, &reply.authority_key)
            } else {
                identity::take_in_certified(&config, &reply.authority, &reply.certificate, &key)
            };
            taken.context(
                "cannot save the certificate; the token is spent, so issue another one with `quorate cluster token`",
            )?;
        } else if self.renew_identity || !identity::is_made(&config) {
            // A folder that exists already keeps its content.
            self.certify(&config)?;
        }
        if !self.renew_identity {
            let text = host::init::configuration(&self.given);
            let written = host::init::write_new(&self.config, &text).and_then(|()| rights.share(&self.config));
            written.with_context(|| format!("cannot write {file}"))?;
        }
        output.result(
            &serde_json::json!({ "config": file, "node": config.node, "admin": format!("unix:{}", config.admin_socket().display()) }),
            format_args!(
                "{file} {}. Start the node with\n  quorate host run --config {file}\n{}",
                if self.renew_identity { "is unchanged; the certificate was created" } else { "was written" },
                self.next_steps(&config)
            ),
        );
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses the default of peers.listen, a loopback address, where the other nodes are on other machines.
    fn check_peers(&self, config: &Config) -> Result<(), Failure> {
        if self.given.given().any(|(setting, _)| setting.key == "peers.listen") {
            return Ok(());
        }
        let members = config.peers.members.iter().map(|(node, address)| (format!("{node}={address}"), address));
        let joined = self.join.iter().map(|address| (format!("--join {address}"), address));
        let Some((elsewhere, address)) = members.chain(joined).find(|(_, address)| !is_on_loopback(address)) else {
            return Ok(());
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
        if self.renew_identity {
            return Config::load(&self.config, &self.given).map_err(Failure::usage);
        }
        let mut given = self.given.clone();
        if self.join.is_some() && !given.given().any(|(setting, _)| setting.key == "node") {
            given.set("node", "1".into());
        }
        let text = host::init::configuration(&given);
        Config::parse(&text, file, &Overrides::default()).map_err(Failure::usage)
    }

    fn certify(&self, config: &Config) -> Result<(), Failure> {
        if config.tls.authority.is_some() {
            return Ok(());
        }
        let made = match &self.authority {
            Some(folder) => identity::adopt(config, &Folder::at(folder)),
            None => identity::create(config),
        };
        made.context("cannot create the node's certificate").map_err(Failure::from)
    }

    fn next_steps(&self, config: &Config) -> String {
        if self.join.is_some() {
            return format!(
                "and add it, on a node of the cluster, with\n  quorate cluster add {}=HOST:PORT",
                config.node
            );
        }
        let mut steps = String::from("The first time, on one node only, add --bootstrap.");
        if self.authority.is_none() && config.tls.authority.is_none() && config.peers.members.len() > 1 {
            let _ = write!(
                steps,
                "\nThe cluster's authority is in {}: copy it only to the other listed nodes, with\n\
                 \x20 quorate host init --authority FOLDER ...\nNodes that are added later join with a token (quorate \
                 cluster token).",
                config.data.join("tls").display()
            );
        }
        steps
    }
}
