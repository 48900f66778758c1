//! The table of verbs: the equivalent command of each, and the function that runs it.

use std::fmt;

use super::{
    on_client::{self, OnClient},
    on_host::{self, OnHost},
};
use crate::output::CommandResult;

/// Which argument a verb takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    Needed(&'static str),
}

/// A verb on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostVerb {
    /// The equivalent command, for `--help`: `{}` is the argument, `{node}` the number of the node.
    shown: &'static str,
    pub(super) run: fn(OnHost<'_>) -> CommandResult,
}

/// A verb on a client machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientVerb {
    /// The equivalent command, for `--help`: `{}` is the argument.
    shown: &'static str,
    pub(super) run: fn(OnClient<'_>) -> CommandResult,
}

/// A verb with its functions for hosts and client machines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) argument: Argument,
    /// How the verb runs on a host; `None` where it is for client machines only.
    pub(super) on_host: Option<HostVerb>,
    /// How the verb runs on a client machine; `None` where it is for hosts only.
    pub(super) on_client: Option<ClientVerb>,
    /// Whether the verb, without a target, runs on the host where this machine is one, and else on the client
    /// machine.
    pub(super) is_for_either: bool,
    help: &'static str,
}

const fn host(
    name: &'static str,
    argument: Argument,
    (shown, run): (&'static str, fn(OnHost<'_>) -> CommandResult),
    help: &'static str,
) -> Verb {
    Verb { name, argument, on_host: Some(HostVerb { shown, run }), on_client: None, is_for_either: false, help }
}

const fn client(
    name: &'static str,
    argument: Argument,
    (shown, run): (&'static str, fn(OnClient<'_>) -> CommandResult),
    help: &'static str,
) -> Verb {
    Verb { name, argument, on_host: None, on_client: Some(ClientVerb { shown, run }), is_for_either: false, help }
}

impl Verb {
    /// Marks the verb as one for a host or a client machine; where this machine is no host, the verb is refused.
    const fn or_client(self) -> Self {
        Self { is_for_either: true, ..self }
    }

    /// Adds the function for a client machine.
    const fn and_on_client(self, shown: &'static str, run: fn(OnClient<'_>) -> CommandResult) -> Self {
        Self { on_client: Some(ClientVerb { shown, run }), is_for_either: true, ..self }
    }
}

use Argument::{Needed, None as Alone};

/// All verbs (R36).
pub(super) const VERBS: &[Verb] = &[
    host("ipk", Needed("KEY"), ("key install {} --yes", on_host::install_key), "install a key")
        .and_on_client("client install-key {}", on_client::install_key),
    host("ato", Alone, ("key activate", on_host::activate), "activate now")
        .and_on_client("client activate", on_client::activate),
    host("dli", Alone, ("count, key list, settings get (summary)", on_host::overview), "license status")
        .and_on_client("client status", on_client::status),
    host(
        "dlv",
        Alone,
        ("count, key list, settings get, cluster status", on_host::details),
        "license status, with all details",
    )
    .and_on_client("client status", on_client::status),
    host("xpr", Alone, ("key list", on_host::list_keys), "end of the activation")
        .and_on_client("client status", on_client::status),
    host(
        "dti",
        Needed("FILE"),
        ("key activate --offline {}", on_host::write_request),
        "write the request for the publisher",
    )
    .or_client(),
    host(
        "atp",
        Needed("FILE"),
        ("key activate --answer {}", on_host::install_answer),
        "install the publisher's answer",
    )
    .or_client(),
    host(
        "upk",
        Alone,
        ("key release --yes --node {node}", on_host::release_key),
        "release the key's activation slot; on a client machine, remove the key",
    )
    .and_on_client("client remove-key", on_client::remove_key),
    host(
        "sprt",
        Needed("PORT"),
        ("settings set clients.port {} --node {node}", on_host::set_port),
        "port for client machines",
    ),
    host("sdns", Alone, ("dns publish", on_host::publish_dns), "publish the hosts in DNS"),
    host("cdns", Alone, ("dns withdraw", on_host::withdraw_dns), "withdraw the hosts from DNS"),
    host(
        "spri",
        Alone,
        ("settings set process.low_priority false --node {node}", on_host::set_normal_priority),
        "run with normal priority",
    ),
    host(
        "cpri",
        Alone,
        ("settings set process.low_priority true --node {node}", on_host::set_low_priority),
        "run with low priority",
    ),
    host(
        "sai",
        Needed("MINUTES"),
        ("settings set activation.interval_minutes {}", on_host::set_activation_interval),
        "retry interval of machines that are not activated",
    ),
    host(
        "sri",
        Needed("MINUTES"),
        ("settings set renewal.interval_minutes {}", on_host::set_renewal_interval),
        "renewal interval of activated machines",
    ),
    client("skms", Needed("HOST[:PORT]"), ("client set-host {}", on_client::set_host), "use this host only"),
    client("ckms", Alone, ("client clear-host", on_client::clear_host), "look up hosts in DNS again"),
    client("cpky", Alone, ("client clear-key", on_client::clear_key), "make the direct key unreadable"),
    client("rearm", Alone, ("client rearm", on_client::rearm), "reset the timers"),
];

impl Verb {
    /// Finds the verb that is written as `word`, with its slash and in any case.
    pub(super) fn named(word: &str) -> Option<&'static Self> {
        let name = word.strip_prefix('/')?.to_ascii_lowercase();
        VERBS.iter().find(|verb| verb.name == name)
    }

    fn usage(&self) -> String {
        match self.argument {
            Alone => format!("/{}", self.name),
            Needed(argument) => format!("/{} {argument}", self.name),
        }
    }

    fn native(&self) -> String {
        let argument = if let Needed(argument) = self.argument { argument } else { "" };
        let commands = [self.on_host.map(|verb| verb.shown), self.on_client.map(|verb| verb.shown)];
        let shown = commands.into_iter().flatten();
        shown.map(|command| command.replace("{}", argument).replace("{node}", "NODE")).collect::<Vec<_>>().join("; ")
    }
}

/// Displays the table of verbs for `--help`.
pub(super) struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verbs, and the equivalent commands:\n")?;
        for verb in VERBS {
            writeln!(f, "  {:<18} {}\n  {:<18} quorate {}", verb.usage(), verb.help, "", verb.native())?;
        }
        f.write_str(
            "\nWithout TARGET: on the host where this machine is one (its administration socket is there),\n\
             else on this machine as a client; /skms, /ckms, /cpky and /rearm always run on this machine as a \
             client.\n\
             TARGET is HOST[:PORT] of its administration (1690), unix:PATH, or a saved context. USER is the saved \
             context\n\
             whose certificate is presented there; PASSWORD decrypts its key on this machine, and is prompted\n\
             for where it is missing. The host refuses a caller without the necessary rights with 0x80070005.\n\n\
             Examples:\n  quorate slmgr /dli\n  quorate slmgr /sri 20160\n  quorate slmgr \
             unix:/var/lib/quorate/admin.sock /dlv\n  quorate slmgr host1.example.com ada /sri 20160\n  quorate slmgr \
             --publisher activate.example.test:1691 /ato\n  quorate slmgr /skms node1.example.com:1688",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_found_in_any_case_and_only_with_their_slash() {
        assert_eq!(Verb::named("/SRI").map(|verb| verb.name), Some("sri"));
        assert!(Verb::named("sri").is_none() && Verb::named("/nothing").is_none());
        for verb in VERBS {
            assert_eq!(Verb::named(&format!("/{}", verb.name)).map(|found| found.name), Some(verb.name));
            let commands = [verb.on_host.map(|verb| verb.shown), verb.on_client.map(|verb| verb.shown)];
            let takes = commands.into_iter().flatten().any(|command| command.contains("{}"));
            assert_eq!(takes, verb.argument != Alone, "{}", verb.name);
        }
    }
}
