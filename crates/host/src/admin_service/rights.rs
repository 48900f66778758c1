//! Access rights: one table of calls and roles, and the service that enforces it before a request is decoded.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::Either;
use replication::Clock;
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};
use transport::Role;

use super::{audit_log::AUDIT_TARGET, caller::Caller, status::ACCESS_DENIED};
use crate::{credentials::registered::Registered, environment::SystemClock};

/// The least role for each call; `None`: the call needs no certificate.
pub(super) const RIGHTS: &[(&str, Option<Role>)] = &[
    ("Count", Some(Role::Reader)),
    ("ClusterStatus", Some(Role::Reader)),
    ("ShowCatalogs", Some(Role::Reader)),
    ("ListKeys", Some(Role::Reader)),
    ("GetSettings", Some(Role::Reader)),
    ("DnsStatus", Some(Role::Reader)),
    ("GatewayStatus", Some(Role::Reader)),
    ("DnsZone", Some(Role::Reader)),
    ("Audit", Some(Role::Reader)),
    ("Events", Some(Role::Reader)),
    ("CountedIn", Some(Role::Reader)),
    ("Duplicates", Some(Role::Reader)),
    ("Examine", Some(Role::Reader)),
    ("ConsoleTicket", Some(Role::Reader)),
    ("RenewCertificate", Some(Role::Reader)),
    ("TransferLeader", Some(Role::Operator)),
    ("Drain", Some(Role::Operator)),
    ("Backup", Some(Role::Operator)),
    ("AddNode", Some(Role::Administrator)),
    ("RemoveNode", Some(Role::Administrator)),
    ("PromoteNode", Some(Role::Administrator)),
    ("RejoinNode", Some(Role::Administrator)),
    ("Clock", Some(Role::Administrator)),
    ("InstallCatalog", Some(Role::Administrator)),
    ("InstallKey", Some(Role::Administrator)),
    ("RequestActivation", Some(Role::Administrator)),
    ("InstallActivation", Some(Role::Administrator)),
    ("ReleaseActivation", Some(Role::Administrator)),
    ("ChangeSettings", Some(Role::Administrator)),
    ("DnsSettle", Some(Role::Administrator)),
    ("SetFormat", Some(Role::Administrator)),
    ("CreateToken", Some(Role::Administrator)),
    ("ListTokens", Some(Role::Administrator)),
    ("RevokeToken", Some(Role::Administrator)),
    ("Revoke", Some(Role::Administrator)),
    ("Registry", Some(Role::Administrator)),
    ("RotateAuthority", Some(Role::Administrator)),
    ("CertifyNode", Some(Role::Administrator)),
    ("Enroll", None),
];

/// The administration service behind the table of rights.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    pub(super) service: S,
    pub(super) registered: Arc<Registered>,
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<http::Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let caller = Caller::of(request.extensions(), SystemClock::default().wall_ms(), &self.registered);
        let call = request.uri().path().rsplit('/').next().unwrap_or_default();
        match admit(call, &caller) {
            Ok(()) => {
                request.extensions_mut().insert(caller);
                Either::Left(self.service.call(request))
            }
            Err(why) => {
                tracing::warn!(target: AUDIT_TARGET, %caller, call, "an administrator's call was refused");
                Either::Right(ready(Ok(Status::from(why).into_http())))
            }
        }
    }
}

/// Refusal of a call that the caller's role does not allow. The message begins with the status [`ACCESS_DENIED`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{ACCESS_DENIED}: this needs the role {needed}, and {caller}")]
pub(super) struct AccessDenied {
    needed: Role,
    /// The caller as it is known, worded as the end of a sentence.
    caller: String,
}

impl From<AccessDenied> for Status {
    fn from(denied: AccessDenied) -> Self {
        Self::permission_denied(denied.to_string())
    }
}

/// Checks the caller's role. A call that is not in the table needs the role administrator.
pub(super) fn admit(call: &str, caller: &Caller) -> Result<(), AccessDenied> {
    let least = match RIGHTS.iter().find(|(name, _)| *name == call) {
        Some((_, None)) => return Ok(()),
        Some((_, Some(least))) => *least,
        None => Role::Administrator,
    };
    let caller = match caller.role {
        Some(role) if role >= least => return Ok(()),
        Some(role) => format!("the certificate of {} is {} {role}'s", caller.name, article(role)),
        None if caller.not_let_in.is_some() => caller.not_let_in.map_or_else(String::new, |why| why.to_string()),
        None if caller.name.is_empty() => "the caller presented no valid certificate of this cluster".to_owned(),
        None => format!("the certificate of {} is a node's", caller.name),
    };
    Err(AccessDenied { needed: least, caller })
}

fn article(role: Role) -> &'static str {
    match role {
        Role::Reader => "a",
        Role::Operator | Role::Administrator => "an",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PROTO: &str = include_str!("../../../../proto/admin.proto");

    fn calls() -> BTreeSet<&'static str> {
        let lines = PROTO.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
        lines.filter_map(|line| line.split('(').next()).collect()
    }

    #[test]
    fn the_table_holds_every_call_once_and_no_other() {
        let listed: BTreeSet<_> = RIGHTS.iter().map(|(call, _)| *call).collect();
        assert_eq!(listed, calls());
        assert_eq!(listed.len(), RIGHTS.len());
    }

    fn caller(name: &str, role: Option<Role>) -> Caller {
        Caller { name: name.into(), role, from: "192.0.2.1".into(), ..Caller::default() }
    }

    #[test]
    fn every_call_is_permitted_from_its_role_upwards_and_for_no_other_caller() {
        for call in calls() {
            let least = RIGHTS.iter().find(|(name, _)| *name == call).unwrap().1;
            for role in Role::ALL {
                let passes = least.is_none_or(|least| role >= least);
                assert_eq!(admit(call, &caller("Ada", Some(role))).is_ok(), passes, "{call} for {role}");
            }
            for stranger in [caller("", None), caller("node 2", None)] {
                assert_eq!(admit(call, &stranger).is_ok(), call == "Enroll", "{call} for {stranger}");
            }
        }
        assert!(admit("NotThere", &caller("Ada", Some(Role::Operator))).is_err());
    }

    #[test]
    fn a_refusal_names_the_required_role_and_the_caller() {
        let cases = [
            (caller("Ada", Some(Role::Reader)), "the certificate of Ada is a reader's"),
            (caller("node 2", None), "the certificate of node 2 is a node's"),
            (caller("", None), "the caller presented no valid certificate of this cluster"),
        ];
        for (caller, why) in cases {
            let expected = format!("0x80070005: access denied: this needs the role operator, and {why}");
            assert_eq!(admit("Drain", &caller).unwrap_err().to_string(), expected);
        }
    }
}
