//! Access over the network: every call of the administration and of the peer service, by every kind of caller. And
//! enrolment: a token works once, and not after its time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::{
    admin::v1::{EnrollRequest, admin_client::AdminClient},
    peer::v1::{IdentifyReply, IdentifyRequest, peer_client::PeerClient},
};
use quorate_tests::{Cluster, Finished, Plan, Process, Quorate, TIMEOUT, eventually, free_port, page, value, words};
use tokio::time::{Instant, timeout};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use transport::{
    Authority, Connector, Folder, Identity, PresentedIdentity, Role, SigningRequest, Subject, connector, pinned,
};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const DENIED: &str = "0x80070005: access denied";
const NO_CONNECTION: &str = "no connection";
const DAY: Duration = Duration::from_secs(86_400);

/// Calls that a reader may make. An operator may make further calls; all other calls need an administrator.
const READER: [&str; 15] = [
    "RenewCertificate",
    "Count",
    "ClusterStatus",
    "ShowCatalogs",
    "ListKeys",
    "GetSettings",
    "DnsStatus",
    "GatewayStatus",
    "DnsZone",
    "Audit",
    "Examine",
    "CountedIn",
    "Duplicates",
    "Events",
    "ConsoleTicket",
];
const OPERATOR: [&str; 3] = ["TransferLeader", "Drain", "Backup"];

#[expect(clippy::disallowed_methods, reason = "certificates are verified by the clock of this machine")]
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The names of all calls of a service, from the proto files.
fn calls(file: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let descriptors = protox::compile([file], [folder]).unwrap();
    let file = descriptors.file.iter().find(|known| known.name() == file).unwrap();
    let service = &file.service[0];
    let path = |call: &str| format!("/{}.{}/{call}", file.package(), service.name());
    let calls: Vec<_> = service.method.iter().map(|method| path(method.name())).collect();
    assert!(calls.len() > 5);
    calls
}

/// A cluster with its authority, another authority, and callers with certificates of either.
struct World {
    cluster: Cluster,
    authority: Authority,
    other: Authority,
}

impl World {
    async fn of(nodes: u8) -> Self {
        let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(nodes)).await;
        cluster.form().await;
        eventually("keys must be registered", async || {
            let registry = cluster.administrate(1, &words!["cluster", "revoke", "--list"]).await;
            (registry["in_force"] == true).then_some(())
        })
        .await;
        let authority = Folder::at(&cluster.node(1).data.join("tls")).authority().unwrap();
        Self { cluster, authority, other: Authority::create(now_ms()).unwrap() }
    }

    /// A caller with a certificate of `authority` that is valid for a day from `now_ms`; the caller trusts this
    /// cluster.
    fn shows(&self, authority: &Authority, subject: &Subject, now_ms: u64) -> Connector {
        let (certificate, key) = authority.issue_with_key(subject, now_ms, DAY).unwrap();
        let believed = format!("{}{}", authority.certificate_pem(), self.authority.certificate_pem());
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), believed.as_bytes()).unwrap();
        connector(Arc::new(PresentedIdentity::new(identity)), TIMEOUT)
    }

    /// A person who enrolled with a token.
    async fn person(&self, role: Role) -> Connector {
        let token: transport::Token = self.token(role.name(), "1h").await.parse().unwrap();
        let (request, key) = SigningRequest::create().unwrap();
        let pinned = pinned(token.authority(), TIMEOUT).unwrap();
        let mut admin = AdminClient::new(channel(&pinned, self.cluster.node(1).admin).await.unwrap());
        let secret = token.secret().to_vec().into();
        let asked = EnrollRequest { secret, request: request.into(), name: "Ada".into(), ..EnrollRequest::default() };
        let reply = admin.enroll(asked).await.unwrap().into_inner();
        let (certificate, authority) = (reply.certificate.as_bytes(), reply.authority.as_bytes());
        let identity = Identity::from_pem(certificate, key.as_bytes(), authority).unwrap();
        connector(Arc::new(PresentedIdentity::new(identity)), TIMEOUT)
    }

    /// A member, with the certificate and key in its folder.
    fn node(&self, number: u64) -> Connector {
        let identity = Folder::at(&self.cluster.node(number).data.join("tls")).identity().unwrap();
        connector(Arc::new(PresentedIdentity::new(identity)), TIMEOUT)
    }

    /// Callers that no call may serve: among them an administrator of another cluster, and one whose certificate has
    /// expired.
    fn strangers(&self) -> [(&'static str, Connector); 7] {
        let boss = Subject::person("Eve", Role::Administrator).unwrap();
        let long_ago = now_ms() - 3 * u64::try_from(DAY.as_millis()).unwrap();
        [
            ("no certificate", pinned(self.authority.fingerprint(), TIMEOUT).unwrap()),
            // A stolen key of the authority can certify any caller, but their keys are not registered.
            ("an administrator of a stolen authority", self.shows(&self.authority, &boss, now_ms())),
            ("a node of a stolen authority", self.shows(&self.authority, &Subject::Node(1), now_ms())),
            ("an expired administrator", self.shows(&self.authority, &boss, long_ago)),
            ("an expired node", self.shows(&self.authority, &Subject::Node(1), long_ago)),
            ("another cluster's administrator", self.shows(&self.other, &boss, now_ms())),
            ("another cluster's node", self.shows(&self.other, &Subject::Node(1), now_ms())),
        ]
    }

    fn peers(&self, node: u64) -> SocketAddr {
        let config = std::fs::read_to_string(&self.cluster.node(node).config).unwrap();
        let section = config.split_once("[peers]").unwrap().1;
        let line = section.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap();
        line.trim_matches('"').parse().unwrap()
    }

    async fn command(&self, words: &[std::ffi::OsString]) -> Finished {
        let quorate = Quorate::at(QUORATE);
        let mut command = quorate.command(words);
        command.env("XDG_CONFIG_HOME", self.cluster.path("config"));
        let output = timeout(TIMEOUT, command.output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    async fn token(&self, role: &str, valid: &str) -> String {
        let made = self.cluster.administrate(1, &words!["cluster", "token", "--role", role, "--valid", valid]).await;
        made["token"].as_str().unwrap().to_owned()
    }

    async fn login(&self, token: &str, context: &str) -> Finished {
        let address = self.cluster.node(1).admin.to_string();
        self.command(&words!["cluster", "login", address, "--token", token, "--as", "Ada", "--context", context]).await
    }
}

/// Connects, and makes the call with an empty message.
async fn call(connector: &Connector, address: SocketAddr, path: &str, from: Option<&str>) -> Result<(), Status> {
    let work = async {
        let channel = channel(connector, address).await?;
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|_| Status::unknown(NO_CONNECTION))?;
        let mut request = Request::new(());
        if let Some(from) = from {
            request.metadata_mut().insert(replication::FROM, from.parse().unwrap());
        }
        let path: PathAndQuery = path.parse().unwrap();
        grpc.unary(request, path, ProstCodec::<(), ()>::default()).await.map(drop)
    };
    timeout(TIMEOUT, work).await.unwrap()
}

/// A refused connection gives an error status without a call.
async fn channel(connector: &Connector, address: SocketAddr) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect_with_connector(connector.clone()).await;
    channel.map_err(|_| Status::unknown(NO_CONNECTION))
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Whether the caller was refused by TLS before a request could be sent, or by the service with exactly these words.
fn is_shut_out(outcome: &Result<(), Status>) -> bool {
    match outcome {
        Ok(()) => false,
        Err(status) if status.code() == Code::PermissionDenied => status.message().starts_with(DENIED),
        // A status from the service has no source; a source means that this side detected a broken connection.
        Err(status) => status.source().is_some() || status.message() == NO_CONNECTION,
    }
}

#[tokio::test]
async fn r37_a_stranger_reaches_no_call_of_the_administration_and_others_those_of_their_role() {
    let world = World::of(3).await;
    let admin = world.cluster.node(1).admin;
    let calls = calls("admin.proto");
    for (who, connector) in world.strangers() {
        for path in &calls {
            let outcome = call(&connector, admin, path, None).await;
            assert!(is_shut_out(&outcome), "{who}, {path}: {outcome:?}");
        }
    }
    let node = world.node(2);
    for path in &calls {
        let outcome = call(&node, admin, path, None).await;
        assert_eq!(outcome.as_ref().unwrap_err().code(), Code::PermissionDenied, "a node, {path}: {outcome:?}");
    }
    for role in Role::ALL {
        let connector = world.person(role).await;
        // A drained node would stop, so the next test covers that call.
        for path in calls.iter().filter(|path| !matches!(name(path), "Drain" | "Enroll")) {
            let least = match name(path) {
                call if READER.contains(&call) => Role::Reader,
                call if OPERATOR.contains(&call) => Role::Operator,
                _ => Role::Administrator,
            };
            let denied = call(&connector, admin, path, None).await.err().filter(|s| s.code() == Code::PermissionDenied);
            // The call that installs a catalog refuses an empty `trust` with the same code.
            let denied = denied.filter(|status| status.message().starts_with(DENIED));
            assert_eq!(denied.is_none(), role >= least, "{role}, {path}: {denied:?}");
        }
    }
}

#[tokio::test]
async fn r37_a_stranger_reaches_no_call_between_nodes_and_a_node_only_as_itself() {
    let world = World::of(3).await;
    let (peers, calls) = (world.peers(1), calls("peer.proto"));
    let mut people = Vec::new();
    for role in Role::ALL {
        people.push((role.name(), world.person(role).await));
    }
    for (who, connector) in world.strangers().into_iter().chain(people) {
        for path in &calls {
            let outcome = call(&connector, peers, path, Some("1")).await;
            assert!(is_shut_out(&outcome), "{who}, {path}: {outcome:?}");
        }
    }
    let node = world.node(2);
    for path in &calls {
        let disguised = call(&node, peers, path, Some("1")).await;
        assert!(is_shut_out(&disguised), "node 2 as node 1, {path}: {disguised:?}");
        // The node is accepted but has not shown the identity of its store, so every call except Identify asks for
        // that first.
        let itself = call(&node, peers, path, Some("2")).await;
        let expected = (name(path) != "Identify").then_some(Code::Unauthenticated);
        assert_eq!(itself.err().map(|status| status.code()), expected, "{path}");
    }
}

#[tokio::test]
async fn r37_whoever_may_not_is_told_which_role_it_takes() {
    let world = World::of(1).await;
    let token = world.token("reader", "1h").await;
    let login = world.login(&token, "lab").await;
    assert_eq!(login.code, Some(0), "{}", login.stderr);
    let address = world.cluster.node(1).admin.to_string();
    for place in ["lab", &address] {
        let looked = world.command(&words!["cluster", "status", "--admin", place]).await;
        assert_eq!(looked.code, Some(0), "{}", looked.stderr);
        for (command, role) in [("drain", "operator"), ("token", "administrator")] {
            let area = if command == "drain" { "host" } else { "cluster" };
            let refused = world.command(&words![area, command, "--admin", place]).await;
            let expected = format!("{DENIED}: this needs the role {role}, and the certificate of Ada is a reader's");
            assert_eq!(refused.code, Some(1));
            assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
        }
    }
    for name in ["lab.key", "lab.pem", "lab.toml", "lab.authority.pem"] {
        use std::os::unix::fs::PermissionsExt;
        let file = world.cluster.path("config").join("quorate/contexts").join(name);
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let nowhere = world.command(&words!["cluster", "status", "--admin", "another"]).await;
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("no context named \"another\" is saved"), "{}", nowhere.stderr);
}

#[tokio::test]
async fn a_token_makes_one_somebody_once_and_not_after_its_time() {
    let world = World::of(3).await;
    let token = world.token("operator", "1h").await;
    assert_eq!(world.login(&token, "first").await.code, Some(0));
    let short = world.token("operator", "1s").await;
    let began = Instant::now();
    eventually("its time is over", async || (began.elapsed() > Duration::from_secs(2)).then_some(())).await;
    let of_another = transport::Token::create(world.other.fingerprint()).unwrap();
    let unknown = transport::Token::create(world.authority.fingerprint()).unwrap();
    let for_a_node = world.token("node", "1h").await;
    for (token, why) in [
        (token.as_str(), "it was used already"),
        (&short, "the token has expired"),
        (&unknown.text(), "the cluster knows no such token"),
        (&of_another.text(), "the server's certificate was not issued by the authority of the saved cluster"),
        (&for_a_node, "quorate host init --join"),
    ] {
        let refused = world.login(token, "second").await;
        assert_eq!(refused.code, Some(1), "{why}");
        assert!(refused.stderr.contains(why), "{why}: {}", refused.stderr);
    }
    let nonsense = world.login("quorate-join-1.x", "second").await;
    assert_eq!(nonsense.code, Some(2), "{}", nonsense.stderr);
}

#[tokio::test]
async fn wrong_tokens_are_limited_counted_and_recorded_and_a_person_is_recorded_by_name() {
    let world = World::of(1).await;
    let token = world.token("reader", "1h").await;
    let file = world.cluster.path("token.txt");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let address = world.cluster.node(1).admin.to_string();
    let login = words!["cluster", "login", &address, "--token-file", &file, "--as", "Ada", "--context", "ada"];
    let logged_in = world.command(&login).await;
    assert_eq!(logged_in.code, Some(0), "{}", logged_in.stderr);

    for _ in 0..10 {
        let refused = world.login(&token, "second").await;
        assert!(refused.stderr.contains("it was used already"), "{}", refused.stderr);
    }
    let limited = world.login(&token, "second").await;
    assert_eq!(limited.code, Some(1));
    assert!(limited.stderr.contains("10 tokens from 127."), "{}", limited.stderr);

    let (status, metrics) = page(world.cluster.node(1).metrics, "/metrics").await.unwrap();
    assert_eq!((status, value(&metrics, "quorate_enrolments_refused_total")), (200, Some(11.0)));
    // The first refusal is recorded at once; the refusals of the following minute are recorded together at its end.
    let entries = eventually("they are recorded", async || {
        let audit = world.cluster.administrate(1, &words!["cluster", "audit", "--all"]).await;
        let entries: Vec<_> = audit["entries"].as_array().unwrap().clone();
        entries.iter().any(|entry| entry["act"] == "refuse 1 join tokens").then_some(entries)
    })
    .await;
    let of = |act: &str| entries.iter().filter(|entry| entry["act"].as_str().unwrap().starts_with(act)).count();
    assert_eq!(of("refuse "), 1, "{entries:?}");
    let enrolled = entries.iter().find(|entry| entry["act"] == "enrol Ada as reader").unwrap();
    assert_eq!(enrolled["who"], "Ada (reader), with a token");
    let said = world.cluster.said(1);
    for line in ["a join token was refused from=", "an administrator's act who="] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[tokio::test]
async fn what_a_node_keeps_is_its_accounts_alone_whatever_rights_it_had_before() {
    use std::os::unix::fs::PermissionsExt;
    fn shared(folder: &Path) -> Vec<PathBuf> {
        let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode();
        let mut found: Vec<_> =
            Some(folder.to_owned()).filter(|folder| mode(folder) & 0o077 != 0).into_iter().collect();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(shared(&path));
            } else if mode(&path) & 0o077 != 0 {
                found.push(path);
            }
        }
        found
    }
    let mut world = World::of(1).await;
    let data = world.cluster.node(1).data.clone();
    assert_eq!(shared(&data), Vec::<PathBuf>::new(), "a node makes its files for its own account");
    let config = std::fs::metadata(&world.cluster.node(1).config).unwrap().permissions().mode() & 0o777;
    assert_eq!(config, 0o644, "a configuration holds no secret");

    assert_eq!(world.cluster.stop(1).await, Some(0));
    for (path, mode) in [(data.clone(), 0o755), (data.join("store"), 0o755), (data.join("tls/node.key"), 0o644)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    world.cluster.start(1);
    world.cluster.led(1).await;
    assert_eq!(shared(&data), Vec::<PathBuf>::new());
    let said = world.cluster.said(1);
    assert!(said.contains("other accounts of this machine could read the data folder"), "{said}");
}

#[tokio::test]
async fn a_password_keeps_the_key_of_a_context() {
    let world = World::of(1).await;
    let token = world.token("reader", "1h").await;
    let quorate = Quorate::at(QUORATE);
    let run = async |words: &[std::ffi::OsString], password: &str| {
        let mut command = quorate.command(words);
        command.env("XDG_CONFIG_HOME", world.cluster.path("config")).env("QUORATE_CONTEXT_PASSWORD", password);
        timeout(TIMEOUT, command.output()).await.unwrap().unwrap()
    };
    let address = world.cluster.node(1).admin.to_string();
    let login = words!["cluster", "login", &address, "--token", token, "--as", "Ada", "--password"];
    assert!(run(&login, "correct horse").await.status.success());
    let key = std::fs::read_to_string(world.cluster.path("config").join("quorate/contexts/default.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    // Another token does not replace the saved context.
    let another = world.token("reader", "1h").await;
    let replace = words!["cluster", "login", &address, "--token", another, "--as", "Ada"];
    let refused = run(&replace, "").await;
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"));
    let file = world.cluster.path("config").join("quorate/contexts/default.key");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    let status = words!["cluster", "status", "--admin", "default"];
    assert!(run(&status, "correct horse").await.status.success());
    for wrong in ["battery staple", ""] {
        let refused = run(&status, wrong).await;
        assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("password"));
    }
    // The refused command did not spend the token.
    assert!(run(&[&replace[..], &words!["--force"]].concat(), "").await.status.success());
    assert!(run(&status, "").await.status.success(), "the new one has no password");
}

async fn identify(connector: &Connector, address: SocketAddr) -> Option<IdentifyReply> {
    let mut peer = PeerClient::new(channel(connector, address).await.ok()?);
    Some(peer.identify(IdentifyRequest {}).await.ok()?.into_inner())
}

#[tokio::test]
async fn a_node_that_joins_with_a_token_gets_a_number_and_a_certificate_and_starts() {
    let world = World::of(1).await;
    let first = world.cluster.node(1).admin.to_string();
    let loopback = world.cluster.loopback();
    // The second number stays assigned, although no node with it has started yet.
    for (name, expected) in [("two", 2), ("three", 3)] {
        let token = world.token("node", "1h").await;
        let (config, data) = (world.cluster.path(&format!("{name}.toml")), world.cluster.path(name));
        let [clients, peers, admin] = [(); 3].map(|()| free_port(loopback.address(expected)));
        let init = words![
            "host",
            "init",
            "--json",
            "--config",
            &config,
            "--data",
            &data,
            "--join",
            &first,
            "--token",
            &token,
            "--clients-listen",
            clients.to_string(),
            "--peers-listen",
            peers.to_string(),
            "--admin-listen",
            admin.to_string(),
            "--metrics-listen",
            "off",
        ];
        let joined = world.command(&init).await;
        assert_eq!(joined.code, Some(0), "{}", joined.stderr);
        assert_eq!(joined.json()["node"], expected);
        assert!(!data.join("tls/authority.key").exists(), "a join hands the authority's key to no node");
        // The node does not add itself in this test.
        std::fs::remove_file(data.join("joining.toml")).unwrap();
        let mut command = Quorate::at(QUORATE).command(words!["host", "run", "--config", &config]);
        let mut process = Process::start(&mut command, &world.cluster.path(&format!("{name}.log")));
        let node = world.node(1);
        let reply = eventually("the node answers its peers", async || identify(&node, peers).await).await;
        assert_eq!((reply.node, reply.initialised), (u64::from(expected), false));
        process.terminate();
        assert!(process.end().await.success());
    }
    let token = world.token("node", "1h").await;
    let taken = words![
        "host",
        "init",
        "--config",
        world.cluster.path("taken.toml"),
        "--data",
        world.cluster.path("taken"),
        "--node",
        "1",
        "--join",
        &first,
        "--token",
        token,
    ];
    let refused = world.command(&taken).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("node 1 is a member already"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_node_renews_its_certificate_by_itself_before_it_ends() {
    const LIFETIME: Duration = Duration::from_secs(6);
    let mut world = World::of(1).await;
    assert_eq!(world.cluster.stop(1).await, Some(0));
    let tls = Folder::at(&world.cluster.node(1).data.join("tls"));
    let key = tls.node_key().unwrap();
    let certificate = world.authority.renew(&Subject::Node(1), &key, now_ms(), LIFETIME).unwrap();
    let ends_ms = now_ms() + u64::try_from(LIFETIME.as_millis()).unwrap();
    tls.renew_node(&certificate).unwrap();
    world.cluster.set_variable(1, "QUORATE_TEST_CERTIFICATE_LIFETIME_S", LIFETIME.as_secs().to_string());
    world.cluster.start(1);
    let peers = world.peers(1);
    // A longer certificate for the key that the cluster knows.
    let longer = world.authority.renew(&Subject::Node(1), &key, now_ms(), DAY).unwrap();
    let authority = world.authority.certificate_pem();
    let identity = Identity::from_pem(longer.as_bytes(), key.as_bytes(), authority.as_bytes()).unwrap();
    let node = connector(Arc::new(PresentedIdentity::new(identity)), TIMEOUT);
    eventually("the node answers", async || identify(&node, peers).await).await;
    eventually("the first certificate is over", async || (now_ms() > ends_ms).then_some(())).await;
    assert!(identify(&node, peers).await.is_some(), "a new connection, after the end of the first certificate");
    assert!(tls.identity().unwrap().ends_ms() > ends_ms);
    assert_eq!(*tls.node_key().unwrap(), *key, "by its key the cluster knows it");
}
