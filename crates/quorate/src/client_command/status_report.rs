//! The activation status of a client machine, as JSON and as text.

use std::{fmt, process::ExitCode, time::Duration};

use activation::lifecycle::LicenseState;
use client::{Client, ClientError, ClientStatus, Options, time_ms};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::state::ClientStateArgs;
use crate::output::{CommandResult, Output};

/// Prints the machine's status.
pub(super) fn show(status: &ClientStatus, output: &Output) {
    output.result(&StatusReport::of(status), StatusText(status));
}

/// Changes the machine's state and prints its status afterwards.
pub(super) fn change(
    machine: &ClientStateArgs,
    change: impl FnOnce(&mut Client) -> Result<(), ClientError>,
    output: &Output,
) -> CommandResult {
    let mut client = machine.open(Options::default())?;
    change(&mut client)?;
    let status = client.status()?;
    show(&status, output);
    Ok(ExitCode::SUCCESS)
}

/// The status as JSON.
#[derive(Debug, Serialize)]
struct StatusReport {
    product: Option<String>,
    state: &'static str,
    /// Minutes until the current state ends, as far as no request changes it.
    minutes_left: Option<u64>,
    /// Time of the next attempt in RFC 3339, by this machine's clock.
    next_attempt: Option<String>,
    host: Option<String>,
    found_by: &'static str,
    cmid: String,
    rearms_left: u8,
    last_status: Option<String>,
    /// Status code of the grace or notification: 0xC004F00F in out-of-tolerance grace, 0xC004F009 in notification
    /// after a grace period, else null.
    reason: Option<String>,
}

impl StatusReport {
    fn of(status: &ClientStatus) -> Self {
        let standing = status.standing;
        Self {
            product: status.product.as_ref().map(ToString::to_string),
            state: standing.state.name(),
            minutes_left: standing.minutes_left,
            next_attempt: standing.next_attempt.and_then(from_now),
            host: status.host.clone(),
            found_by: status.found_by.name(),
            cmid: status.cmid.to_string(),
            rearms_left: standing.rearms_left,
            last_status: standing.last_status.map(|status| status.to_string()),
            reason: status.reason.map(|reason| reason.to_string()),
        }
    }
}

fn from_now(wait: Duration) -> Option<String> {
    let at_ms = u128::from(time_ms()) + wait.as_millis();
    let at_s = i64::try_from(at_ms / 1000).ok()?;
    OffsetDateTime::from_unix_timestamp(at_s).ok()?.format(&Rfc3339).ok()
}

/// The status as text; shows what `/dlv` shows.
struct StatusText<'a>(&'a ClientStatus);

impl fmt::Display for StatusText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status) = self;
        let standing = status.standing;
        let words = match standing.state {
            LicenseState::OutOfBoxGrace => "not activated yet, in its first grace period",
            LicenseState::Licensed => "licensed",
            LicenseState::OutOfToleranceGrace => "in a grace period because its hardware changed: activate it again",
            LicenseState::Notification => "not licensed: the grace period or the licence has expired",
            LicenseState::Unlicensed => "not licensed: no key is installed",
        };
        match &status.product {
            Some(product) => write!(f, "{product} is {words}")?,
            None => f.write_str(words)?,
        }
        let mut row = |name: &str, value: Option<String>| match value {
            Some(value) => write!(f, "\n  {name:<14} {value}"),
            None => Ok(()),
        };
        row("time left", standing.minutes_left.map(|minutes| format!("{} d {} h", minutes / 1440, minutes / 60 % 24)))?;
        row("reason", status.reason.map(|reason| format!("{} ({reason})", reason.words())))?;
        row("next attempt", standing.next_attempt.and_then(from_now))?;
        let found = status.found_by.name();
        row(
            "host",
            Some(status.host.as_ref().map_or_else(|| "looked up in DNS".into(), |host| format!("{host} ({found})"))),
        )?;
        row("last attempt", standing.last_status.map(|status| format!("{} ({status})", status.words())))?;
        row("rearms left", Some(standing.rearms_left.to_string()))?;
        row("CMID", Some(status.cmid.to_string()))
    }
}
