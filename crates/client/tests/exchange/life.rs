//! How events and status report the loss of a license state: an expired grace period, hardware out of tolerance.

use std::fs;
use std::net::SocketAddr;

use activation::lifecycle::LicenseState;
use activation::message::{AnswerBody, ValidRequest, sign_answer};
use activation::status::Status;
use client::{Client, Event, Options};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::hosts::{Reply, activation, serve};
use crate::world::{GROUP_CLIENT, Publisher, THRESHOLD, body};

const SETUP_KEY: &str = "P2G7F-PE64X-4W6Y2-EA7W3-NR56K";
const DAY_S: u64 = 24 * 60 * 60;

/// A machine's root folder, in which its uptime and its hardware can be changed.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        root.write("proc/sys/kernel/random/boot_id", "11111111-2222-4333-8444-555555555555");
        root.runs_for(1000);
        root.has_hardware("0123456789abcdef0123456789abcdef", "board one");
        root
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn runs_for(&self, seconds: u64) {
        self.write("proc/uptime", &format!("{seconds}.00 0.00"));
    }

    fn has_hardware(&self, machine_id: &str, board: &str) {
        self.write("etc/machine-id", machine_id);
        self.write("sys/class/dmi/id/board_name", board);
    }

    fn client(&self, publisher: &Publisher, host: SocketAddr) -> Client {
        let options = Options { root: self.0.path().to_owned(), ..Options::default() };
        let mut client = Client::open(&self.0.path().join("state"), publisher.trust(), options).unwrap();
        client.install_key(SETUP_KEY.parse().unwrap(), None).unwrap();
        client.set_host(host.to_string().parse().unwrap()).unwrap();
        client
    }
}

/// An address on which no process listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A host whose count equals the threshold.
async fn host(publisher: &Publisher) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = publisher.node(GROUP_CLIENT);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, activation(), |request| {
                let body = AnswerBody { cluster_time_ms: client::time_ms(), ..body(THRESHOLD) };
                let digest = ValidRequest::decode(request).unwrap();
                Reply::Answer(sign_answer(&body, &node.certificate, &node.key, digest.digest()))
            })
            .await;
        }
    });
    address
}

/// The next change of state: before, after, and its reason.
async fn next_change(client: &mut Client) -> (LicenseState, LicenseState, Option<Status>) {
    loop {
        let event = client.next().await;
        if let Event::StateChanged { before, after, reason } = event {
            assert_eq!(event.status(), reason);
            return (before, after, reason);
        }
    }
}

#[tokio::test]
async fn r15_a_grace_period_that_expires_is_told_with_its_code_also_where_no_host_answers() {
    let (root, publisher) = (Root::new(), Publisher::new(1));
    let mut client = root.client(&publisher, closed_port().await);
    let attempt = client.activate().await.unwrap();
    assert_eq!((attempt.status.standing.state, attempt.status.reason), (LicenseState::OutOfBoxGrace, None));

    root.runs_for(1000 + 31 * DAY_S);
    let expired = Some(Status(0xC004_F009));
    assert_eq!(next_change(&mut client).await, (LicenseState::OutOfBoxGrace, LicenseState::Notification, expired));
    let status = client.status().unwrap();
    assert_eq!((status.standing.state, status.reason), (LicenseState::Notification, expired));
    assert_eq!(status.standing.last_status, Some(Status::NO_HOST_REACHED), "what the attempt came to is its own field");
}

#[tokio::test]
async fn r23_hardware_that_leaves_tolerance_is_told_with_its_code_and_its_grace_expires() {
    let (root, publisher) = (Root::new(), Publisher::new(1));
    let mut client = root.client(&publisher, host(&publisher).await);
    let licensed = client.activate().await.unwrap().status;
    assert_eq!((licensed.standing.state, licensed.reason), (LicenseState::Licensed, None));

    client.set_host(closed_port().await.to_string().parse().unwrap()).unwrap();
    root.has_hardware("fedcba9876543210fedcba9876543210", "board two");
    let out_of_tolerance = Some(Status(0xC004_F00F));
    let changed = loop {
        let event = client.next().await;
        if matches!(event, Event::HardwareChanged { was_licensed: true }) {
            break event.status();
        }
    };
    assert_eq!(changed, out_of_tolerance);
    let change = next_change(&mut client).await;
    assert_eq!(change, (LicenseState::Licensed, LicenseState::OutOfToleranceGrace, out_of_tolerance));
    assert_eq!(client.status().unwrap().reason, out_of_tolerance);

    root.runs_for(1000 + 31 * DAY_S);
    let expired = Some(Status(0xC004_F009));
    let change = next_change(&mut client).await;
    assert_eq!(change, (LicenseState::OutOfToleranceGrace, LicenseState::Notification, expired));
    assert_eq!(client.status().unwrap().reason, expired);
}
