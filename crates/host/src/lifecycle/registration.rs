//! Maintains the registry of keys: creates it where a cluster has none yet, makes this node follow it, and registers
//! this node's renewed certificate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use activation::state::{
    ClusterAuthority, Command, Holder, KeyDigest, Registration, Registry, Revocation, State, Whom,
};
use futures::future::try_join_all;
use replication::{ClusterView, Progress};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tonic::Status;
use transport::{Certificate, KnownKeys, PresentedIdentity, Subject, certificate_at, limits::AUTHORITY_OVERLAP};

use crate::{
    admin_service::Acting,
    credentials::{
        identity::Source,
        registered::{Registered, UnknownNode, registration},
    },
    limits::{PEER_CONNECT_TIMEOUT, REGISTRY_GRACE, REGISTRY_LOOK_INTERVAL, REGISTRY_WARNING_PAUSE, VOUCH_TIMEOUT},
    peers::node_client::NodeClient,
    tasks::{self, HostTask},
};

/// Maintains the registry of keys.
#[derive(Clone)]
pub(crate) struct Registrar {
    pub(crate) nodes: NodeClient,
    pub(crate) registered: Arc<Registered>,
    pub(crate) shown: Arc<PresentedIdentity>,
    pub(crate) source: Source,
}

/// Why a key is not registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRegistered {
    /// The node did not answer with a certificate.
    #[error(
        "no node answers at {address} ({source}): start node {node} (`quorate host run`), and check that its peer \
         address can be reached from here"
    )]
    NotSeen {
        /// The number of the node.
        node: u64,
        /// The peer address, HOST:PORT.
        address: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The certificate is from another authority, or from before the authority was replaced.
    #[error(
        "the node at {address} has no certificate of this cluster's authority. If node {node} got its certificate \
         before `quorate cluster authority rotate`, let it join again: empty its data folder, then `quorate host init \
         --join` with another token"
    )]
    OtherAuthority {
        /// The number of the node.
        node: u64,
        /// The peer address, HOST:PORT.
        address: String,
    },
    /// The certificate at the address belongs to another holder.
    #[error("at {address} there is {found}, not node {node}")]
    OtherNode {
        /// The number of the node that was expected.
        node: u64,
        /// The peer address, HOST:PORT.
        address: String,
        /// The subject that the certificate names.
        found: Subject,
    },
    /// The node at the address has another key than the caller that wants to be added.
    #[error("the node {node} at {address} has another key than the calling node")]
    OtherKey {
        /// The number of the node.
        node: u64,
        /// The peer address, HOST:PORT.
        address: String,
    },
    /// The certificate's serial number is not allowed in the registry.
    #[error("the serial number of the certificate of {0} is not valid")]
    Serial(Subject),
    /// The cluster refused the registration.
    #[error("{}", .0.message())]
    Refused(Status),
}

impl From<NotRegistered> for Status {
    fn from(why: NotRegistered) -> Self {
        match why {
            NotRegistered::Refused(status) => status,
            why => Self::failed_precondition(why.to_string()),
        }
    }
}

impl Registrar {
    /// Whether keys are registered in this cluster.
    pub(crate) fn registers(&self) -> bool {
        let format = self.nodes.replica().view(State::format);
        self.registered.is_own_authority() && format.registers_keys()
    }

    fn is_in_force(&self) -> bool {
        self.nodes.replica().view(|state| state.registry().is_in_force())
    }

    /// Registers every member with the key that it presents now, and `also`, in one entry. Does nothing where the
    /// registry is in force already.
    pub(crate) async fn take_over(&self, acting: &Acting<'_>, also: Option<&Certificate>) -> Result<(), NotRegistered> {
        if !self.registers() || self.is_in_force() {
            return Ok(());
        }
        let members = self.nodes.replica().cluster().members;
        let seen = members.iter().map(|(&node, member)| self.key_of(node, &member.address));
        let mut keys = try_join_all(seen).await?;
        if let Some(certificate) = also {
            keys.push(checked(certificate)?);
        }
        acting.propose(Command::Register { keys, renews: false }).await.map_err(NotRegistered::Refused)?;
        tracing::info!("from now on connections are accepted from registered keys only");
        Ok(())
    }

    /// Registers the key that the node at `address` presents.
    pub(crate) async fn register_node(
        &self,
        acting: &Acting<'_>,
        node: u64,
        address: &str,
    ) -> Result<(), NotRegistered> {
        if !self.registers() {
            return Ok(());
        }
        self.take_over(acting, None).await?;
        let key = self.key_of(node, address).await?;
        let known = self.nodes.replica().view(|state| state.registry().get(&key.0).cloned());
        if known.as_ref() != Some(&key.1) {
            acting
                .propose(Command::Register { keys: vec![key], renews: false })
                .await
                .map_err(NotRegistered::Refused)?;
        }
        Ok(())
    }

    /// Verifies that the node at `address` presents this key.
    pub(crate) async fn verify_key(&self, node: u64, address: &str, key: &KeyDigest) -> Result<(), NotRegistered> {
        if self.key_of(node, address).await?.0 == *key {
            Ok(())
        } else {
            Err(NotRegistered::OtherKey { node, address: address.to_owned() })
        }
    }

    async fn key_of(&self, node: u64, address: &str) -> Result<(KeyDigest, Registration), NotRegistered> {
        let certificate = if node == self.nodes.replica().identity().owner {
            self.shown.now().certificate().clone()
        } else {
            let seen = certificate_at(address, &self.shown, PEER_CONNECT_TIMEOUT).await;
            seen.map_err(|source| match source.kind() {
                std::io::ErrorKind::InvalidData => NotRegistered::OtherAuthority { node, address: address.to_owned() },
                _ => NotRegistered::NotSeen { node, address: address.to_owned(), source },
            })?
        };
        if certificate.subject != Subject::Node(node) {
            return Err(NotRegistered::OtherNode { node, address: address.to_owned(), found: certificate.subject });
        }
        checked(&certificate)
    }

    /// Registers a renewed certificate of this node for the key that is registered already.
    async fn register_renewed(&self) -> Result<(), NotRegistered> {
        let own = checked(self.shown.now().certificate())?;
        let known = self.nodes.replica().view(|state| state.registry().get(&own.0).cloned());
        let is_renewed = known.is_some_and(|known| known.holder == own.1.holder && known != own.1);
        if is_renewed && self.registers() {
            let acting = Acting::node(&self.nodes);
            acting
                .propose(Command::Register { keys: vec![own], renews: true })
                .await
                .map_err(NotRegistered::Refused)?;
        }
        Ok(())
    }

    /// Asks the other members about a node that this node's state does not hold. The node is accepted if some
    /// members know it by this key, and none by another.
    async fn ask_about(&self, unknown: UnknownNode) {
        let UnknownNode { node, key } = unknown;
        if self.nodes.replica().vouched_for(node, key, VOUCH_TIMEOUT).await {
            tracing::info!(
                node,
                "this node's state does not hold the caller's key yet; the other members have registered it"
            );
            self.registered.vouch(unknown);
        }
    }

    /// Maintains the registry, as long as the node runs.
    pub(crate) async fn keep(self, mut unknown: mpsc::Receiver<UnknownNode>) {
        let mut progress = self.nodes.replica().progress();
        let (mut seen, mut since, mut told, mut followed) = (None, Since::default(), None, None);
        loop {
            let index = progress.borrow_and_update().configuration_index;
            let registry = Some(self.nodes.replica().view(|state| state.registry().clone()));
            if seen != registry {
                if let (Some(registry), Some(known)) = (&registry, self.source.known()) {
                    recognise(known, registry);
                }
                seen = registry;
                self.registered.changed();
            }
            self.follow_authority(&mut followed).await;
            if let Err(why) = self.look(&mut since).await
                && told.is_none_or(|told: Instant| told.elapsed() >= REGISTRY_WARNING_PAUSE)
            {
                told = Some(Instant::now());
                tracing::warn!(%why, "could not update the registry of keys; retrying");
            }
            tokio::select! {
                changed = changed(&mut progress, index) => if !changed { return },
                asked = unknown.recv() => match asked {
                    Some(unknown) => self.ask_about(unknown).await,
                    None => return,
                },
                () = sleep(REGISTRY_LOOK_INTERVAL) => {}
            }
        }
    }

    /// Follows an authority that replaced the previous one, and stops trusting the previous one when the overlap has
    /// ended.
    async fn follow_authority(&self, followed: &mut Option<(ClusterAuthority, bool)>) {
        let replica = self.nodes.replica();
        let Some(authority) = replica.view(|state| state.authority().cloned()) else { return };
        let overlap_ms = u64::try_from(AUTHORITY_OVERLAP.as_millis()).unwrap_or(u64::MAX);
        let overlaps = replica.wall_ms() < authority.since_ms.saturating_add(overlap_ms);
        if followed.as_ref() == Some(&(authority.clone(), overlaps)) {
            return;
        }
        let (source, wanted) = (self.source.clone(), authority.clone());
        let work = move || {
            let is_changed = source.follow_authority(&wanted, overlaps)?;
            if is_changed { source.load().map(Some) } else { Ok(None) }
        };
        match tasks::blocking(HostTask::CertificateLoad, work).await {
            Ok(Ok(identity)) => {
                if let Some(identity) = identity {
                    self.shown.replace(identity);
                    tracing::info!("the cluster's authority has changed");
                }
                *followed = Some((authority, overlaps));
            }
            Ok(Err(why)) => tracing::error!(%why, "could not adopt the cluster's new authority; retrying"),
            Err(_) => {}
        }
    }

    /// Creates the registry in a cluster without one: at once where this node has just formed the cluster, otherwise
    /// by the leader, [`REGISTRY_GRACE`] after the format allows it. The delay lets the administrator who set the
    /// format register first, and so be in the registry.
    async fn look(&self, since: &mut Since) -> Result<(), NotRegistered> {
        let cluster = self.nodes.replica().cluster();
        if !self.registers() || self.is_in_force() {
            since.lacking = None;
            self.registered.set_formed_cluster(false);
            self.register_renewed().await?;
            self.note_joined(&cluster).await?;
            return self.shut_out_departed(&cluster, &mut since.departed).await;
        }
        let since = *since.lacking.get_or_insert_with(Instant::now);
        let is_due = cluster.leader == Some(cluster.node) && since.elapsed() >= REGISTRY_GRACE;
        if is_due || self.registered.has_formed_cluster() {
            self.take_over(&Acting::node(&self.nodes), None).await?;
        }
        Ok(())
    }
}

/// Waits until the configuration changes after the entry at `index`; `false` where the replica has ended.
async fn changed(progress: &mut watch::Receiver<Progress>, index: u64) -> bool {
    progress.wait_for(|progress| progress.configuration_index > index).await.is_ok()
}

impl Registrar {
    /// On the leader, ends the right to add itself for each node that is a member now.
    async fn note_joined(&self, cluster: &ClusterView) -> Result<(), NotRegistered> {
        if cluster.leader != Some(cluster.node) || !self.registers() {
            return Ok(());
        }
        let joined: Vec<_> = self.nodes.replica().view(|state| {
            let registry = state.registry();
            let members = registry.joining_nodes().filter(|(_, it)| cluster.members.contains_key(&it.node));
            let registered = members.filter_map(|(key, it)| {
                let registration = registry.get(key).filter(|known| known.holder == Holder::Node(it.node))?;
                Some((*key, registration.clone()))
            });
            registered.collect()
        });
        if joined.is_empty() {
            return Ok(());
        }
        let spent = Command::Register { keys: joined, renews: true };
        Acting::node(&self.nodes).propose(spent).await.map(drop).map_err(NotRegistered::Refused)
    }

    /// On the leader, revokes the keys of nodes that are not members: a node that left, and one whose addition
    /// failed. A node that may still add itself loses only its registration, and keeps that right.
    async fn shut_out_departed(
        &self,
        cluster: &ClusterView,
        departed: &mut BTreeMap<u64, Instant>,
    ) -> Result<(), NotRegistered> {
        if cluster.leader != Some(cluster.node) || !self.registers() {
            departed.clear();
            return Ok(());
        }
        let (registered, time_ms) = self.nodes.replica().view(|state| {
            let holders = state.registry().registrations().map(|(_, registration)| &registration.holder);
            let nodes = holders.filter_map(|holder| match holder {
                Holder::Node(node) => Some(*node),
                Holder::Person { .. } => None,
            });
            (nodes.collect::<BTreeSet<_>>(), state.time_ms().unwrap_or(0))
        });
        departed.retain(|node, _| registered.contains(node) && !cluster.members.contains_key(node));
        for node in registered.into_iter().filter(|node| !cluster.members.contains_key(node)) {
            let since = departed.entry(node).or_insert_with(Instant::now);
            if since.elapsed() >= REGISTRY_GRACE {
                let revocation = Revocation { whom: self.whom_to_shut_out(node), time_ms };
                let proposed = Acting::node(&self.nodes).propose(Command::Revoke(revocation)).await;
                proposed.map_err(NotRegistered::Refused)?;
            }
        }
        Ok(())
    }

    fn whom_to_shut_out(&self, node: u64) -> Whom {
        self.nodes.replica().view(|state| {
            let (registry, now_ms) = (state.registry(), state.expiry_ms().unwrap_or(0));
            let registered = registry.of_node(node);
            let joining = registered.filter(|(key, _)| registry.joining(key).is_some_and(|it| it.until_ms >= now_ms));
            joining.map_or(Whom::Node(node), |(_, registration)| Whom::Serial(registration.serial.clone()))
        })
    }
}

/// Since when a temporary condition has lasted.
#[derive(Default)]
struct Since {
    /// There is no registry although the format allows one.
    lacking: Option<Instant>,
    /// A registered node is not a member.
    departed: BTreeMap<u64, Instant>,
}

/// Recognises members and persons by their keys, whatever authority certified them. Recognises none while no
/// registry is in force.
fn recognise(known: &KnownKeys, registry: &Registry) {
    let is_in_force = registry.is_in_force();
    let registered = || registry.registrations().filter(|_| is_in_force);
    let nodes = registered().filter(|(_, it)| matches!(it.holder, Holder::Node(_)));
    let persons = registered().filter(|(_, it)| matches!(it.holder, Holder::Person { .. }));
    known.replace(nodes.map(|(key, _)| *key), persons.map(|(key, it)| (*key, it.ends_ms)));
}

fn checked(certificate: &Certificate) -> Result<(KeyDigest, Registration), NotRegistered> {
    registration(certificate).ok_or_else(|| NotRegistered::Serial(certificate.subject.clone()))
}
