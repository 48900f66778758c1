//! Forwards DCE/RPC associations of foreign interfaces to upstream hosts, byte for byte (G1 to G12).
//!
//! A daemon's port for clients reads the first bind of each connection ([`FirstBytes`]). An association of the daemon's
//! own interface stays there; about any other it asks [`Gateway::admit`], and hands the connection to
//! [`Gateway::forward`]. The gateway connects to the group's preferred upstream, tries the next one only until a
//! bind_ack was passed on, and then passes every byte in both directions, with backpressure, half-closed sides and
//! deadlines kept. Beside the associations one task, [`Gateway::run`], probes upstreams with binds that no request
//! follows, resolves names, and sends requests to mirrors.
//!
//! The preference of all nodes is decided by the leader from the nodes' [`Gateway::report`]s with one [`Chooser`] for each
//! group; it is replicated by the caller, and told to each node by [`Gateway::set_preferred`].
//!
//! ```
//! use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};
//!
//! use gateway::{
//!     Accepted, Admission, Environment, FirstBytes, Gateway, Group, GroupName, LoopKey, Settings, Timeouts, Unobserved,
//!     Upstream,
//! };
//! use tokio::{
//!     io::{AsyncReadExt, AsyncWriteExt},
//!     net::{TcpListener, TcpStream},
//!     sync::watch,
//! };
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! // An upstream that acknowledges every bind: 12 is the type of bind_ack.
//! let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
//! let address = upstream.local_addr().unwrap();
//! let answering = async {
//!     let (mut stream, _) = upstream.accept().await.unwrap();
//!     let mut bind = [0; 72];
//!     stream.read_exact(&mut bind).await.unwrap();
//!     let mut ack = [0; 60];
//!     ack[..16].copy_from_slice(&[5, 0, 12, 3, 0x10, 0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0]);
//!     ack[28] = 1;
//!     stream.write_all(&ack).await.unwrap();
//! };
//!
//! let upstream = Upstream { address: address.to_string().parse().unwrap(), priority: 0, weight: 0, is_drained: false };
//! let group = Group { upstreams: vec![upstream], ..Group::default() };
//! let groups = BTreeMap::from([(GroupName::default_group(), group)]);
//! let settings = Settings::new(groups, None, Timeouts::default(), &BTreeSet::new()).unwrap();
//! let environment = Environment {
//!     names: Arc::new(gateway::DnsNames::new(discovery::Finder::system())),
//!     observer: Arc::new(Unobserved),
//!     is_member: Arc::new(|_| false),
//!     loop_key: LoopKey([7; 16]),
//!     seed: 1,
//! };
//! let gateway = Gateway::new(settings, environment);
//! let (_stop, stopping) = watch::channel(false);
//!
//! let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
//! let serving = async {
//!     let (mut stream, client) = port.accept().await.unwrap();
//!     let mut received = Vec::new();
//!     let bind = loop {
//!         stream.read_buf(&mut received).await.unwrap();
//!         match FirstBytes::read(&received) {
//!             FirstBytes::Incomplete => {}
//!             FirstBytes::Bind(bind) => break bind,
//!             FirstBytes::NoBind => panic!("not a bind"),
//!         }
//!     };
//!     let Admission::Forward(route) = gateway.admit(&bind, client.ip()) else { panic!("not forwarded") };
//!     let activity = transport::Activity::default();
//!     gateway.forward(route, Accepted { stream, client, bind, activity }, stopping).await
//! };
//!
//! let asking = async {
//!     let mut client = TcpStream::connect(port.local_addr().unwrap()).await.unwrap();
//!     let interface = uuid::uuid!("11111111-1e2f-4a6b-8c7d-9e0f1a2b3c4d");
//!     let bind = dcerpc::relay::probe(1, dcerpc::relay::SyntaxId { uuid: interface, major: 1, minor: 0 });
//!     client.write_all(&bind).await.unwrap();
//!     let mut ack = [0; 60];
//!     client.read_exact(&mut ack).await.unwrap();
//!     assert_eq!(ack[2], 12);
//! };
//! let (_, ending, ()) = tokio::join!(answering, serving, asking);
//! assert_eq!(ending, gateway::Ending::Finished);
//! # });
//! ```
//!
//! Deliberately absent: accepting connections and limiting them, the replicated settings and their commands, and any
//! vendor's interface.
//!
//! Invariant: never changes, keeps or makes up a byte of a request or an answer; never sends a request twice; an
//! association holds at most one bind and one answer to it, and later at most one read of each side ([`limits`]).

mod address;
mod association;
mod choice;
mod driver;
mod failure;
pub mod limits;
mod loops;
mod mirror;
pub mod proxy;
mod settings;

pub use address::{HostPort, MalformedAddress, UpstreamAddress};
pub use association::{
    ending::{Ending, Side},
    first_bind::{FirstBind, FirstBytes},
};
pub use choice::{
    health::{Health, State},
    order::candidates,
    preference::{Change, Chooser, GroupView, Reason, Report},
    target::{Rank, Target},
};
pub use driver::{
    environment::{Environment, IsMember},
    forward::Accepted,
    gateway::{Admission, Gateway, Route, Status, UpstreamStatus},
    names::{DnsNames, Found, Names, NotFound},
    observer::{AssociationEnd, MirrorOutcome, Observer, Unobserved, UpstreamId},
    upstreams::UpstreamCounts,
};
pub use failure::Failure;
pub use loops::LoopKey;
pub use mirror::session::MirrorEnd;
pub use settings::{Group, GroupName, PRIVATE_NETWORKS, Settings, SettingsError, Timeouts, Upstream};
