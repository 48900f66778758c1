//! The verbs, and what each is called here.

use std::fmt;

/// Who carries a verb out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Host,
    Client,
    /// The host where there is one, else the client.
    Either,
}

/// What stands behind a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    Needed(&'static str),
}

/// One verb. In the commands `{}` is its argument, `{node}` the node that was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) argument: Argument,
    pub(super) side: Side,
    /// On a host; empty where it is none of a host's.
    pub(super) on_host: &'static str,
    /// On a client machine; empty where it is none of its.
    pub(super) on_client: &'static str,
    pub(super) help: &'static str,
}

const fn host(name: &'static str, argument: Argument, on_host: &'static str, help: &'static str) -> Verb {
    Verb { name, argument, side: Side::Host, on_host, on_client: "", help }
}

const fn client(name: &'static str, argument: Argument, on_client: &'static str, help: &'static str) -> Verb {
    Verb { name, argument, side: Side::Client, on_host: "", on_client, help }
}

const fn either(
    name: &'static str,
    argument: Argument,
    (on_host, on_client): (&'static str, &'static str),
    help: &'static str,
) -> Verb {
    Verb { name, argument, side: Side::Either, on_host, on_client, help }
}

use Argument::{Needed, None as Alone};

/// All of them (R36).
pub(super) const VERBS: &[Verb] = &[
    either("ipk", Needed("KEY"), ("key install {} --yes", "client install-key {}"), "install a key"),
    either("ato", Alone, ("key activate", "client activate"), "activate now"),
    either("dli", Alone, (OVERVIEW, "client status"), "how it stands"),
    either("dlv", Alone, (DETAILS, "client status"), "how it stands, with all there is to say"),
    either("xpr", Alone, ("key list", "client status"), "until when it is activated"),
    either("dti", Needed("FILE"), ("key activate --offline {}", ""), "what is to be brought to the publisher"),
    either("atp", Needed("FILE"), ("key activate --answer {}", ""), "what the publisher answered"),
    either(
        "upk",
        Alone,
        ("key release --yes --node {node}", "client remove-key"),
        "give the place of the key back; on a client machine, take the key away",
    ),
    host("sprt", Needed("PORT"), "settings set clients.port {} --node {node}", "port for client machines"),
    host("sdns", Alone, "dns publish", "publish the hosts in DNS"),
    host("cdns", Alone, "dns withdraw", "withdraw the hosts from DNS"),
    host("spri", Alone, "settings set process.low_priority false --node {node}", "normal priority"),
    host("cpri", Alone, "settings set process.low_priority true --node {node}", "leave the processor to others"),
    host(
        "sai",
        Needed("MINUTES"),
        "settings set activation.interval_minutes {}",
        "until machines that are not activated ask again",
    ),
    host("sri", Needed("MINUTES"), "settings set renewal.interval_minutes {}", "until activated machines renew"),
    client("skms", Needed("HOST[:PORT]"), "client set-host {}", "ask this host only"),
    client("ckms", Alone, "client clear-host", "look for hosts in DNS again"),
    client("cpky", Alone, "client clear-key", "keep no direct key that somebody could read"),
    client("rearm", Alone, "client rearm", "set the timers anew"),
];

/// What no single command shows.
pub(super) const OVERVIEW: &str = "count, key list, settings get, in short";
/// The same at length.
pub(super) const DETAILS: &str = "count, key list, settings get, cluster status";

impl Verb {
    /// The one that is written so, with its slash, in any case.
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
        let shown = |command: &str| command.replace("{}", argument).replace("{node}", "NODE");
        match (self.on_host, self.on_client) {
            (on_host, "") => shown(on_host),
            ("", on_client) => shown(on_client),
            (on_host, on_client) => format!("{}; {}", shown(on_host), shown(on_client)),
        }
    }
}

/// The table of `--help`.
pub(super) struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verbs, and the same as a command of its own:\n")?;
        for verb in VERBS {
            writeln!(f, "  {:<18} {}\n  {:<18} quorate {}", verb.usage(), verb.help, "", verb.native())?;
        }
        f.write_str(
            "\nWithout TARGET: on the host where this machine is one (its administration socket is there),\n\
             else on the client machine; /skms, /ckms, /cpky and /rearm always on the client machine.\n\
             TARGET is HOST[:PORT] of its administration (1690), unix:PATH, or a saved context. USER is the saved context\n\
             whose certificate is shown there; PASSWORD decrypts its key on this machine, and is asked for where it is left\n\
             out. What the certificate may do is decided there: who may not is refused with 0x80070005.\n\n\
             Examples:\n  \
             quorate slmgr /dli\n  \
             quorate slmgr /sri 20160\n  \
             quorate slmgr unix:/var/lib/quorate/admin.sock /dlv\n  \
             quorate slmgr host1.example.com ada /sri 20160\n  \
             quorate slmgr --publisher activate.example.test:1691 /ato\n  \
             quorate slmgr /skms node1.example.com:1688",
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
            let takes = [verb.on_host, verb.on_client].iter().any(|command| command.contains("{}"));
            assert_eq!(takes, verb.argument != Alone, "{}", verb.name);
        }
    }
}
