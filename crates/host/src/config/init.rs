//! The commented configuration file of a new node.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

use crate::config::{
    overrides::Overrides,
    settings::{Form, SETTINGS, flag, variable},
};

/// The text of a configuration file: every setting with its meaning. Settings that are given are set; the others are
/// commented out with their defaults.
pub fn configuration(given: &Overrides) -> String {
    let mut text = String::from(
        "# Configuration of one Quorate node, read by `quorate host run --config FILE`.\n\
         # Unknown keys are refused. Each key may also be given as a flag or as an environment variable, which \
         overrides the file.\n",
    );
    let mut section = "";
    for setting in SETTINGS.iter() {
        let (in_section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if in_section != section {
            section = in_section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let _ = write!(text, "\n# {}.\n# --{}, {}\n", setting.help, flag(setting.key), variable(setting.key));
        let value = given.given().find(|(given, _)| given.key == setting.key);
        let _ = match (value, &setting.default) {
            (Some((_, value)), _) => writeln!(text, "{name} = {}", toml(setting.form, value)),
            (None, Some(default)) => writeln!(text, "#{name} = {default}"),
            (None, None) => writeln!(text, "#{name} ="),
        };
    }
    text
}

fn toml(form: Form, text: &str) -> String {
    match form {
        Form::Number { .. } | Form::Flag => text.to_owned(),
        Form::Text => toml::Value::from(text).to_string(),
        // A path is made absolute: the node may be started in another folder than the one in which its configuration
        // was written.
        Form::Path => {
            let path = std::path::absolute(text).unwrap_or_else(|_| text.into());
            toml::Value::from(path.display().to_string()).to_string()
        }
        Form::List => toml::Value::from(text.split(',').map(str::trim).collect::<Vec<_>>()).to_string(),
    }
}

/// Writes a new file with this text. An existing file is not changed: that is an error.
pub fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
