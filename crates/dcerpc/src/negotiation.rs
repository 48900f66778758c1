//! How a server answers a bind or an alter_context: which presentation contexts it accepts.

use crate::interface::Interface;
use crate::limits::PRESENTATION_CONTEXTS_MAX;
use crate::pdu::bind::{ContextResult, Proposal, ProposedContext};
use crate::pdu::octets::Truncated;
use crate::pdu::{Header, Kind};
use crate::violation::Violation;

/// Authentication types whose verifiers are skipped: GSS negotiate, NTLM, schannel, Kerberos, netlogon (MS-RPCE
/// section 2.2.1.1.7).
const KNOWN_AUTHENTICATION_TYPES: [u8; 5] = [0x09, 0x0a, 0x0e, 0x10, 0x44];
/// Length of the fields before the authentication value in a verifier, in bytes: type, level, padding, context.
const VERIFIER_PREFIX_BYTES: usize = 8;

/// Bit of bind-time feature negotiation that is always true here: the connection survives an orphaned call. The
/// other bit, security context multiplexing (0x1), has no meaning without security contexts (MS-RPCE section
/// 2.2.2.14).
const KEEP_CONNECTION_ON_ORPHAN: u16 = 0x2;

/// Decodes the proposal in the body of a bind or an alter_context.
pub(crate) fn decode(header: Header, body: &[u8]) -> Result<Proposal<'_>, Violation> {
    if !header.is_whole() {
        return Err(Violation::MalformedBind);
    }
    Proposal::decode(without_verifier(header, body)?, header.order).map_err(|Truncated| Violation::MalformedBind)
}

/// Skips an authentication verifier of a known type: the client may bind and is then served like an anonymous
/// client.
fn without_verifier(header: Header, body: &[u8]) -> Result<&[u8], Violation> {
    if header.auth_bytes == 0 {
        return Ok(body);
    }
    let verifier_bytes = VERIFIER_PREFIX_BYTES + usize::from(header.auth_bytes);
    let split = body.len().checked_sub(verifier_bytes).and_then(|at| body.split_at_checked(at));
    match split {
        Some((body, [kind, ..])) if KNOWN_AUTHENTICATION_TYPES.contains(kind) => Ok(body),
        Some((_, [kind, ..])) => Err(Violation::AuthenticationType(*kind)),
        _ => Err(Violation::MalformedBind),
    }
}

/// The result for each proposed context, in order. The numbers of accepted contexts are added to `accepted`, which
/// never exceeds `PRESENTATION_CONTEXTS_MAX`.
pub(crate) fn answer(
    interface: &Interface,
    proposal: &Proposal<'_>,
    kind: Kind,
    accepted: &mut Vec<u16>,
) -> Result<Vec<ContextResult>, Violation> {
    match usize::from(proposal.context_count) {
        0 => return Err(Violation::NoContexts),
        1..=PRESENTATION_CONTEXTS_MAX => {}
        _ => return Err(Violation::TooManyContexts(proposal.context_count)),
    }
    let mut results = Vec::with_capacity(usize::from(proposal.context_count));
    for proposed in proposal.contexts() {
        let proposed = proposed.map_err(|Truncated| Violation::MalformedBind)?;
        let result = judge(interface, &proposed, kind);
        results.push(if result == ContextResult::Accepted { keep(accepted, proposed.id) } else { result });
    }
    Ok(results)
}

fn judge(interface: &Interface, proposed: &ProposedContext, kind: Kind) -> ContextResult {
    match proposed.features {
        Some(asked) if kind == Kind::Bind => {
            let keep_connection = asked & u64::from(KEEP_CONNECTION_ON_ORPHAN) != 0;
            ContextResult::Features(if keep_connection { KEEP_CONNECTION_ON_ORPHAN } else { 0 })
        }
        _ if !interface.serves(proposed.interface) => ContextResult::InterfaceUnknown,
        _ if !proposed.offers_ndr => ContextResult::TransferSyntaxesUnknown,
        _ => ContextResult::Accepted,
    }
}

/// Every context means the one interface in the one transfer syntax, so a repeated number does not change its
/// context.
fn keep(accepted: &mut Vec<u16>, id: u16) -> ContextResult {
    if !accepted.contains(&id) {
        if accepted.len() >= PRESENTATION_CONTEXTS_MAX {
            return ContextResult::LocalLimit;
        }
        accepted.push(id);
    }
    ContextResult::Accepted
}
