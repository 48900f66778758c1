//! Acts of a caller on the cluster: each is recorded under the caller's name (see [`activation::audit`]).

use std::fmt::Display;

use activation::{
    audit::{Actor, Origin, shortened},
    coded::Coded,
    state::{Act, Command, Format, RequestId},
};
use replication::{ProposeError, Replica};
use tonic::{Code, Status};
use transport::Role;

use super::{
    audit_log::AUDIT_TARGET,
    caller::{self, Caller},
    request_ids::RequestIds,
    status::{propose_error, unavailable},
};
use crate::peers::node_client::NodeClient;

/// A caller that acts through this node.
pub(crate) struct Acting<'a> {
    pub(super) nodes: &'a NodeClient,
    pub(super) replica: &'a Replica,
    who: String,
    from: String,
    actor: Actor,
    /// True where the node acts by itself and not for an administrator.
    is_node: bool,
    ids: RequestIds,
}

impl<'a> Acting<'a> {
    /// The caller of this request. Error: the request id is malformed.
    pub(super) fn of<T>(nodes: &'a NodeClient, request: &tonic::Request<T>) -> Result<Self, Status> {
        let ids = RequestIds::of(request.metadata())?;
        let Caller { name, role, from, .. } = caller::of(request);
        let actor = match role {
            // On a node's own socket this is the role, too.
            Some(Role::Administrator) => Actor::Administrator,
            Some(_) | None => Actor::Other,
        };
        let who = match (name.as_str(), role) {
            ("", _) => "the bearer of a token".to_owned(),
            (_, Some(role)) => format!("{name} ({role})"),
            (_, None) => name,
        };
        Ok(Self { nodes, replica: nodes.replica(), who, from, actor, is_node: false, ids })
    }

    /// The node itself as the caller, for acts that no administrator requested.
    pub(crate) fn node(nodes: &'a NodeClient) -> Self {
        let replica = nodes.replica();
        let who = format!("node {}", replica.identity().owner);
        Self {
            nodes,
            replica,
            who,
            from: "itself".into(),
            actor: Actor::Other,
            is_node: true,
            ids: RequestIds::unrepeated(),
        }
    }

    /// A node that is not a member yet and adds itself; the token that it used is the consent.
    pub(super) fn joining(nodes: &'a NodeClient, node: u64, from: String) -> Self {
        let who = format!("node {node}, with a token");
        Self { who, from, ..Self::node(nodes) }
    }

    async fn origin(&self) -> Result<Origin, Status> {
        let point = self.replica.read_point().await.map_err(unavailable)?;
        let origin = Origin::new(&self.who, &self.from, point.cluster_time_ms);
        // Formats that do not hold codes (before format 3) have a single audit record.
        let codes = self.replica.view(|state| state.format().holds_codes());
        Ok(if codes { origin.by(self.actor) } else { origin })
    }

    fn is_recorded(&self) -> bool {
        self.replica.view(|state| state.format().holds_audit())
    }

    /// Proposes a command and waits until this node has applied it, so that the administrator's next request to this
    /// node sees the result.
    pub(crate) async fn propose(&self, command: Command) -> Result<u64, Status> {
        // The command that introduces the audit record is itself the first recorded act.
        let begins = command.sets_format().is_some_and(Format::holds_audit);
        let command = if begins || self.is_recorded() {
            Command::Audited { origin: self.origin().await?, act: Act::Command(Box::new(command)) }
        } else {
            command
        };
        let proposed = self.replica.propose_once(self.id_for(&command), &command).await;
        let act = command.act();
        match &proposed {
            Ok(index) => self.log_done(&act, Some(*index)),
            Err(why) => self.log_not_done(&act, why),
        }
        let index = proposed.map_err(propose_error)?;
        self.replica.wait_applied(index).await.map_err(unavailable)?;
        Ok(index)
    }

    /// Writes a line to the node's log, in addition to the replicated audit record.
    fn log_done(&self, act: &Coded, index: Option<u64>) {
        let Self { who, from, .. } = self;
        if self.is_node {
            tracing::info!(target: AUDIT_TARGET, who, from, %act, index, "the node's own act");
        } else {
            tracing::info!(target: AUDIT_TARGET, who, from, %act, index, "an administrator's act");
        }
    }

    fn log_not_done(&self, act: &Coded, why: &dyn Display) {
        let Self { who, from, .. } = self;
        if self.is_node {
            tracing::warn!(target: AUDIT_TARGET, who, from, %act, %why, "the node's own act was not done");
        } else {
            tracing::warn!(target: AUDIT_TARGET, who, from, %act, %why, "an administrator's act was not done");
        }
    }

    /// The id by which the entry of this command is applied at most once: derived from the caller's request id where
    /// the caller gave one, otherwise a new id.
    pub(super) fn id_for(&self, command: &Command) -> RequestId {
        self.ids.next(&self.who, command).unwrap_or_else(|| self.replica.request_id())
    }

    /// A secret that is the same in every repeat of this request; `None` where the caller gave no request id.
    pub(super) fn secret(&self) -> Option<[u8; 16]> {
        self.ids.secret(&self.who)
    }

    /// Performs an act that is not a command. The act is recorded before it begins, so that it never happens without
    /// a record. If it is refused, the refusal is recorded as a second entry.
    pub(super) async fn noted<T>(
        &self,
        act: Coded,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        self.note(&act, None).await?;
        self.log_done(&act, None);
        self.refusal_noted(act, work).await
    }

    /// Performs an act as [`Self::noted`] does, but performs it also where the cluster cannot commit the record.
    pub(super) async fn noted_if_possible<T>(
        &self,
        act: Coded,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        match self.note(&act, None).await {
            Ok(()) => self.log_done(&act, None),
            Err(why) => {
                tracing::error!(target: AUDIT_TARGET, who = self.who, from = self.from, %act, why = why.message(), "not recorded");
            }
        }
        self.refusal_noted(act, work).await
    }

    async fn refusal_noted<T>(&self, act: Coded, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let done = work.await;
        if let Err(refusal) = &done {
            // The audit record holds the refusal's status only; the node's log holds the reason.
            self.log_not_done(&act, &refusal.message());
            if let Err(why) = self.note(&act, Some(refusal)).await {
                tracing::error!(target: AUDIT_TARGET, who = self.who, from = self.from, %act, why = why.message(), "its refusal was not recorded");
            }
        }
        done
    }

    /// Records an act or an event that needs no further work.
    pub(super) async fn record(&self, what: &Coded) -> Result<(), Status> {
        self.note(what, None).await
    }

    /// Renames the caller to the name that it gave with a valid token.
    pub(super) fn bearing_token(&mut self, name: &dyn Display) {
        self.who = format!("{name}, with a token");
    }

    pub(super) fn from(&self) -> &str {
        &self.from
    }

    async fn note(&self, what: &Coded, refused: Option<&Status>) -> Result<(), Status> {
        if !self.is_recorded() {
            return Ok(());
        }
        let act = if self.replica.view(|state| state.format().holds_codes()) {
            Act::Noted { what: what.clone(), refused: refused.map(|status| number(status.code())) }
        } else {
            let refused = refused.map_or_else(String::new, |status| shortened(status.message()));
            Act::Note { act: shortened(&what.to_string()), refused }
        };
        let command = Command::Audited { origin: self.origin().await?, act };
        match self.replica.propose_once(self.id_for(&command), &command).await {
            Ok(_) => Ok(()),
            Err(ProposeError::Refused(why)) => Err(Status::internal(why)),
            Err(error) => Err(propose_error(error)),
        }
    }
}

fn number(code: Code) -> u32 {
    u32::try_from(i32::from(code)).unwrap_or(0)
}
