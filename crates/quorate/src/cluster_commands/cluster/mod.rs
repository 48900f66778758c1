//! `quorate cluster ...`: the cluster, its members, certificates, audit records and format.

mod audit;
mod authority;
mod backup;
mod certify;
mod format;
mod members;
mod revoke;
mod status;
mod token;
mod upgrade;

use std::process::ExitCode;

use api::admin::v1::{ClockRequest, TransferLeaderRequest, clock_request::Action};
use serde_json::json;

use crate::{
    administration::{AdminArgs, enrolment::Login},
    output::{CommandResult, Failure, Output},
};

/// Commands for the cluster and its nodes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show every node: role, readiness, log, activation, DNS, clock; with --json also term, state hash and format.
    Status(status::StatusArgs),
    /// Add a running node that is not a member of a cluster: NODE=HOST:PORT of its peer address.
    #[command(after_help = members::ADD_EXAMPLES)]
    Add(members::Add),
    /// Remove a node from the cluster; a node that still runs is drained first.
    #[command(after_help = members::REMOVE_EXAMPLES)]
    Remove(members::Remove),
    /// Give a learner a vote.
    #[command(after_help = members::PROMOTE_EXAMPLES)]
    Promote(members::Promote),
    /// Replace the state of a node that has diverged by the majority's, so that it serves again.
    #[command(after_help = members::REJOIN_EXAMPLES)]
    Rejoin(members::Rejoin),
    /// Make another voter the leader.
    Transfer {
        /// Number of the node that becomes the leader.
        #[arg(long, value_name = "NODE")]
        to: u64,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Write the whole state into a file, while the cluster serves.
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::Backup),
    /// Create a new cluster with one node from a backup.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(backup::Restore),
    /// Issue a token with which one node joins or one person logs in, once, before it expires.
    #[command(after_help = token::EXAMPLES)]
    Token(token::Token),
    /// Issue a certificate for a node that cannot reach port 1690, from its signing request in a file.
    #[command(after_help = certify::EXAMPLES)]
    Certify(certify::Certify),
    /// Revoke the keys of a node or a person; its open connections end too.
    #[command(after_help = revoke::EXAMPLES)]
    Revoke(revoke::Revoke),
    /// Show and replace the authority that certifies nodes and persons.
    #[command(subcommand)]
    Authority(authority::Authority),
    /// Exchange a token for a certificate, and save it as a context for --admin.
    Login(Login),
    /// Show what administrators did: who, what, from which address, when.
    #[command(after_help = audit::EXAMPLES)]
    Audit(audit::Audit),
    /// Show which format the nodes write; set it after an upgrade, and set it back before a downgrade.
    #[command(after_help = format::EXAMPLES)]
    Format(format::Format),
    /// Restart the nodes one after the other, each with the build that is installed on it.
    #[command(after_help = upgrade::EXAMPLES)]
    Upgrade(upgrade::Upgrade),
    /// Correct cluster time, after the nodes' clocks jumped or ran ahead.
    #[command(subcommand)]
    Clock(Clock),
}

/// Corrections of cluster time that an administrator makes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Clock {
    /// Accept the clock jump that raised the alarm: requests and tokens that are too old by the new time expire.
    Accept {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Set cluster time to the median of the nodes' clocks, also backwards.
    Reset {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Status(status) => return status.run(output),
            Self::Add(add) => add.run(output)?,
            Self::Remove(remove) => remove.run(output)?,
            Self::Promote(promote) => promote.run(output)?,
            Self::Rejoin(rejoin) => rejoin.run(output)?,
            Self::Backup(backup) => backup.run(output)?,
            Self::Restore(restore) => restore.run(output)?,
            Self::Transfer { to, admin } => {
                let reply = admin.ask(async |admin| admin.transfer_leader(TransferLeaderRequest { to }).await)?;
                output.result(&json!({ "leader": reply.leader }), format_args!("Node {} is the leader.", reply.leader));
            }
            Self::Token(token) => token.run(output)?,
            Self::Certify(certify) => certify.run(output)?,
            Self::Revoke(revoke) => revoke.run(output)?,
            Self::Authority(authority) => authority.run(output)?,
            Self::Login(login) => login.run(output)?,
            Self::Audit(audit) => audit.run(output)?,
            Self::Format(format) => format.run(output)?,
            Self::Upgrade(upgrade) => return upgrade.run(output),
            Self::Clock(Clock::Accept { admin }) => set_clock(&admin, Action::Accept, output)?,
            Self::Clock(Clock::Reset { admin }) => set_clock(&admin, Action::Reset, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn set_clock(admin: &AdminArgs, action: Action, output: &Output) -> Result<(), Failure> {
    let request = ClockRequest { action: action.into() };
    let reply = admin.ask(async |admin| admin.clock(request).await)?;
    output.result(
        &json!({ "cluster_time_ms": reply.cluster_time_ms }),
        format_args!("Cluster time is now {} ms after 1970.", reply.cluster_time_ms),
    );
    Ok(())
}
