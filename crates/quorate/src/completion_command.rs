//! `quorate completion` and `quorate manual`: what shells and `man` know of the commands, made from their definitions.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap_complete::Shell;
use serde_json::json;

use crate::output::{CommandResult, Output};

pub(crate) const EXAMPLES: &str = "\
Examples:
  source <(quorate completion bash)                        in this shell
  quorate completion bash > /etc/bash_completion.d/quorate
  quorate completion zsh > ~/.zfunc/_quorate               with ~/.zfunc in fpath
  quorate completion fish > ~/.config/fish/completions/quorate.fish";

pub(crate) const MANUAL_EXAMPLES: &str = "\
Examples:
  quorate manual /usr/local/share/man/man1    then: man quorate, man quorate-host-run";

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    /// Prints the script.
    pub(crate) fn run(&self, mut command: clap::Command, output: &Output) -> CommandResult {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "quorate", &mut script);
        let script = String::from_utf8(script).context("the completion script is not UTF-8")?;
        output.plain(script.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

/// Arguments of `manual`.
#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// The folder for the pages, one for each command; it is made where it does not exist. Pages of the same names are
    /// replaced.
    folder: PathBuf,
}

impl Manual {
    /// Writes the pages.
    pub(crate) fn run(&self, mut command: clap::Command, output: &Output) -> CommandResult {
        let folder = self.folder.display();
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make the folder {folder}"))?;
        command.build();
        let pages =
            write_pages(&self.folder, &command).with_context(|| format!("cannot write a page into {folder}"))?;
        output.result(
            &json!({ "folder": self.folder, "pages": pages }),
            format_args!("{pages} manual pages are in {folder}"),
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the page of `command` and those of its subcommands; returns how many.
fn write_pages(folder: &std::path::Path, command: &clap::Command) -> std::io::Result<usize> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    fs::write(folder.join(format!("{name}.1")), page)?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below.map(|below| write_pages(folder, below)).sum::<std::io::Result<usize>>().map(|pages| pages + 1)
}
