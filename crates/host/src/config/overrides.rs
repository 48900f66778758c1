//! Settings given as flags or variables. They override those of the file.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};
use toml::{Table, Value};

use crate::config::{
    renamed::{OldName, RENAMED, Renamed},
    settings::{Form, SETTINGS, Setting, flag, variable},
};

/// The origin in errors for a value from a flag or variable.
pub(super) const OVERRIDES: &str = "flags and QUORATE_ variables";

/// Settings given as flags or variables: a clap argument group made from the table of settings.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    given: BTreeMap<&'static str, String>,
    old_names: Vec<OldName>,
}

impl Overrides {
    /// Sets one setting. It overrides an earlier value of the same setting.
    pub fn set(&mut self, key: &'static str, text: String) {
        self.given.insert(key, text);
    }

    /// The old names that were used for some of the given settings.
    pub fn old_names(&self) -> &[OldName] {
        &self.old_names
    }

    /// Whether the setting with this key was given.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Sets the settings that were given in the content of a file.
    pub(super) fn merge_into(&self, file: &mut Table) {
        for (setting, text) in self.given() {
            let value = match setting.form {
                Form::Text | Form::Path => Value::from(text),
                Form::Number { .. } => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
                Form::List => Value::from(text.split(',').map(str::trim).collect::<Vec<_>>()),
                Form::Flag => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
            };
            match setting.key.split_once('.') {
                None => drop(file.insert(setting.key.to_owned(), value)),
                Some((section, name)) => {
                    let section = file.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    if let Some(section) = section.as_table_mut() {
                        section.insert(name.to_owned(), value);
                    }
                }
            }
        }
    }

    /// The settings that were given, with their text.
    pub fn given(&self) -> impl Iterator<Item = (&'static Setting, &str)> {
        SETTINGS.iter().filter_map(|setting| Some((setting, self.given.get(setting.key)?.as_str())))
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut overrides = Self::default();
        overrides.update_from_arg_matches(matches)?;
        Ok(overrides)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS.iter() {
            if let Some((_, text)) = given(matches, setting.key) {
                self.given.insert(setting.key, text.to_owned());
            }
        }
        for Renamed { old, new } in RENAMED {
            let Some((is_flag, text)) = given(matches, old) else { continue };
            let by_new_name = given(matches, new);
            // A flag overrides a variable, whichever of the two has the old name.
            if by_new_name.is_none_or(|(new_is_flag, _)| is_flag && !new_is_flag) {
                self.given.insert(new, text.to_owned());
            }
            self.old_names.push(match is_flag {
                true => OldName { old: format!("--{}", flag(old)), new: format!("--{}", flag(new)) },
                false => OldName { old: variable(old), new: variable(new) },
            });
        }
        Ok(())
    }
}

/// Whether the setting was given as a flag (`true`) or as a variable (`false`), and its text.
fn given<'a>(matches: &'a ArgMatches, key: &str) -> Option<(bool, &'a str)> {
    let is_flag = match matches.value_source(key)? {
        ValueSource::CommandLine => true,
        ValueSource::EnvVariable => false,
        _ => return None,
    };
    Some((is_flag, matches.get_one::<String>(key)?))
}

impl Args for Overrides {
    fn augment_args(command: Command) -> Command {
        let argument = |key: &'static str| {
            Arg::new(key)
                .long(flag(key))
                .env(variable(key))
                .hide_env_values(true)
                .help_heading("Settings, which override those of the file")
        };
        let command = SETTINGS.iter().fold(command, |command, setting| {
            let placeholder = match setting.form {
                Form::Text => "TEXT",
                Form::Path => "PATH",
                Form::Number { .. } => "N",
                Form::List => "A,B,...",
                Form::Flag => "true|false",
            };
            command.arg(argument(setting.key).value_name(placeholder).help(setting.help))
        });
        RENAMED.iter().fold(command, |command, Renamed { old, .. }| command.arg(argument(old).hide(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
