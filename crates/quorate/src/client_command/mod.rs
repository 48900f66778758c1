//! `quorate client ...`: the commands of a client machine.

pub(crate) mod activate;
mod direct;
pub(crate) mod discover;
pub(crate) mod fixed_host;
pub(crate) mod install_key;
pub(crate) mod life;
pub(crate) mod remove_key;
pub(crate) mod report;
mod run;
pub(crate) mod state;
pub(crate) mod status;
mod status_report;
pub(crate) mod trust;

use crate::output::{CommandResult, Output};

/// Commands of a client machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Activate this machine: one attempt with a host, or with the publisher where a direct key is installed.
    ///
    /// Exit code 0: activated. 1: below the threshold (0xC004F038), refused, or the answer could not be verified. 2:
    /// an invalid command line, address, trust file or product. 3: no host or publisher could be reached.
    #[command(after_help = activate::EXAMPLES)]
    Activate(activate::Activate),
    /// List the hosts that DNS names, in the order in which a client tries them, and whether each can be reached.
    #[command(after_help = discover::EXAMPLES)]
    Discover(discover::Discover),
    /// Install a setup key (volume activation of its product) or a direct key (activation by the publisher).
    #[command(after_help = install_key::EXAMPLES)]
    InstallKey(install_key::InstallKey),
    /// Remove the key, and the licence with it.
    #[command(after_help = remove_key::EXAMPLES)]
    RemoveKey(remove_key::RemoveKey),
    /// Make the direct key unreadable on this machine, once it has activated the machine.
    #[command(after_help = remove_key::EXAMPLES)]
    ClearKey(remove_key::ClearKey),
    /// Show whether this machine is licensed, for how long, when it sends its next request, and to which host.
    #[command(after_help = status::EXAMPLES)]
    Status(status::StatusArgs),
    /// Keep this machine activated: a service that sends each request when it is due, until SIGTERM.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Run),
    /// Reset the timers: 30 more days of grace, at most three times.
    #[command(after_help = life::EXAMPLES)]
    Rearm(life::Rearm),
    /// Prepare this machine as an image for others: a new CMID, no identity, no licence; the key stays.
    #[command(after_help = life::EXAMPLES)]
    Generalize(life::Generalize),
    /// Use one host only, without DNS lookups.
    #[command(after_help = fixed_host::EXAMPLES)]
    SetHost(fixed_host::SetHost),
    /// Look up hosts in DNS again, and remove the cached host.
    #[command(after_help = fixed_host::EXAMPLES)]
    ClearHost(fixed_host::ClearHost),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Activate(command) => command.run(output),
            Self::Discover(command) => command.run(output),
            Self::InstallKey(command) => command.run(output),
            Self::RemoveKey(command) => command.run(output),
            Self::ClearKey(command) => command.run(output),
            Self::Status(command) => command.run(output),
            Self::Run(command) => command.run(),
            Self::Rearm(command) => command.run(output),
            Self::Generalize(command) => command.run(output),
            Self::SetHost(command) => command.run(output),
            Self::ClearHost(command) => command.run(output),
        }
    }
}
