//! A client machine's request.

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::id::{Cmid, MachineDigest, MachineName, ProductId, PublisherId};
use crate::{limits, proto};

/// The client's statement about its own license, for events and reports. It has no effect on the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LicenseStatus {
    Unlicensed = 0,
    Licensed = 1,
    /// Out-of-the-box grace (R15).
    OutOfBoxGrace = 2,
    /// Out-of-tolerance grace, after a hardware change (R15).
    OutOfToleranceGrace = 3,
    NonGenuine = 4,
    Notification = 5,
    ExtendedGrace = 6,
}

impl LicenseStatus {
    const ALL: [Self; 7] = [
        Self::Unlicensed,
        Self::Licensed,
        Self::OutOfBoxGrace,
        Self::OutOfToleranceGrace,
        Self::NonGenuine,
        Self::Notification,
        Self::ExtendedGrace,
    ];
}

impl TryFrom<u32> for LicenseStatus {
    type Error = MalformedRequest;

    fn try_from(code: u32) -> Result<Self, MalformedRequest> {
        Self::ALL.into_iter().find(|status| *status as u32 == code).ok_or(MalformedRequest("license status"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Random; binds the answer to this request.
    pub nonce: [u8; 16],
    pub publisher: PublisherId,
    pub product: ProductId,
    pub cmid: Cmid,
    pub machine: MachineDigest,
    pub machine_name: MachineName,
    pub virtual_machine: bool,
    pub license_status: LicenseStatus,
    pub minutes_to_expiry: u32,
    /// The client's wall clock in milliseconds since 1970, at most [`limits::TIME_MS_MAX`].
    pub client_time_ms: u64,
}

/// Bytes that are not a request. Holds the name of the malformed field, and never repeats the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed request: {0}")]
pub struct MalformedRequest(pub &'static str);

impl Request {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::Request {
            nonce: Bytes::copy_from_slice(&self.nonce),
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            product: Bytes::copy_from_slice(&self.product.0),
            cmid: Bytes::copy_from_slice(&self.cmid.0),
            machine: Bytes::copy_from_slice(&self.machine.0),
            machine_name: self.machine_name.to_string(),
            virtual_machine: self.virtual_machine,
            license_status: self.license_status as u32,
            minutes_to_expiry: self.minutes_to_expiry,
            client_time_ms: self.client_time_ms,
        }
        .encode_to_vec()
    }
}

/// A request that was decoded and validated, with the SHA-256 of its bytes, which the answer's signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidRequest {
    request: Request,
    digest: [u8; 32],
}

impl ValidRequest {
    /// Decodes a request. Fields that this version does not know are ignored: newer clients may send them.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedRequest> {
        if bytes.len() > limits::REQUEST_BYTES_MAX {
            return Err(MalformedRequest("too long"));
        }
        let raw = proto::Request::decode(bytes).map_err(|_| MalformedRequest("encoding"))?;
        if raw.client_time_ms > limits::TIME_MS_MAX {
            return Err(MalformedRequest("client time"));
        }
        let request = Request {
            nonce: raw.nonce.as_ref().try_into().map_err(|_| MalformedRequest("nonce"))?,
            publisher: PublisherId::try_from(raw.publisher.as_ref()).map_err(|_| MalformedRequest("publisher"))?,
            product: ProductId::try_from(raw.product.as_ref()).map_err(|_| MalformedRequest("product"))?,
            cmid: Cmid::try_from(raw.cmid.as_ref()).map_err(|_| MalformedRequest("CMID"))?,
            machine: MachineDigest::try_from(raw.machine.as_ref()).map_err(|_| MalformedRequest("machine"))?,
            machine_name: raw.machine_name.parse().map_err(|_| MalformedRequest("machine name"))?,
            virtual_machine: raw.virtual_machine,
            license_status: raw.license_status.try_into()?,
            minutes_to_expiry: raw.minutes_to_expiry,
            client_time_ms: raw.client_time_ms,
        };
        Ok(Self { request, digest: Sha256::digest(bytes).into() })
    }

    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// SHA-256 of the request's bytes as received.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}
