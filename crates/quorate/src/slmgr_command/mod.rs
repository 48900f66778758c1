//! `quorate slmgr`: the verbs that administrators know, each of which runs another command of Quorate (R36).
//!
//! A verb is looked up in a table ([`verb::VERBS`]), whose function calls the other command. Only the overview has no
//! command of its own.

mod on_client;
mod on_host;
mod overview;
mod verb;

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use self::{
    on_client::OnClient,
    on_host::OnHost,
    verb::{Argument, Help, Verb},
};
use crate::{
    administration::{AdminArgs, key_password},
    output::{CommandResult, Failure, Output},
};

/// Default path of the socket of a host's administration.
const ADMIN: &str = "/var/lib/quorate/admin.sock";

/// Run the slmgr verbs that administrators know.
#[derive(Debug, clap::Args)]
#[command(after_help = Help.to_string(), arg_required_else_help = true)]
pub(crate) struct Command {
    /// The target host, the user and the password, all optional; then the verb and its argument.
    #[arg(value_name = "[TARGET [USER [PASSWORD]]] /VERB", required = true)]
    words: Vec<String>,
    /// Folder in which this machine keeps its client state.
    #[arg(long, env = "QUORATE_STATE", value_name = "DIR", default_value = "/var/lib/quorate-client")]
    state: PathBuf,
    /// With /ipk on a client machine: the file with the publisher's keys and catalog.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// With /ato and /upk on a host: the publisher's activation service.
    #[arg(long, value_name = "HOST:PORT")]
    publisher: Option<String>,
}

/// The machine on which a verb is run.
enum Target {
    /// A host, named by the address of its administration.
    Host(String),
    /// This machine, as a client machine.
    Client,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let Parsed { target, user, password, verb, argument } = parse(&self.words).map_err(Failure::usage)?;
        if let Some(password) = password {
            key_password::take(password);
        }
        let no_host =
            || Failure::usage(anyhow!("/{} is for hosts, but this machine is not a host: give TARGET", verb.name));
        match target_of(target, verb).map_err(Failure::usage)? {
            Target::Host(address) => {
                let on_host = verb.on_host.ok_or_else(no_host)?;
                let admin = AdminArgs::at(&address).and_then(|admin| match user {
                    Some(user) => admin.with_context(user),
                    None => Ok(admin),
                });
                let admin = admin.map_err(|why| Failure::usage(anyhow!("{address}: {why}")))?;
                let publisher = self.publisher.as_deref();
                (on_host.run)(OnHost { verb: verb.name, admin, argument, publisher, output })
            }
            Target::Client => {
                let on_client = verb.on_client.ok_or_else(no_host)?;
                (on_client.run)(OnClient { argument, state: self.state.clone(), trust: self.trust.clone(), output })
            }
        }
    }
}

/// The parsed command line.
struct Parsed<'a> {
    target: Option<&'a str>,
    user: Option<&'a str>,
    password: Option<&'a str>,
    verb: &'static Verb,
    argument: &'a str,
}

fn parse(words: &[String]) -> anyhow::Result<Parsed<'_>> {
    let is_verb = |word: &String| word.starts_with('/');
    let before = words.iter().position(is_verb);
    let before = before.ok_or_else(|| anyhow!("the verb is missing: `quorate slmgr --help` lists the verbs"))?;
    let (place, rest) = words.split_at(before);
    let place: Vec<_> = place.iter().map(String::as_str).collect();
    let (target, user, password) = match place.as_slice() {
        [] => (None, None, None),
        [target] => (Some(*target), None, None),
        [target, user] => (Some(*target), Some(*user), None),
        [target, user, password] => (Some(*target), Some(*user), Some(*password)),
        _ => return Err(anyhow!("more than the three arguments TARGET, USER and PASSWORD before the verb")),
    };
    let [name, arguments @ ..] = rest else { return Err(anyhow!("the verb is missing")) };
    let verb =
        Verb::named(name).ok_or_else(|| anyhow!("unknown verb {name}: `quorate slmgr --help` lists the verbs"))?;
    let argument = match (verb.argument, arguments) {
        (Argument::None, []) => "",
        (Argument::Needed(_), [argument]) => argument.as_str(),
        (Argument::Needed(argument), []) => return Err(anyhow!("/{} needs the argument {argument}", verb.name)),
        (_, [.., more]) => return Err(anyhow!("unexpected argument {more} after /{}", verb.name)),
    };
    Ok(Parsed { target, user, password, verb, argument })
}

fn target_of(target: Option<&str>, verb: &Verb) -> anyhow::Result<Target> {
    match (target, verb.on_host) {
        (Some(target), Some(_)) => Ok(Target::Host(target.to_owned())),
        (Some(_), None) => Err(anyhow!("/{} is for a client machine: run it there, without TARGET", verb.name)),
        (None, None) => Ok(Target::Client),
        (None, Some(_)) if verb.is_for_either => Ok(local_admin().map_or(Target::Client, Target::Host)),
        (None, Some(_)) => Ok(Target::Host(local_admin().unwrap_or_else(|| format!("unix:{ADMIN}")))),
    }
}

/// Address of the administration, where this machine is a host.
fn local_admin() -> Option<String> {
    let named = std::env::var("QUORATE_ADMIN").ok().filter(|named| !named.is_empty());
    named.or_else(|| Path::new(ADMIN).exists().then(|| format!("unix:{ADMIN}")))
}
