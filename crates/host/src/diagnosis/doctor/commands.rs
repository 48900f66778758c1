//! The commands in what a check advises, apart from the words around them: to copy.

/// Words that a command of ours may consist of, after `quorate`.
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
    "remove",
    "run",
    "set",
    "settings",
];

/// In their order, each once. `install it (quorate catalog install), then quorate key install KEY on it` gives
/// `quorate catalog install` and `quorate key install KEY`.
#[must_use]
pub fn commands(advice: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut words = advice.split_whitespace().peekable();
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
        if command != "quorate" && !found.contains(&command) {
            found.push(command);
        }
    }
    found
}

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
    fn commands_are_told_from_the_words_around_them() {
        for (advice, expected) in [
            (
                "quorate host run --bootstrap on one node of it, or quorate cluster add from a cluster that runs",
                &["quorate host run --bootstrap", "quorate cluster add"][..],
            ),
            (
                "start it (quorate host run); gone for good: quorate cluster remove 3 --dead",
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
            ("set it (timedatectl), and keep it by NTP", &[]),
            ("quorate", &[]),
        ] {
            assert_eq!(commands(advice), expected, "{advice}");
        }
    }
}
