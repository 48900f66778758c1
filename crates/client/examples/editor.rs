//! An editor that activates itself: `editor FOLDER TRUST-FILE SETUP-KEY [HOST[:PORT]]`.

use std::path::Path;
use std::process::ExitCode;

use client::activation::trust::Trust;
use client::{Client, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [folder, trust, key, host @ ..] = words.as_slice() else {
        return Err("usage: editor FOLDER TRUST-FILE SETUP-KEY [HOST[:PORT]]".into());
    };
    // A product embeds this text, because a file can be replaced.
    let trust = Trust::from_toml(&std::fs::read_to_string(trust)?)?;

    let mut client = Client::open(Path::new(folder), trust, Options::default())?;
    client.install_key(key.parse()?, None)?;
    if let Some(host) = host.first() {
        client.set_host(host.parse()?)?;
    }
    // Called here at each start; an editor that runs for days calls `client.next()` instead, which waits for the
    // right time.
    if !client.status()?.is_licensed() {
        let attempt = client.activate().await?;
        if let Err(error) = attempt.result {
            writeln(std::io::stderr(), format_args!("not activated: {error} ({})", error.status()))?;
        }
    }

    let status = client.status()?;
    let product = status.product.as_ref().map_or("?", |product| product.as_str());
    let state = status.standing.state.name();
    let left = status.standing.minutes_left;
    let left = left.map_or(String::new(), |minutes| format!(", {} days left", minutes.div_ceil(24 * 60)));
    writeln(std::io::stdout(), format_args!("{product}: {state}{left}"))?;
    Ok(if status.is_licensed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Like `println!`, which this workspace does not use: a closed output is an error, not a panic.
fn writeln(mut to: impl std::io::Write, line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    writeln!(to, "{line}")
}
