//! Addresses of nodes by name. A lookup has a timeout of its own, separate from that of the connection: if the
//! first server of the system's resolver is down, a lookup takes seconds. The addresses found last are kept, and
//! used while a new lookup is late or fails.
//!
//! Invariant: for one name there is one lookup at a time, and its result is kept, whether a caller still waits for
//! it or not.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::lookup_host, sync::watch, time::timeout};

use crate::limits::{ADDRESSES_MAX, LOOKUP_REFRESH_TIMEOUT, LOOKUP_TIMEOUT, NAMES_MAX};

/// The result of a lookup, or the kind and the text of its error; `None` while the lookup runs.
type Outcome = Option<Result<Vec<SocketAddr>, (io::ErrorKind, String)>>;
type Name = (String, u16);
type Lookup = dyn Fn(Name) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync;

/// The names that one connector looks up. Clones share their addresses.
#[derive(Clone)]
pub(crate) struct Names {
    known: Arc<Mutex<BTreeMap<Name, NameState>>>,
    lookup: Arc<Lookup>,
}

#[derive(Default)]
struct NameState {
    /// The result of the last successful lookup.
    addresses: Vec<SocketAddr>,
    /// The lookup that is running, if any.
    running: Option<watch::Receiver<Outcome>>,
}

impl Names {
    /// Names that the system's resolver looks up.
    pub(crate) fn of_system() -> Self {
        Self::with(Arc::new(|(host, port)| {
            Box::pin(async move { Ok(lookup_host((host.as_str(), port)).await?.take(ADDRESSES_MAX).collect()) })
        }))
    }

    fn with(lookup: Arc<Lookup>) -> Self {
        Self { known: Arc::default(), lookup }
    }

    /// The addresses of `host`, from a new lookup. If earlier addresses are known, they are returned when the
    /// lookup fails or takes longer than [`LOOKUP_REFRESH_TIMEOUT`]; otherwise the lookup may take [`LOOKUP_TIMEOUT`].
    ///
    /// # Errors
    /// The name is not found, and no earlier addresses are known.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (known, mut running) = self.begin(&(host.to_owned(), port));
        let wait = if known.is_empty() { LOOKUP_TIMEOUT } else { LOOKUP_REFRESH_TIMEOUT };
        let outcome = timeout(wait, running.wait_for(Option::is_some)).await;
        let outcome = outcome.ok().and_then(Result::ok).and_then(|outcome| outcome.clone());
        match outcome {
            Some(Ok(found)) => Ok(found),
            _ if !known.is_empty() => Ok(known),
            Some(Err((kind, text))) => Err(io::Error::new(kind, text)),
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the name {host} was not resolved within {} s", wait.as_secs()),
            )),
        }
    }

    /// The known addresses of the name, and the running lookup, which is started if there is none.
    fn begin(&self, name: &Name) -> (Vec<SocketAddr>, watch::Receiver<Outcome>) {
        let mut known = self.known();
        if known.len() >= NAMES_MAX && !known.contains_key(name) {
            known.retain(|_, state| state.running.is_some());
        }
        let state = known.entry(name.clone()).or_default();
        // A lookup whose task ended without a result is not running.
        if let Some(running) = state.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return (state.addresses.clone(), running.clone());
        }
        let (found, running) = watch::channel(None);
        state.running = Some(running.clone());
        let (names, name) = (self.clone(), name.clone());
        tokio::spawn(async move {
            let outcome = names.look_up(&name).await;
            names.keep(&name, &outcome);
            found.send_replace(Some(outcome));
        });
        (state.addresses.clone(), running)
    }

    async fn look_up(&self, name: &Name) -> Result<Vec<SocketAddr>, (io::ErrorKind, String)> {
        let host = &name.0;
        let found = (self.lookup)(name.clone()).await;
        let found = found.map_err(|error| (error.kind(), format!("the name {host} was not resolved: {error}")))?;
        if found.is_empty() {
            return Err((io::ErrorKind::NotFound, format!("the name {host} has no address")));
        }
        Ok(found)
    }

    fn keep(&self, name: &Name, outcome: &Result<Vec<SocketAddr>, (io::ErrorKind, String)>) {
        let mut known = self.known();
        let Some(state) = known.get_mut(name) else { return };
        state.running = None;
        match outcome {
            Ok(found) => {
                if !state.addresses.is_empty() && state.addresses != *found {
                    tracing::info!(
                        name = name.0,
                        before = ?state.addresses,
                        now = ?found,
                        "the address of a node's name has changed"
                    );
                }
                state.addresses.clone_from(found);
            }
            Err((_, error)) if !state.addresses.is_empty() => {
                tracing::debug!(
                    error,
                    addresses = ?state.addresses,
                    "name resolution failed; the previous addresses stay in use"
                );
            }
            Err(_) => {}
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Name, NameState>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Names").field("known", &self.known().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use super::*;

    /// One lookup: how long it takes, and its result.
    type Step = (Duration, Result<&'static str, io::ErrorKind>);

    fn names(steps: impl IntoIterator<Item = Step>) -> Names {
        let steps = Arc::new(Mutex::new(steps.into_iter().collect::<VecDeque<_>>()));
        Names::with(Arc::new(move |_| {
            let (takes, found) = steps.lock().unwrap().pop_front().unwrap();
            Box::pin(async move {
                tokio::time::sleep(takes).await;
                Ok(vec![found?.parse().unwrap()])
            })
        }))
    }

    async fn asked(names: &Names) -> String {
        match names.addresses("node1.example.test", 1689).await {
            Ok(found) => found[0].to_string(),
            Err(error) => error.to_string(),
        }
    }

    const AT_ONCE: Duration = Duration::ZERO;
    /// A lookup for which the first of two DNS servers is down.
    const SLOW: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn during_a_slow_lookup_the_previous_addresses_are_used_after_a_time_limit() {
        let names = names([(SLOW, Ok("192.0.2.1:1689")), (SLOW, Ok("192.0.2.2:1689")), (SLOW, Ok("192.0.2.2:1689"))]);
        assert_eq!(asked(&names).await, "192.0.2.1:1689", "nothing was known: the lookup is waited for");
        let began = tokio::time::Instant::now();
        assert_eq!(asked(&names).await, "192.0.2.1:1689");
        assert_eq!(began.elapsed(), LOOKUP_REFRESH_TIMEOUT);
        assert_eq!(asked(&names).await, "192.0.2.1:1689", "the same lookup is still running");
        tokio::time::sleep(SLOW).await;
        assert_eq!(asked(&names).await, "192.0.2.2:1689", "its result is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_changed_is_followed_and_a_lookup_that_fails_changes_nothing() {
        let gone = Err(io::ErrorKind::NotFound);
        let steps = [(AT_ONCE, Ok("192.0.2.1:1689")), (AT_ONCE, gone), (AT_ONCE, Ok("192.0.2.2:1689"))];
        let names = names(steps);
        for expected in ["192.0.2.1:1689", "192.0.2.1:1689", "192.0.2.2:1689"] {
            assert_eq!(asked(&names).await, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_was_never_resolved_is_an_error_that_names_it() {
        let names = names([(AT_ONCE, Err(io::ErrorKind::NotFound)), (LOOKUP_TIMEOUT * 2, Ok("192.0.2.1:1689"))]);
        let error = asked(&names).await;
        assert!(error.contains("node1.example.test was not resolved: "), "{error}");
        let error = asked(&names).await;
        assert!(error.contains("was not resolved within 15 s"), "{error}");
    }

    #[tokio::test]
    async fn an_address_is_not_a_name() {
        let names = names([]);
        let found = names.addresses("2001:db8::1", 1689).await.unwrap();
        assert_eq!(found, ["[2001:db8::1]:1689".parse().unwrap()]);
    }
}
