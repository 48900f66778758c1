//! Tokens for enrolment: the bearer of a token receives a certificate, once, and not after the token has expired.
//!
//! The state holds only the digest of a token's secret, so a reader of the state cannot use the token.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::malformed::MalformedCommand;
use super::outcome::CommandRefusal;
use crate::id::{NodeId, node_id};
use crate::{limits, proto};

/// The role that the bearer of a token receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    Node,
    Administrator,
    Operator,
    Reader,
}

/// The id of a token for administrators: the first 12 hexadecimal digits of the digest of its secret.
#[must_use]
pub fn token_id(digest: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    digest.iter().take(6).fold(String::new(), |mut id, byte| {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// A token that has not been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenToken {
    pub grant: Grant,
    /// The last time at which it may be used, by cluster time, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// What the bearer of a used token received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// SHA-256 of the certificate signing request.
    pub request: [u8; 32],
    /// The certificate that was issued for the request, in DER: 1 to [`limits::CERTIFICATE_BYTES_MAX`] bytes.
    pub certificate: Bytes,
}

impl Enrolled {
    pub(super) fn to_proto(&self) -> proto::Enrolled {
        proto::Enrolled { request: Bytes::copy_from_slice(&self.request), certificate: self.certificate.clone() }
    }

    pub(super) fn from_proto(raw: &proto::Enrolled) -> Result<Self, MalformedCommand> {
        if !(1..=limits::CERTIFICATE_BYTES_MAX).contains(&raw.certificate.len()) {
            return Err(MalformedCommand("certificate"));
        }
        Ok(Self { request: decode_digest(&raw.request)?, certificate: raw.certificate.clone() })
    }
}

/// The unused tokens, and what the bearers of used tokens received.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    /// Unused tokens, by SHA-256 of the secret.
    open: BTreeMap<[u8; 32], OpenToken>,
    /// What the bearers of the last used tokens received, by the digest of the secret, the first used first. Empty
    /// below format 3.
    spent: VecDeque<([u8; 32], Enrolled)>,
    highest_enrolled: NodeId,
}

impl Tokens {
    /// Adds a token. Expired tokens are removed here and at no other time.
    pub(super) fn add(
        &mut self,
        digest: [u8; 32],
        token: OpenToken,
        now_ms: Option<u64>,
    ) -> Result<(), CommandRefusal> {
        self.open.retain(|_, open| now_ms.is_none_or(|now_ms| open.expires_ms >= now_ms));
        let max = limits::TOKENS_MAX;
        if self.open.len() >= max && !self.open.contains_key(&digest) {
            return Err(CommandRefusal::TooMany { what: "open tokens", max });
        }
        self.open.insert(digest, token);
        Ok(())
    }

    pub(super) fn spend(
        &mut self,
        digest: [u8; 32],
        now_ms: u64,
        node: Option<NodeId>,
        enrolled: Option<Enrolled>,
    ) -> Result<(), CommandRefusal> {
        let token = self.open.get(&digest).ok_or(CommandRefusal::UnknownToken)?;
        if token.expires_ms < now_ms {
            return Err(CommandRefusal::ExpiredToken);
        }
        if node.is_some() != (token.grant == Grant::Node) {
            return Err(CommandRefusal::Malformed("node"));
        }
        self.open.remove(&digest);
        if let Some(enrolled) = enrolled {
            while self.spent.len() >= limits::SPENT_TOKENS_MAX {
                self.spent.pop_front();
            }
            self.spent.push_back((digest, enrolled));
        }
        self.highest_enrolled = self.highest_enrolled.max(node.unwrap_or(0));
        Ok(())
    }

    /// What the bearer of the used token with this digest received.
    pub(super) fn enrolled(&self, digest: &[u8; 32]) -> Option<&Enrolled> {
        self.spent.iter().rev().find_map(|(spent, enrolled)| (spent == digest).then_some(enrolled))
    }

    /// Removes what the bearers of used tokens received, for a format that does not hold it.
    pub(super) fn forget_spent(&mut self) {
        self.spent.clear();
    }

    /// Removes an unused token.
    pub(super) fn revoke(&mut self, digest: &[u8; 32]) -> Result<(), CommandRefusal> {
        self.open.remove(digest).map(drop).ok_or(CommandRefusal::UnknownToken)
    }

    /// The unused tokens, by the digest of their secret.
    pub(super) fn all(&self) -> impl Iterator<Item = (&[u8; 32], &OpenToken)> {
        self.open.iter()
    }

    /// The number of unused tokens.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// What the unused token with this digest grants, and when it expires.
    pub(super) fn open(&self, digest: &[u8; 32]) -> Option<OpenToken> {
        self.open.get(digest).copied()
    }

    /// The highest node number that a token granted; 0 where no token granted one.
    pub(super) fn highest_enrolled(&self) -> NodeId {
        self.highest_enrolled
    }

    pub(super) fn encode_spent(&self) -> Vec<proto::SpentToken> {
        let spent = self.spent.iter().map(|(digest, enrolled)| proto::SpentToken {
            digest: Bytes::copy_from_slice(digest),
            enrolled: Some(enrolled.to_proto()),
        });
        spent.collect()
    }

    pub(super) fn decode_spent(&mut self, raw: &[proto::SpentToken]) -> Result<(), MalformedCommand> {
        if raw.len() > limits::SPENT_TOKENS_MAX {
            return Err(MalformedCommand("used tokens"));
        }
        let spent = raw.iter().map(|raw| {
            let enrolled = raw.enrolled.as_ref().ok_or(MalformedCommand("enrolled"))?;
            Ok((decode_digest(&raw.digest)?, Enrolled::from_proto(enrolled)?))
        });
        self.spent = spent.collect::<Result<_, _>>()?;
        Ok(())
    }

    pub(super) fn encode(&self) -> (Vec<proto::OpenToken>, u32) {
        // As in a record: no parser lets a larger node id through.
        let highest = u32::try_from(self.highest_enrolled).unwrap_or(u32::MAX);
        (self.open.iter().map(|(digest, token)| encode_token(digest, token)).collect(), highest)
    }

    pub(super) fn decode(raw: &[proto::OpenToken], highest_enrolled: u32) -> Result<Self, MalformedCommand> {
        let open = raw.iter().map(decode_token).collect::<Result<BTreeMap<_, _>, _>>()?;
        if open.len() != raw.len() || open.len() > limits::TOKENS_MAX {
            return Err(MalformedCommand("tokens"));
        }
        if highest_enrolled > 0 {
            node_id(highest_enrolled.into()).map_err(|_| MalformedCommand("node"))?;
        }
        Ok(Self { open, spent: VecDeque::new(), highest_enrolled: highest_enrolled.into() })
    }
}

pub(super) fn encode_token(digest: &[u8; 32], token: &OpenToken) -> proto::OpenToken {
    let grant = match token.grant {
        Grant::Node => proto::Grant::Node,
        Grant::Administrator => proto::Grant::Administrator,
        Grant::Operator => proto::Grant::Operator,
        Grant::Reader => proto::Grant::Reader,
    };
    proto::OpenToken { digest: Bytes::copy_from_slice(digest), grant: grant.into(), expires_ms: token.expires_ms }
}

pub(super) fn decode_token(raw: &proto::OpenToken) -> Result<([u8; 32], OpenToken), MalformedCommand> {
    let grant = match raw.grant() {
        proto::Grant::Node => Grant::Node,
        proto::Grant::Administrator => Grant::Administrator,
        proto::Grant::Operator => Grant::Operator,
        proto::Grant::Reader => Grant::Reader,
        proto::Grant::Unspecified => return Err(MalformedCommand("grant")),
    };
    if raw.expires_ms > limits::TIME_MS_MAX {
        return Err(MalformedCommand("time"));
    }
    Ok((decode_digest(&raw.digest)?, OpenToken { grant, expires_ms: raw.expires_ms }))
}

pub(super) fn decode_digest(raw: &[u8]) -> Result<[u8; 32], MalformedCommand> {
    raw.try_into().map_err(|_| MalformedCommand("digest"))
}
