//! `quorate slmgr`: the verbs that administrators know, each a command of its own here (R36).
//!
//! A verb is looked up in a table, and the command that stands there is run. Only the overview has no command.

mod overview;
mod verb;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::anyhow;
use clap::Parser;

use self::verb::{Argument, Help, Side, Verb};
use crate::{
    Cli,
    admin::AdminArgs,
    key_password,
    output::{Failure, Outcome, Output},
};

/// Where a host's administration is, unless it is said.
const ADMIN: &str = "/var/lib/quorate/admin.sock";

/// The verbs that administrators know.
#[derive(Debug, clap::Args)]
#[command(after_help = Help.to_string(), arg_required_else_help = true)]
pub(crate) struct Command {
    /// The host, and as whom; then the verb and what belongs to it.
    #[arg(value_name = "[TARGET [USER [PASSWORD]]] /VERB", required = true)]
    words: Vec<String>,
    /// Where this machine keeps its state as a client.
    #[arg(long, env = "QUORATE_STATE", value_name = "DIR", default_value = "/var/lib/quorate-client")]
    state: PathBuf,
    /// With /ipk on a client machine: its publisher's keys and catalog.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// With /ato and /upk on a host: the publisher's activation service.
    #[arg(long, value_name = "HOST:PORT")]
    publisher: Option<String>,
}

/// The machine that a verb is for.
enum Place {
    /// A host: its administration, and whether it was named.
    Host(String),
    /// This machine as a client.
    Client,
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        let Parsed { target, user, password, verb, argument } = parse(&self.words).map_err(Failure::usage)?;
        if let Some(password) = password {
            key_password::take(password);
        }
        let place = place(target, verb).map_err(Failure::usage)?;
        let command = match &place {
            Place::Host(_) => verb.on_host,
            Place::Client => verb.on_client,
        };
        if command.is_empty() {
            return Err(Failure::usage(anyhow!("/{} is for hosts, and this machine is none: name one", verb.name)));
        }
        match place {
            Place::Host(admin) => self.on_host(verb, (command, argument), (&admin, user), output),
            Place::Client => self.on_client(verb, command, argument, output),
        }
    }

    fn on_host(
        &self,
        verb: &Verb,
        (command, argument): (&str, &str),
        (admin, user): (&str, Option<&str>),
        output: &Output,
    ) -> Outcome {
        let asked = AdminArgs::at(admin).and_then(|asked| match user {
            Some(user) => asked.with_context(user),
            None => Ok(asked),
        });
        let asked = asked.map_err(|why| Failure::usage(anyhow!("{admin}: {why}")))?;
        if [verb::OVERVIEW, verb::DETAILS].contains(&command) {
            return overview::run(&asked, command == verb::DETAILS, output);
        }
        let node = if command.contains("{node}") { overview::node(&asked)?.to_string() } else { String::new() };
        let mut words = words(command, argument, &node);
        if ["ato", "upk"].contains(&verb.name) {
            let publisher = self.publisher.as_deref().ok_or_else(|| {
                Failure::usage(anyhow!(
                    "/{} asks the publisher: give --publisher HOST:PORT, or use /dti and /atp",
                    verb.name
                ))
            })?;
            words.extend(["--publisher".into(), publisher.into()]);
        }
        words.extend(["--admin".into(), admin.into()]);
        if let Some(user) = user {
            words.extend(["--context".into(), user.into()]);
        }
        run(words, output)
    }

    fn on_client(&self, verb: &Verb, command: &str, argument: &str, output: &Output) -> Outcome {
        let mut words = words(command, argument, "");
        words.extend(["--state".into(), self.state.clone().into()]);
        if let Some(trust) = self.trust.as_ref().filter(|_| verb.name == "ipk") {
            words.extend(["--trust".into(), trust.into()]);
        }
        run(words, output)
    }
}

/// What the words say.
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
    let before = before.ok_or_else(|| anyhow!("a verb is missing: `quorate slmgr --help` lists them"))?;
    let (place, rest) = words.split_at(before);
    let place: Vec<_> = place.iter().map(String::as_str).collect();
    let (target, user, password) = match place.as_slice() {
        [] => (None, None, None),
        [target] => (Some(*target), None, None),
        [target, user] => (Some(*target), Some(*user), None),
        [target, user, password] => (Some(*target), Some(*user), Some(*password)),
        _ => return Err(anyhow!("more than TARGET, USER and PASSWORD stands before the verb")),
    };
    let [name, arguments @ ..] = rest else { return Err(anyhow!("a verb is missing")) };
    let verb = Verb::named(name)
        .ok_or_else(|| anyhow!("{name}: there is no such verb; `quorate slmgr --help` lists the verbs"))?;
    let argument = match (verb.argument, arguments) {
        (Argument::None, []) => "",
        (Argument::Needed(_), [argument]) => argument.as_str(),
        (Argument::Needed(argument), []) => return Err(anyhow!("/{} takes {argument}", verb.name)),
        (_, [.., more]) => return Err(anyhow!("{more}: nothing more belongs to /{}", verb.name)),
    };
    Ok(Parsed { target, user, password, verb, argument })
}

fn place(target: Option<&str>, verb: &Verb) -> anyhow::Result<Place> {
    match (target, verb.side) {
        (Some(target), Side::Host | Side::Either) => Ok(Place::Host(target.to_owned())),
        (Some(_), Side::Client) => Err(anyhow!(
            "/{} is for a client machine, and is run on it: a host does not reach into the machines that it activates",
            verb.name
        )),
        (None, Side::Client) => Ok(Place::Client),
        (None, Side::Host) => Ok(Place::Host(local_admin().unwrap_or_else(|| format!("unix:{ADMIN}")))),
        (None, Side::Either) => Ok(local_admin().map_or(Place::Client, Place::Host)),
    }
}

/// The administration of a host that this machine is.
fn local_admin() -> Option<String> {
    let named = std::env::var("QUORATE_ADMIN").ok().filter(|named| !named.is_empty());
    named.or_else(|| Path::new(ADMIN).exists().then(|| format!("unix:{ADMIN}")))
}

fn words(command: &str, argument: &str, node: &str) -> Vec<OsString> {
    let word = |word: &str| match word {
        "{}" => argument.into(),
        "{node}" => node.into(),
        word => word.into(),
    };
    command.split(' ').map(word).collect()
}

/// Runs one of this program's own commands.
fn run(words: Vec<OsString>, output: &Output) -> Outcome {
    let words = std::iter::once(OsString::from("quorate")).chain(words);
    match Cli::try_parse_from(words) {
        Ok(cli) => cli.command.run(output),
        Err(error) => {
            // As clap says it of any command.
            let _a_closed_terminal = error.print();
            Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)))
        }
    }
}
