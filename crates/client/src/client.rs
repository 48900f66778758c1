//! A client machine with its stored state, for a publisher's software or a service (R13 to R24).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use client::activation::trust::Trust;
//! use client::{Client, Options};
//!
//! let trust = Trust::from_toml(&std::fs::read_to_string("publisher.toml")?)?;
//! let mut client = Client::open(Path::new("/var/lib/editor/license"), trust, Options::default())?;
//! client.install_key("P2G7F-PE64X-4W6Y2-EA7W3-NR56K".parse()?, None)?;
//! loop {
//!     println!("{}", client.next().await);
//!     println!("{}", client.status()?.standing.state.name());
//! }
//! # }
//! ```
//!
//! `examples/editor.rs` is a complete program.
//!
//! Other processes on the machine share the folder: each read and each change holds its lock only briefly, and no
//! lock is held during a request to a host. [`Lifecycle`] computes the times. The stored licence is the exchange with
//! the host, and it is verified again on each read.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use activation::catalog::Name;
use activation::channel::Channel;
use activation::id::{Cmid, MachineDigest, ProductId};
use activation::key::TypedKey;
use activation::lifecycle::{
    AnswerProcessed, Evidence, EvidenceError, Installed, LicenseStanding, LicenseState, Lifecycle, Moment, Next,
    RequestSent,
};
use activation::message::Request;
use activation::status::Status;
use activation::trust::Trust;
use discovery::FixedHost;
use machine::{Identity, Machine};
use tokio::time::Instant;

use crate::client_error::ClientError;
use crate::error::ActivateError;
use crate::event::Event;
use crate::hosts::{AskError, Exchange, FoundBy, Hosts, Lookup};
use crate::limits::Deadlines;
use crate::request::{chance, moment, random_cmid, request};
use crate::state::{Life, StateError, StateFolder};

/// How long a waiting client goes at most without checking its clock, and whether another process changed the state.
const LOOK_PAUSE: Duration = Duration::from_secs(10);

/// How long elapsed time alone is not written to the disk.
const KEEP_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Options that are not stored in the state folder.
#[derive(Clone, Debug)]
pub struct Options {
    /// How hosts are discovered in DNS.
    pub lookup: Lookup,
    pub deadlines: Deadlines,
    /// The root folder of the machine's own description: `/`, or the host's root folder in a container.
    pub root: PathBuf,
    /// A host for this attempt only, whatever the stored setting.
    pub host: Option<FixedHost>,
}

impl Default for Options {
    fn default() -> Self {
        Self { lookup: Lookup::default(), deadlines: Deadlines::default(), root: PathBuf::from("/"), host: None }
    }
}

/// A machine's license state, for display and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientStatus {
    /// The product; `None` until a key was installed.
    pub product: Option<Name>,
    pub standing: LicenseStanding,
    /// Why the machine is in out-of-tolerance grace (0xC004F00F, R23), or in notification after a grace period
    /// (0xC004F009, R15); `None` in every other state.
    pub reason: Option<Status>,
    pub cmid: Cmid,
    /// The first host, as `HOST:PORT`; `None` where hosts are looked up in DNS.
    pub host: Option<String>,
    /// How the host was, or will be, discovered.
    pub found_by: FoundBy,
    /// When a host gave the licence, by its cluster's time, in milliseconds since 1970; `None` without a licence.
    pub licensed_ms: Option<u64>,
}

/// The result of one attempt.
#[derive(Debug)]
pub struct Attempt {
    /// The verified answer, or why there is none.
    pub result: Result<Exchange, AskError>,
    /// The license state after the attempt.
    pub status: ClientStatus,
}

/// A client machine with one product.
#[derive(Debug)]
pub struct Client {
    folder: PathBuf,
    trust: Trust,
    options: Options,
    /// Events that were not returned to the caller yet.
    events: VecDeque<Event>,
    woken: bool,
    /// The state that events last reported; `None` before the first read.
    told_state: Option<LicenseState>,
    /// When this client last wrote the times to the disk.
    kept_at: Instant,
}

/// The state while it is locked and verified for one read or change.
struct Opened {
    state: StateFolder,
    life: Lifecycle,
    kept: Life,
    cmid: Cmid,
    installed: Installed,
    /// The time of the read, and the lifecycle at that time.
    now: Moment,
    before: Lifecycle,
}

impl Client {
    /// Opens the machine's folder. At first use the folder is created with a new CMID, and out-of-box grace begins.
    pub fn open(folder: &Path, trust: Trust, options: Options) -> Result<Self, ClientError> {
        let (folder, events, kept_at) = (folder.to_owned(), VecDeque::new(), Instant::now());
        let mut client = Self { folder, trust, options, events, woken: false, told_state: None, kept_at };
        client.change(|_, _| Ok(()))?;
        Ok(client)
    }

    /// The trusted publisher, with its keys.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The machine's license state now.
    pub fn status(&mut self) -> Result<ClientStatus, ClientError> {
        self.change(|client, opened| Ok(client.status_of(opened)))
    }

    /// Installs a key, which selects how the machine is activated (R24, R35): with a setup key it asks hosts, with a
    /// direct key the publisher. A direct key is for `product`, or, where that is `None`, for the product that is
    /// set up.
    pub fn install_key(&mut self, key: TypedKey, product: Option<Name>) -> Result<Channel, ClientError> {
        self.change(|client, opened| {
            let catalog = &client.trust.catalog.as_ref().ok_or(ClientError::NoCatalog)?.catalog;
            let channel = Channel::install_key(opened.state.channel(), key, product, catalog)?;
            opened.state.set_channel(channel.clone())?;
            Ok(channel)
        })
    }

    /// Removes the key, and with it the licence and the publisher's certificate. The times stay, so installing a key
    /// again begins no new grace period.
    pub fn remove_key(&mut self) -> Result<(), ClientError> {
        let chance = chance()?;
        self.change(|_, opened| {
            if opened.life.claims_licence() {
                opened.life.lost_evidence(opened.now, chance);
            }
            opened.kept.exchange = None;
            opened.installed = Installed::Nothing;
            Ok(opened.state.clear_channel()?)
        })
    }

    /// Reduces the direct key to its id, once it has activated the machine. A setup key is public and stays.
    pub fn clear_key(&mut self) -> Result<(), ClientError> {
        self.change(|_, opened| {
            let Some(channel) = opened.state.channel() else { return Ok(()) };
            let cleared = channel.clear_key()?;
            Ok(opened.state.set_channel(cleared)?)
        })
    }

    /// Makes the client ask only this host from now on (R18).
    pub fn set_host(&mut self, host: FixedHost) -> Result<(), ClientError> {
        self.change(|_, opened| Ok(opened.state.set_host(host)?))
    }

    /// Makes the client discover hosts in DNS again, and removes the cached host that answered last (R18).
    pub fn clear_host(&mut self) -> Result<(), ClientError> {
        self.change(|_, opened| Ok(opened.state.clear_host()?))
    }

    /// Resets the timers (R21).
    pub fn rearm(&mut self) -> Result<(), ClientError> {
        let chance = chance()?;
        self.change(|_, opened| {
            opened.life.rearm(opened.now, chance)?;
            opened.kept.exchange = None;
            Ok(())
        })
    }

    /// Prepares the machine as an image for others (R22): a new CMID, no identity, no licence, and reset timers
    /// where a rearm is left. Without a rearm left the rest is done all the same, and the call returns an error.
    pub fn generalize(&mut self) -> Result<(), ClientError> {
        let (chance, cmid) = (chance()?, random_cmid()?);
        let rearmed = self.change(|_, opened| {
            let rearmed = opened.life.generalize(opened.now, chance);
            (opened.kept.exchange, opened.kept.identity, opened.cmid) = (None, None, cmid);
            Ok(rearmed)
        })?;
        Ok(rearmed?)
    }

    /// Asks hosts now (R20): one round, and its result.
    pub async fn activate(&mut self) -> Result<Attempt, ClientError> {
        let (product, cmid, mut hosts, asked) = self.change(|client, opened| client.question(opened))?;
        let Options { lookup, deadlines, .. } = self.options.clone();
        let fresh = || {
            let mut fresh = asked.clone();
            let new = request(asked.publisher, asked.product, asked.cmid, &Machine::read(&self.options.root))?;
            (fresh.nonce, fresh.client_time_ms) = (new.nonce, new.client_time_ms);
            Ok(fresh)
        };
        let result = hosts.ask(&lookup, fresh, &self.trust, deadlines).await;
        let chance = chance()?;
        let status = self.change(|client, opened| {
            // In the meantime another process may have installed another key, or prepared an image: the answer is
            // not for that.
            let is_same = opened.cmid == cmid && client.product_id(&opened.state) == Some(product);
            client.take(opened, (&result, &asked), is_same, chance);
            if is_same {
                opened.state.keep_hosts(&hosts)?;
            }
            Ok(client.status_of(opened))
        })?;
        Ok(Attempt { result, status })
    }

    /// Returns the next event: waits until an attempt is due, makes it, and reports the result. Call it repeatedly.
    /// It can be dropped at any time; only the attempt that was in progress is lost.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let wake = !std::mem::replace(&mut self.woken, true);
            let next = self.change(|client, opened| {
                let now = opened.now;
                if wake {
                    opened.life.wake(now, chance()?);
                }
                client.tell_state(opened);
                Ok(opened.life.next(now, opened.installed))
            });
            let pause = match next {
                Ok(Next::Attempt) => match self.activate().await {
                    Ok(_) => continue,
                    Err(error) => {
                        self.events.push_back(Event::Trouble(error));
                        LOOK_PAUSE
                    }
                },
                Ok(Next::Wait(wait)) => wait.min(LOOK_PAUSE),
                Ok(Next::Nothing) => LOOK_PAUSE,
                // Another process uses the folder.
                Err(ClientError::State(StateError::InUse { .. })) => LOOK_PAUSE,
                Err(error) => {
                    self.events.push_back(Event::Trouble(error));
                    LOOK_PAUSE
                }
            };
            if self.events.is_empty() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Takes the lock, reads the state, lets `act` change it, and stores it.
    fn change<T>(
        &mut self,
        act: impl FnOnce(&mut Self, &mut Opened) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut opened = self.look()?;
        let acted = act(self, &mut opened);
        let Opened { mut state, life, mut kept, cmid, before, .. } = opened;
        // Elapsed time alone is written only at long intervals, to spare the disk.
        if life != before || self.kept_at.elapsed() > KEEP_PAUSE {
            kept.times = life.encode();
        }
        if acted.is_ok() && (cmid, &kept) != (state.cmid(), state.life()) {
            state.keep_life(cmid, kept)?;
            self.kept_at = Instant::now();
        }
        acted
    }

    fn look(&mut self) -> Result<Opened, ClientError> {
        let state = StateFolder::open(&self.folder)?;
        let (now, chance) = (moment(&self.options.root), chance()?);
        let (cmid, mut kept) = (state.cmid(), state.life().clone());
        let evidence = self.evidence(&state, &kept);
        let life = Lifecycle::decode(&kept.times, evidence.as_ref().and_then(|found| found.as_ref().ok()), now);
        let times = |error| ClientError::Times { folder: self.folder.clone(), error };
        let mut life = life.map_err(times)?;
        let before = life.clone();
        if !life.claims_licence() {
            kept.exchange = None;
        }
        if let Some(Err(error)) = evidence {
            kept.exchange = None;
            life.lost_evidence(now, chance);
            self.events.push_back(Event::EvidenceLost(error));
        }
        let identity = Identity::read(&self.options.root);
        let changed =
            kept.identity.as_ref().is_some_and(|recorded| !recorded.change_to(&identity).is_within_tolerance());
        if changed {
            kept.exchange = None;
            let was_licensed = life.hardware_changed(now, chance);
            self.events.push_back(Event::HardwareChanged { was_licensed });
        }
        if changed || kept.identity.is_none() {
            kept.identity = Some(identity);
        }
        let installed = match state.channel() {
            None => Installed::Nothing,
            Some(Channel::Volume { .. }) => Installed::Setup,
            Some(channel @ Channel::Direct { .. }) => {
                let machine = Machine::read(&self.options.root).digest;
                Installed::Direct { certified: channel.check_direct(&self.trust, cmid, machine).is_ok() }
            }
        };
        Ok(Opened { state, life, kept, cmid, installed, now, before })
    }

    /// The stored proof of the licence, verified; `None` where none is stored.
    fn evidence(&self, state: &StateFolder, kept: &Life) -> Option<Result<Evidence, EvidenceError>> {
        let (request, answer) = kept.exchange.as_ref()?;
        // R24: installing a direct key ends a licence that a host gave.
        let product = self.product_id(state).filter(|_| matches!(state.channel(), Some(Channel::Volume { .. })))?;
        let machine = digest_of(kept.identity.as_ref());
        Some(Evidence::verify(request, answer, &self.trust, (product, state.cmid(), machine)))
    }

    fn product_id(&self, state: &StateFolder) -> Option<ProductId> {
        state.channel().map(|channel| ProductId::derive(self.trust.publisher, channel.product().as_str()))
    }

    /// The next request, and the hosts to send it to.
    fn question(&self, opened: &Opened) -> Result<(ProductId, Cmid, Hosts, Request), ClientError> {
        let product = self.product_id(&opened.state).filter(|_| opened.installed == Installed::Setup);
        let product = product.ok_or(ClientError::NotForHosts)?;
        let standing = opened.life.standing(opened.now, opened.installed);
        let machine = Machine { digest: digest_of(opened.kept.identity.as_ref()), ..Machine::read(&self.options.root) };
        let mut asked = request(self.trust.publisher, product, opened.cmid, &machine)?;
        asked.license_status = standing.state.status();
        asked.minutes_to_expiry = u32::try_from(standing.minutes_left.unwrap_or(0)).unwrap_or(u32::MAX);
        let fixed = self.options.host.as_ref().or(opened.state.fixed_host()).cloned();
        Ok((product, opened.cmid, Hosts::new(fixed, opened.state.cached_host().cloned()), asked))
    }

    /// Applies the result of an attempt to the state.
    fn take(
        &mut self,
        opened: &mut Opened,
        (result, asked): (&Result<Exchange, AskError>, &Request),
        is_same: bool,
        chance: u64,
    ) {
        let now = opened.now;
        let required = self.required_count(asked.product);
        self.tell_state(opened);
        match result {
            Ok(exchange) => {
                let host = exchange.host.endpoint();
                let body = &exchange.answered.answer.body;
                self.events.push_back(Event::Sent(RequestSent::new(Status::OK, host, &exchange.request, required)));
                self.events.push_back(Event::Answered(AnswerProcessed::new(body, exchange.request.client_time_ms)));
                let bytes = (exchange.request.encode(), exchange.answered.signed.clone());
                let of = (asked.product, asked.cmid, asked.machine);
                match Evidence::verify(&bytes.0, &bytes.1, &self.trust, of) {
                    Ok(evidence) if is_same => {
                        opened.life.answered(now, &evidence, chance);
                        if body.is_activated() {
                            opened.kept.exchange = Some(bytes);
                        }
                    }
                    Ok(_) => {}
                    Err(error) => self.events.push_back(Event::EvidenceLost(error)),
                }
            }
            Err(error) => {
                for tried in error.tried() {
                    let host = tried.host.endpoint();
                    let refused = matches!(tried.error, ActivateError::Refused { .. });
                    let status = tried.error.status();
                    let sent = if refused { Status::OK } else { status };
                    self.events.push_back(Event::Sent(RequestSent::new(sent, host, asked, required)));
                    if refused {
                        let refusal = AnswerProcessed::refused(status, asked.client_time_ms);
                        self.events.push_back(Event::Answered(refusal));
                    }
                }
                self.events.push_back(Event::Failed { status: error.status(), error: error.to_string() });
                if is_same {
                    opened.life.failed(now, error.status(), chance);
                }
            }
        }
        self.tell_state(opened);
    }

    /// Adds an event where the state differs from the last reported one, whether time, the hardware or an answer
    /// changed it.
    fn tell_state(&mut self, opened: &Opened) {
        let after = opened.life.standing(opened.now, opened.installed).state;
        if let Some(before) = self.told_state.replace(after)
            && before != after
        {
            let reason = opened.life.reason(opened.now, opened.installed);
            self.events.push_back(Event::StateChanged { before, after, reason });
        }
    }

    fn required_count(&self, product: ProductId) -> u32 {
        let opened = self.trust.catalog.as_ref();
        opened.and_then(|opened| opened.product(product)).map_or(0, |product| product.threshold)
    }

    fn status_of(&self, opened: &Opened) -> ClientStatus {
        let (fixed, cached) = (opened.state.fixed_host(), opened.state.cached_host());
        let (host, found_by) = match (fixed, cached) {
            (Some(fixed), _) => (Some(fixed.to_string()), FoundBy::Fixed),
            (None, Some(cached)) => (Some(cached.endpoint()), FoundBy::Cache),
            (None, None) => (None, FoundBy::Srv),
        };
        let licence = self.evidence(&opened.state, &opened.kept).and_then(Result::ok);
        ClientStatus {
            product: opened.state.channel().map(|channel| channel.product().clone()),
            standing: opened.life.standing(opened.now, opened.installed),
            reason: opened.life.reason(opened.now, opened.installed),
            cmid: opened.cmid,
            host,
            found_by,
            licensed_ms: licence.map(|licence| licence.body().cluster_time_ms),
        }
    }
}

/// The digest of the machine's identity; zeros where no identity is recorded yet.
fn digest_of(identity: Option<&Identity>) -> MachineDigest {
    identity.map_or(MachineDigest([0; 8]), Identity::digest)
}

impl ClientStatus {
    /// Whether the machine is licensed, so the software may run without a notice.
    #[must_use]
    pub fn is_licensed(&self) -> bool {
        self.standing.state == LicenseState::Licensed
    }
}
