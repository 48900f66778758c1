//! `quorate client activate` where a direct key is installed (R24).

use std::process::ExitCode;

use activation::channel::{Channel, DirectError};
use activation::trust::Trust;
use anyhow::anyhow;
use client::{DirectActivationError, Machine, Publishing, PublishingError, StateFolder, activate_directly};
use serde_json::json;

use super::report::{EXIT_NOT_REACHED, with_causes};
use crate::administration::block_on;
use crate::output::{CommandResult, Failure, Output};

/// Address of the publisher's service, and the authorities that certify it besides the publisher's own keys.
pub(super) struct Service {
    pub(super) address: String,
    pub(super) authorities: Option<Vec<u8>>,
}

/// Activates the machine with its publisher. A machine that is activated already sends no request.
pub(super) fn activate(
    mut state: StateFolder,
    channel: Channel,
    trust: &Trust,
    publisher: Option<&Service>,
    output: &Output,
) -> CommandResult {
    let machine = Machine::this();
    let check = channel.check_direct(trust, state.cmid(), machine.digest);
    let service = match (check, publisher) {
        (Ok(()), _) => return Ok(activated(&state, channel.product().as_str(), output)),
        (Err(error), None) => {
            let why = anyhow!("{error} ({}): name the publisher's service with --publisher HOST:PORT", error.status());
            return Err(if error == DirectError::NotYet { Failure::usage(why) } else { why.into() });
        }
        (Err(_), Some(service)) => service,
    };
    let address = service.address.as_str();
    let asked = block_on(async {
        let authorities = service.authorities.as_deref();
        let service = Publishing::connect(address, trust.publisher, trust.activation_keys, authorities).await?;
        activate_directly(&mut state, trust, &machine, &service).await
    })?;
    match asked {
        Ok(_) => Ok(activated(&state, channel.product().as_str(), output)),
        Err(DirectActivationError::Publishing(
            error @ (PublishingError::Address(_) | PublishingError::Certificates(_)),
        )) => Err(Failure::usage(error)),
        Err(error) => {
            let status = error.status();
            output.result(
                &json!({
                    "activated": false, "channel": "direct", "product": channel.product().as_str(),
                    "status": status.to_string(), "words": status.words(), "advice": status.advice(),
                    "error": with_causes(&error), "cmid": state.cmid().to_string(), "publisher": address,
                }),
                format_args!(
                    "{} is not activated: {} ({status})\n  {}\n  {}",
                    channel.product(),
                    status.words(),
                    with_causes(&error),
                    status.advice(),
                ),
            );
            let refused = matches!(&error, DirectActivationError::Publishing(PublishingError::Refused(_)));
            let reached = refused || !matches!(&error, DirectActivationError::Publishing(_));
            Ok(if reached { ExitCode::FAILURE } else { ExitCode::from(EXIT_NOT_REACHED) })
        }
    }
}

fn activated(state: &StateFolder, product: &str, output: &Output) -> ExitCode {
    output.result(
        &json!({
            "activated": true, "channel": "direct", "product": product,
            "status": "0x00000000", "cmid": state.cmid().to_string(),
        }),
        format_args!("{product} is activated by its publisher; hosts are not used."),
    );
    ExitCode::SUCCESS
}
