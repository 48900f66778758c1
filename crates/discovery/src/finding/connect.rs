//! Connects to one host with several addresses by staggered attempts (RFC 8305, "Happy Eyeballs").

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::limits::{ADDRESSES_MAX, ATTEMPT_DELAY};

/// A connection attempt that failed.
#[derive(Debug)]
pub struct ConnectAttempt {
    pub address: SocketAddr,
    pub cause: io::Error,
}

/// No address accepted a connection.
#[derive(Debug, thiserror::Error)]
#[error("no address answered within {after:?}: {}", causes(failed, *unanswered))]
pub struct ConnectError {
    pub after: Duration,
    /// The failed attempts, in the order in which they failed.
    pub failed: Vec<ConnectAttempt>,
    /// The number of attempts that had no result, or had not begun, at the deadline.
    pub unanswered: usize,
}

impl ConnectError {
    /// Whether the deadline passed, rather than all addresses having failed.
    pub fn timed_out(&self) -> bool {
        self.unanswered > 0
    }
}

fn causes(failed: &[ConnectAttempt], unanswered: usize) -> String {
    let mut causes: Vec<String> =
        failed.iter().map(|attempt| format!("{}: {}", attempt.address, attempt.cause)).collect();
    if unanswered > 0 {
        causes.push(format!("{unanswered} without an answer"));
    }
    if causes.is_empty() { "the name has no address".to_owned() } else { causes.join("; ") }
}

/// Returns the addresses with alternating families, IPv6 first, each family in its given order (RFC 8305 section 4).
/// Duplicates are left out, and so are addresses beyond [`crate::limits::ADDRESSES_MAX`].
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

/// Returns the first established connection. Attempts begin in the given order, each as soon as one failed or after
/// [`crate::limits::ATTEMPT_DELAY`]. All other attempts are dropped when one succeeds.
///
/// # Errors
/// [`ConnectError`] when all attempts failed, or none succeeded within `deadline` from now.
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
                    // No attempt is left to begin: wait for results only.
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

    /// An address on which no process listens.
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

    /// An address that never answers: its queue of connections is full, so the system drops new ones.
    async fn silent() -> (SocketAddr, Vec<tokio::task::JoinHandle<()>>, TcpListener) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        // The queue is full as soon as a connection is not accepted at once.
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
        assert!(error.timed_out() && error.to_string().contains("1 without an answer"), "{error}");
    }
}
