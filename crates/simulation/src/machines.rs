//! Client machines: those of an imaging day, one after the other, and those that renew over days, as real machines
//! do.

use std::time::Duration;

use activation::{
    id::{Cmid, MachineDigest},
    message::{LicenseStatus, Request, verify_answer},
    status::Status,
};
use replication::limits::DISK_HANDOVER_AFTER;
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};
use turmoil::net::TcpStream;

use crate::{
    chance::Chance,
    network::{self, CLIENTS_PORT},
    node::{read_message, write_message},
    oracle::Acknowledgement,
    publisher::{PRODUCTS, Product, START_MS},
    world::World,
};

/// How long a client waits for one host.
const HOST_DEADLINE: Duration = Duration::from_secs(3);

/// How long a node may report that it is ready while it serves no client. It notices a lost majority within seconds,
/// and a leader whose disk hangs hands leadership over after [`DISK_HANDOVER_AFTER`].
const UNSERVED_MAX: Duration = DISK_HANDOVER_AFTER.saturating_add(Duration::from_secs(4));

/// A host refuses a client whose clock differs by more than this.
const SKEW_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// Requests at most this far apart count as uninterrupted.
const GAP_MAX: Duration = Duration::from_millis(500);

/// A client machine.
struct Machine {
    world: World,
    chance: Chance,
    number: u64,
    product: &'static Product,
    /// The node that answered last, which is tried first (R16).
    cached: Option<u64>,
}

/// The outcome of a request.
enum Came {
    Counted { count: u32, activation_minutes: u32, renewal_minutes: u32, is_activated: bool },
    Refused,
    Unanswered,
}

/// How a site's machines behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) number: u64,
    /// How many imaging machines there are. They ask repeatedly, each time with another CMID.
    pub(crate) imaging: u64,
    /// How many machines renew (R14).
    pub(crate) renewing: u64,
    /// The longest pause of an imaging machine, in milliseconds.
    pub(crate) pause_ms: u64,
}

/// Runs all machines of a site until the simulation ends.
pub(crate) async fn run(world: World, site: Site, seed: u64) -> turmoil::Result {
    while !world.is_set_up() {
        sleep(Duration::from_millis(100)).await;
    }
    let mut machines = tokio::task::JoinSet::new();
    for index in 0..site.imaging + site.renewing {
        let number = site.number * 10_000 + index;
        let mut chance = Chance::new(seed, &format!("machine {number}"));
        let product = chance.pick(&PRODUCTS).unwrap_or(&PRODUCTS[0]);
        let machine = Machine { world: world.clone(), chance, number, product, cached: None };
        if index < site.imaging {
            machines.spawn(image(machine, site.pause_ms));
        } else {
            machines.spawn(renew(machine));
        }
    }
    while let Some(done) = machines.join_next().await {
        done?;
    }
    Ok(())
}

/// An imaging machine: each request comes from a new machine, out of a pool larger than the cache limit.
async fn image(mut machine: Machine, pause_ms: u64) {
    let first = machine.number;
    while !machine.world.is_ending() {
        sleep(Duration::from_millis(machine.chance.within(1..pause_ms + 1))).await;
        machine.number = first + machine.chance.within(0..40) * 100;
        machine.product = machine.chance.pick(&PRODUCTS).copied().map_or(&PRODUCTS[0], |found| {
            PRODUCTS.iter().find(|product| product.name == found.name).unwrap_or(&PRODUCTS[0])
        });
        machine.ask().await;
    }
}

/// The lifecycle of a renewing machine: activation every two hours until it succeeds, then renewal every seven days
/// (R14).
async fn renew(mut machine: Machine) {
    let mut due = machine.world.true_time() + Duration::from_secs(machine.chance.within(0..7200));
    while !machine.world.is_ending() {
        sleep(Duration::from_millis(machine.chance.within(200..800))).await;
        if machine.world.true_time() < due {
            continue;
        }
        let minutes = match machine.ask().await {
            Came::Counted { renewal_minutes, is_activated: true, .. } => renewal_minutes,
            Came::Counted { activation_minutes, .. } => activation_minutes.min(120),
            Came::Refused | Came::Unanswered => 120,
        };
        due = machine.world.true_time() + Duration::from_secs(u64::from(minutes) * 60);
    }
}

impl Machine {
    /// Asks one host after the other until one answers.
    async fn ask(&mut self) -> Came {
        let up: Vec<_> = self.world.nodes_up().into_iter().collect();
        let mut hosts = self.chance.shuffled(up);
        if let Some(cached) = self.cached {
            hosts.sort_by_key(|host| *host != cached);
        }
        for host in hosts.into_iter().take(4) {
            match self.ask_host(host).await {
                Came::Unanswered => self.cached = None,
                came => {
                    self.cached = Some(host);
                    return came;
                }
            }
            if self.world.is_ending() {
                break;
            }
        }
        Came::Unanswered
    }

    fn request(&mut self) -> Request {
        let publisher = &self.world.publisher;
        let now_ms = START_MS + u64::try_from(self.world.true_time().as_millis()).unwrap_or(0);
        let nonce = (u128::from(self.chance.number()) << 64 | u128::from(self.chance.number())).to_be_bytes();
        Request {
            nonce,
            publisher: publisher.id,
            product: publisher.product_id(self.product),
            cmid: Cmid(u128::from(self.number).to_be_bytes()),
            machine: MachineDigest(self.number.to_be_bytes()),
            machine_name: format!("PC-{}", self.number).parse().expect("a machine name"),
            virtual_machine: false,
            license_status: LicenseStatus::OutOfBoxGrace,
            minutes_to_expiry: 0,
            client_time_ms: now_ms,
        }
    }

    async fn ask_host(&mut self, host: u64) -> Came {
        let request = self.request();
        let bytes = request.encode();
        let (asked, began) = (self.world.now(), self.world.true_time());
        let came = timeout(HOST_DEADLINE, exchange(host, &bytes)).await;
        let Ok(Ok((status, answer))) = came else { return Came::Unanswered };
        let answered = self.world.now();
        if status != Status::OK {
            let waited = self.world.true_time().saturating_sub(began);
            return self.not_counted(host, status, (asked, answered), waited);
        }
        self.world.served(host);
        let world = self.world.clone();
        let verified = verify_answer(&answer, &bytes, &world.publisher.trust, request.product);
        let body = match verified {
            Ok(verified) => verified.body,
            Err(error) => {
                world.violated("bad_answer", format_args!("a response of node {host} that the client accepts"), error);
                return Came::Refused;
            }
        };
        world.acknowledged(Acknowledgement {
            machine: u128::from(self.number),
            asked,
            answered,
            index: body.log_index,
            offset: body.offset,
            count: body.count,
        });
        let (activation_minutes, renewal_minutes) = (body.activation_interval_minutes, body.renewal_interval_minutes);
        Came::Counted { count: body.count, activation_minutes, renewal_minutes, is_activated: body.is_activated() }
    }

    /// Judges a refusal: a node that reports that it is ready must count, or refuse for a reason that lies with the
    /// machine.
    fn not_counted(
        &self,
        host: u64,
        status: Status,
        (asked, answered): (Duration, Duration),
        waited: Duration,
    ) -> Came {
        self.world.trace(format_args!("machine {:x} receives {status} from node {host}", self.number));
        if status == Status::CLOCK_SKEW && waited < SKEW_MAX / 2 && self.world.must_know_the_time() {
            let expected = "a machine whose clock is right is not refused for its clock";
            self.world.violated("right_clock_refused", expected, format_args!("node {host} responds {status}"));
        }
        if status != Status::HOST_UNAVAILABLE && status != Status::HOST_NOT_ACTIVATED {
            self.world.served(host);
            return Came::Refused;
        }
        let (ready, unserved) = self.world.node(host, |node| {
            // The time without service continues only where the requests followed each other without a gap.
            let before = node.unserved.filter(|(_, last)| asked <= *last + GAP_MAX);
            let since = before.map_or(asked, |(since, _)| since);
            node.unserved = Some((since, answered));
            (node.ready_since.filter(|ready| *ready < since), since)
        });
        if let Some(since) = ready.filter(|_| answered.saturating_sub(unserved) > UNSERVED_MAX) {
            let expected = format!("node {host}, ready since second {}, answers", since.as_secs());
            let found =
                format!("it responded {status}, and has counted no machine since second {}", unserved.as_secs());
            self.world.violated("ready_without_answer", expected, found);
        }
        Came::Unanswered
    }
}

async fn exchange(host: u64, request: &[u8]) -> std::io::Result<(Status, Vec<u8>)> {
    let mut stream = TcpStream::connect((network::host(host), CLIENTS_PORT)).await?;
    write_message(&mut stream, request).await?;
    let status = Status(stream.read_u32().await?);
    Ok((status, read_message(&mut stream).await?))
}

/// A node's answer to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Count(u32),
    Refused,
    Nothing,
}

/// Sends one request of a machine to one node.
pub(crate) async fn ask_once(world: World, number: u64, node: u64, seed: u64) -> Told {
    let chance = Chance::new(seed ^ u64::try_from(world.now().as_micros()).unwrap_or(0), "one request");
    let mut machine = Machine { world, chance, number, product: &PRODUCTS[0], cached: None };
    match machine.ask_host(node).await {
        Came::Counted { count, .. } => Told::Count(count),
        Came::Refused => Told::Refused,
        Came::Unanswered => Told::Nothing,
    }
}

/// Asks nodes as a machine does, whenever the simulation loop requests a probe.
pub(crate) async fn probe(world: World, seed: u64) -> turmoil::Result {
    loop {
        sleep(Duration::from_millis(500)).await;
        let Some(nodes) = world.probe_wanted() else { continue };
        let mut silent = Vec::new();
        for node in nodes {
            let chance = Chance::new(seed, &format!("probe of node {node}"));
            let number = 1_000_000 + node;
            let mut machine = Machine { world: world.clone(), chance, number, product: &PRODUCTS[0], cached: None };
            if matches!(machine.ask_host(node).await, Came::Unanswered) {
                silent.push(node);
            }
        }
        world.probed(silent);
    }
}
