//! The remedy of a finding, with its commands.

use std::fmt;

/// The remedy of a finding, as text with commands in it; empty where nothing has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy(String);

impl Remedy {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as it is printed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The commands in the text, for copying: in their order, each once. `install it (quorate catalog install), then
    /// quorate key install KEY on it` yields `quorate catalog install` and `quorate key install KEY`.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let mut commands: Vec<String> = Vec::new();
        let mut words = self.0.split_whitespace().peekable();
        while let Some(word) = words.next() {
            if word.trim_start_matches('(') != "quorate" {
                continue;
            }
            let mut command = "quorate".to_owned();
            while let Some(word) = words.next_if(|word| is_part(trimmed(word))) {
                command.push(' ');
                command.push_str(trimmed(word));
                if trimmed(word) != word {
                    break;
                }
            }
            if command != "quorate" && !commands.contains(&command) {
                commands.push(command);
            }
        }
        commands
    }
}

impl From<String> for Remedy {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Remedy {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words that may be part of a `quorate` command, after `quorate`.
const VERBS: &[&str] = &[
    "accept",
    "activate",
    "add",
    "catalog",
    "client",
    "clock",
    "cluster",
    "discover",
    "dns",
    "format",
    "generalize",
    "host",
    "init",
    "install",
    "key",
    "publish",
    "release",
    "recover",
    "remove",
    "run",
    "set",
    "settings",
];

fn trimmed(word: &str) -> &str {
    word.trim_end_matches([',', ';', ':', ')', '.'])
}

/// A verb, a flag, a number, a placeholder, or the name of a setting.
fn is_part(word: &str) -> bool {
    let all = |is: fn(char) -> bool| !word.is_empty() && word.chars().all(is);
    VERBS.contains(&word)
        || word.starts_with("--")
        || all(|character| character.is_ascii_digit())
        || all(|character| character.is_ascii_uppercase())
        || word.contains('.') && all(|character| character.is_ascii_lowercase() || matches!(character, '.' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_recognised_in_the_text_around_them() {
        for (advice, expected) in [
            (
                "quorate host run --bootstrap on one node of a new cluster, or quorate cluster add on a running \
                 cluster",
                &["quorate host run --bootstrap", "quorate cluster add"][..],
            ),
            (
                "start it (quorate host run); if it never comes back: quorate cluster remove 3 --dead",
                &["quorate host run", "quorate cluster remove 3 --dead"],
            ),
            (
                "quorate catalog install, then quorate key install KEY",
                &["quorate catalog install", "quorate key install KEY"],
            ),
            (
                "quorate settings set activation.interval_minutes 120",
                &["quorate settings set activation.interval_minutes 120"],
            ),
            ("set the clock (timedatectl), and synchronise it with NTP", &[]),
            ("quorate", &[]),
        ] {
            assert_eq!(Remedy::from(advice).commands(), expected, "{advice}");
        }
    }
}
