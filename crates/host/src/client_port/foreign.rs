//! Connections to port 1688 from programs other than clients: probes that connect and close, and other protocols.
//! They are counted by kind and not logged.

/// What was received instead of a client's first PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// No data: a probe that connects and closes.
    Closed,
    Tls,
    Http,
    /// The header of the PROXY protocol, version 1 or 2, before a client's own bytes.
    Proxy,
}

/// All kinds with their names, in the order of their counters.
pub(crate) const KINDS: [(Foreign, &str); 4] =
    [(Foreign::Closed, "closed"), (Foreign::Tls, "tls"), (Foreign::Http, "http"), (Foreign::Proxy, "proxy")];

/// First bytes of an HTTP request: RFC 9110 section 9.3, RFC 5789, and the preface of HTTP/2 (RFC 9113 section 3.4).
const HTTP_METHODS: [&[u8]; 10] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH ", b"PRI * HTTP/2"];
/// First bytes of a TLS handshake record, of any version from SSL 3.0 on.
const TLS: &[u8] = &[0x16, 0x03];
/// First bytes of the PROXY protocol: "The PROXY protocol", versions 1 and 2, sections 2.1 and 2.2.
const PROXY: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// The protocol of a connection's first bytes, where it is one of the foreign ones.
pub(crate) fn of_first_bytes(bytes: &[u8]) -> Option<Foreign> {
    if bytes.starts_with(TLS) {
        return Some(Foreign::Tls);
    }
    if PROXY.iter().any(|header| bytes.starts_with(header)) {
        return Some(Foreign::Proxy);
    }
    HTTP_METHODS.iter().any(|method| bytes.starts_with(method)).then_some(Foreign::Http)
}

impl Foreign {
    /// What this node sends before it closes the connection: one line of text to an HTTP client, otherwise
    /// nothing.
    pub(crate) fn answer(self) -> &'static [u8] {
        match self {
            Self::Http => HTTP_ANSWER,
            Self::Closed | Self::Tls | Self::Proxy => b"",
        }
    }
}

const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 137\r\n\
    Connection: close\r\n\
    \r\n\
    This port answers activation requests (DCE/RPC), not HTTP: metrics, health and the console are on the node's port 9688 \
    (metrics.listen).\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_other_protocols_are_recognised_by_their_first_bytes() {
        let table: [(&[u8], Option<Foreign>); 8] = [
            (b"GET / HTTP/1.1\r\n", Some(Foreign::Http)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Foreign::Http)),
            (&[0x16, 0x03, 0x01, 0x02, 0x00], Some(Foreign::Tls)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 1688\r\n", Some(Foreign::Proxy)),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", Some(Foreign::Proxy)),
            // A bind PDU.
            (&[5, 0, 11, 3, 0x10, 0, 0, 0], None),
            (b"GETTING", None),
            (b"", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(of_first_bytes(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_response_to_http_is_one_line_of_the_length_in_its_header() {
        let answer = String::from_utf8(Foreign::Http.answer().to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert_eq!(body.lines().count(), 1);
    }
}
