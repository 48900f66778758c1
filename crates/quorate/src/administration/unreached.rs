//! Readable messages for a node that could not be reached.

use std::{error::Error, iter::successors, time::Duration};

use anyhow::anyhow;

/// Timeout for opening a connection over the network.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The error for an address at which no node of this cluster answers: the reason, and what to check next.
pub(crate) fn unreached(address: &str, error: &(dyn Error + 'static)) -> anyhow::Error {
    let cause = cause(error);
    match certificates(&cause) {
        Some(why) => anyhow!("{address}: {why} ({cause})"),
        None => {
            anyhow!(
                "cannot connect to {address} ({cause}): check that the node runs and that its admin.listen has this \
                 address"
            )
        }
    }
}

pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    let sources = successors(Some(error), |&error| error.source());
    sources.last().map_or_else(String::new, ToString::to_string)
}

/// A readable sentence for a TLS error; `None` for an error that has none.
pub(super) fn certificates(cause: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 5] = [
        (
            "received fatal alert: CertificateExpired",
            "the node refused the client certificate because it has expired: log in again",
        ),
        ("received fatal alert", "the node refused the client certificate: it was issued by another cluster"),
        ("invalid peer certificate: Expired", "the certificate of the node has expired"),
        ("invalid peer certificate: certificate expired", "the certificate of the node has expired"),
        ("invalid peer certificate", "the server's certificate was not issued by the authority of the saved cluster"),
    ];
    KNOWN.iter().find(|(said, _)| cause.contains(said)).map(|(_, why)| *why)
}
