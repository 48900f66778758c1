//! A security context with one service (RFC 2743), and signatures in it.

use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext as _};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_MECH_SPNEGO, GSS_NT_HOSTBASED_SERVICE, Oid};

use crate::account::Account;
use crate::credential;
use crate::diagnosis::sorted;
use crate::error::KerberosError;

/// A context that is being established, or is established.
#[derive(Debug)]
pub struct Context {
    context: ClientCtx,
    account: Account,
    service: String,
}

/// The stage of establishing a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Send these bytes to the service, and pass its answer to [`Context::step`].
    Send(Vec<u8>),
    /// The context is established: both sides have proven their identity. Bytes, where there are some, must still be
    /// sent to the service.
    Stands(Option<Vec<u8>>),
}

impl Context {
    /// Begins a context of `account` with `service` (`SERVICE@HOST`), negotiated by SPNEGO. Requests tickets from
    /// the KDC where the account has no valid ones.
    ///
    /// # Errors
    /// [`KerberosError`], sorted by cause.
    pub fn begin(account: &Account, service: &str) -> Result<(Self, Vec<u8>), KerberosError> {
        let fail = |error: Error| sorted(&error, account, service);
        let keytab = account.keytab().to_string_lossy();
        let credential = credential::acquire(&keytab, account.principal(), &account.cache()?).map_err(fail)?;
        let context = |mechanism: Oid<'static>| {
            let target = Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)).map_err(fail)?;
            let flags = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_REPLAY_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
            Ok(ClientCtx::new(Some(credential.clone()), target, flags, Some(mechanism)))
        };
        // Negotiation hides why there is no ticket. So a context without negotiation, which is not used, requests
        // the ticket first; the negotiated context finds the ticket in the cache.
        context(GSS_MECH_KRB5)?.step(None, None).map_err(fail)?;
        let mut context =
            Self { context: context(GSS_MECH_SPNEGO)?, account: account.clone(), service: service.to_owned() };
        match context.advance(None)? {
            Stage::Send(token) => Ok((context, token)),
            Stage::Stands(_) => {
                Err(KerberosError::Other { cause: "the service did not have to authenticate".to_owned() })
            }
        }
    }

    /// Processes the service's answer.
    ///
    /// # Errors
    /// [`KerberosError`] where the answer does not prove the service's identity, or the context would not protect
    /// messages.
    pub fn step(&mut self, answer: &[u8]) -> Result<Stage, KerberosError> {
        self.advance(Some(answer))
    }

    fn advance(&mut self, answer: Option<&[u8]>) -> Result<Stage, KerberosError> {
        let fail = |error: Error| sorted(&error, &self.account, &self.service);
        let token = self.context.step(answer, None).map_err(fail)?.map(|token| token.to_vec());
        if !self.context.is_complete() {
            let nothing =
                || KerberosError::Other { cause: "the library expects a reply, but has no token to send".to_owned() };
            return token.filter(|token| !token.is_empty()).map(Stage::Send).ok_or_else(nothing);
        }
        let needed = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        if !self.context.flags().map_err(fail)?.contains(needed) {
            let cause =
                "the service accepts only contexts without mutual authentication or without integrity protection"
                    .to_owned();
            return Err(KerberosError::Other { cause });
        }
        Ok(Stage::Stands(token.filter(|token| !token.is_empty())))
    }

    /// Returns a signature over `message` (GSS_GetMIC).
    ///
    /// # Errors
    /// [`KerberosError`] where the context is not established, or has expired.
    pub fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, KerberosError> {
        let signed = self.context.get_mic(message).map(|signature| signature.to_vec());
        signed.map_err(|error| sorted(&error, &self.account, &self.service))
    }

    /// Verifies that the service made `signature` over `message`, and that it was not received before
    /// (GSS_VerifyMIC).
    pub fn verify(&mut self, message: &[u8], signature: &[u8]) -> bool {
        self.context.verify_mic(message, signature).is_ok()
    }

    /// The account's name in the ticket.
    pub fn account(&self) -> String {
        let name = self.context.source_name().and_then(|name| name.display_name().map(|name| name.to_vec()));
        name.map_or_else(|_| self.account.described(), |name| String::from_utf8_lossy(&name).into_owned())
    }
}
