//! A connection to one host with several addresses, attempts staggered (RFC 8305, "Happy Eyeballs").

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::limits::{ADDRESSES_MAX, ATTEMPT_DELAY};

/// An attempt that failed.
#[derive(Debug)]
pub struct ConnectAttempt {
    pub address: SocketAddr,
    pub cause: io::Error,
}

/// No address took a connection.
#[derive(Debug, thiserror::Error)]
#[error("no address answered within {after:?}: {}", causes(failed, *unanswered))]
pub struct ConnectError {
    pub after: Duration,
    /// Those that failed, in the order in which they did.
    pub failed: Vec<ConnectAttempt>,
    /// Attempts without any answer, or not begun, at the deadline.
    pub unanswered: usize,
}

impl ConnectError {
    /// Whether time ran out, rather than all addresses refusing.
    pub fn timed_out(&self) -> bool {
        self.unanswered > 0
    }
}

fn causes(failed: &[ConnectAttempt], unanswered: usize) -> String {
    let mut causes: Vec<String> =
        failed.iter().map(|attempt| format!("{}: {}", attempt.address, attempt.cause)).collect();
    if unanswered > 0 {
        causes.push(format!("{unanswered} silent"));
    }
    if causes.is_empty() { "it has no address".to_owned() } else { causes.join("; ") }
}

/// Addresses with their families alternating, IPv6 first, each family in its given order (RFC 8305 section 4). Doubles
/// are left out, and what is beyond [`crate::limits::ADDRESSES_MAX`].
pub fn interleave(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let (mut v4, mut v6): (Vec<_>, Vec<_>) = unique.into_iter().partition(IpAddr::is_ipv4);
    v4.reverse();
    v6.reverse();
    let mut woven = Vec::new();
    while woven.len() < ADDRESSES_MAX && !(v4.is_empty() && v6.is_empty()) {
        woven.extend(v6.pop());
        woven.extend(v4.pop());
    }
    woven.truncate(ADDRESSES_MAX);
    woven
}

/// The first connection that stands. Attempts begin in the given order, the next one when one failed or after
/// [`crate::limits::ATTEMPT_DELAY`]; all others are dropped when one stands.
///
/// # Errors
/// [`ConnectError`] when all failed, or none stood within `deadline` from now.
pub async fn connect(addresses: &[SocketAddr], deadline: Duration) -> Result<TcpStream, ConnectError> {
    let ends = Instant::now() + deadline;
    let mut waiting = addresses.iter().copied().take(ADDRESSES_MAX);
    let mut under_way = FuturesUnordered::new();
    let mut failed = Vec::new();
    let mut next_start = Instant::now();
    let whole = async {
        loop {
            if next_start <= Instant::now() || under_way.is_empty() {
                match waiting.next() {
                    Some(address) => {
                        under_way.push(async move { (address, TcpStream::connect(address).await) });
                        next_start = Instant::now() + ATTEMPT_DELAY;
                    }
                    None if under_way.is_empty() => return None,
                    // No more to begin: only answers are waited for.
                    None => next_start = ends,
                }
            }
            tokio::select! {
                Some((address, outcome)) = under_way.next() => match outcome {
                    Ok(stream) => return Some(stream),
                    Err(cause) => {
                        failed.push(ConnectAttempt { address, cause });
                        next_start = Instant::now();
                    }
                },
                () = sleep_until(next_start) => {}
            }
        }
    };
    let connected = timeout_at(ends, whole).await.ok().flatten();
    let unanswered = addresses.len().min(ADDRESSES_MAX) - failed.len();
    connected.ok_or(ConnectError { after: deadline, failed, unanswered })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_and_ipv6_is_first() {
        let given = addresses(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3", "192.0.2.1", "2001:db8::2"]);
        let expected = addresses(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]);
        assert_eq!(interleave(given), expected);
        assert_eq!(interleave([]), Vec::<IpAddr>::new());
        assert_eq!(interleave((0..100).map(|last| IpAddr::from([192, 0, 2, last]))).len(), ADDRESSES_MAX);
    }

    /// A port that nobody listens on.
    async fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_refusing_address_does_not_delay_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let begun = Instant::now();
        let stream = connect(&[closed().await, open], Duration::from_secs(5)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert!(begun.elapsed() < ATTEMPT_DELAY, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn when_all_refuse_each_is_named() {
        let (one, two) = (closed().await, closed().await);
        let error = connect(&[one, two], Duration::from_secs(5)).await.unwrap_err();
        assert!(!error.timed_out());
        let failed: Vec<_> = error.failed.iter().map(|attempt| attempt.address).collect();
        assert_eq!(failed, [one, two]);
        let nowhere = connect(&[], Duration::from_secs(5)).await.unwrap_err();
        assert!(nowhere.to_string().contains("no address"), "{nowhere}");
    }

    /// An address that never answers: its queue of connections is full, so that the system drops what comes.
    async fn silent() -> (SocketAddr, Vec<tokio::task::JoinHandle<()>>, TcpListener) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        // Full as soon as one is not taken at once.
        loop {
            match tokio::time::timeout(ATTEMPT_DELAY, TcpStream::connect(address)).await {
                Ok(stream) => held.push(tokio::spawn(async move {
                    let _held = stream.unwrap();
                    std::future::pending::<()>().await;
                })),
                Err(_) => return (address, held, listener),
            }
        }
    }

    #[tokio::test]
    async fn a_silent_address_delays_the_next_by_no_more_than_the_stagger() {
        let (silent, _held, _full) = silent().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let begun = Instant::now();
        let stream = connect(&[silent, open], Duration::from_secs(30)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert!(begun.elapsed() >= ATTEMPT_DELAY && begun.elapsed() < Duration::from_secs(10));

        let error = connect(&[silent], ATTEMPT_DELAY).await.unwrap_err();
        assert!(error.timed_out() && error.to_string().contains("1 silent"), "{error}");
    }
}
