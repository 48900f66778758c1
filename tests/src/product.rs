//! The product for which client machines ask, and the requests for it.

use std::{net::SocketAddr, path::Path, time::Duration};

use activation::{
    id::{Cmid, ProductId},
    message::Request,
    status::Status,
    trust::Trust,
};
use client::{ActivateError, Deadlines, Machine, ReceivedAnswer, Session};

use crate::eventually;

/// A product of the cluster's publisher.
#[derive(Clone, Debug)]
pub struct Product {
    trust: Trust,
    id: ProductId,
}

/// The CMID of the machine with this number.
pub fn cmid(number: u64) -> Cmid {
    Cmid(u128::from(number).to_be_bytes())
}

/// Long timeouts, because a test does not measure how busy the machine is.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(10), exchange: Duration::from_secs(30) };

impl Product {
    /// The product that the catalog in the trust file calls `name`.
    pub(crate) fn new(trust: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(trust).expect("`publisher init` has written the trust file");
        let trust = Trust::from_toml(&text).expect("the trust file is sound");
        let id = ProductId::derive(trust.publisher, name);
        Self { trust, id }
    }

    /// The publisher's keys, which the machines trust.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// A new request of the machine with this CMID.
    pub fn request(&self, cmid: Cmid) -> Request {
        client::request(self.trust.publisher, self.id, cmid, &Machine::this()).expect("there is randomness")
    }

    /// Asks the host at `address` once.
    pub async fn activate(&self, address: SocketAddr, cmid: Cmid) -> Result<ReceivedAnswer, ActivateError> {
        self.send(address, &self.request(cmid)).await
    }

    /// Asks the host at `address` once, with this request.
    pub async fn send(&self, address: SocketAddr, request: &Request) -> Result<ReceivedAnswer, ActivateError> {
        client::activate(&address.into(), request, &self.trust, DEADLINES).await
    }

    /// The count in the answer of the host at `address` to the machine with this number. A host whose fsync takes
    /// seconds answers that there is no leader; then the machine asks again, as clients do.
    ///
    /// # Panics
    /// When the host answers anything else.
    pub async fn count(&self, address: SocketAddr, machine: u64) -> u64 {
        let answered =
            eventually("the host has a leader", async || match self.activate(address, cmid(machine)).await {
                Err(ActivateError::Refused { status: Status::HOST_UNAVAILABLE, .. }) => None,
                answered => Some(answered),
            });
        let answered = answered.await;
        let answered = answered.unwrap_or_else(|error| panic!("machine {machine} at {address}: {error:?}"));
        answered.answer.body.count.into()
    }

    /// Opens a connection to the host at `address`, for several requests.
    pub async fn session(&self, address: SocketAddr) -> Result<Session, ActivateError> {
        self.session_within(address, DEADLINES).await
    }

    /// Opens a connection with these timeouts, instead of the long ones of tests.
    pub(crate) async fn session_within(
        &self,
        address: SocketAddr,
        deadlines: Deadlines,
    ) -> Result<Session, ActivateError> {
        Session::connect(&address.into(), deadlines).await
    }

    /// Sends a request on an open connection.
    pub async fn ask(&self, session: &mut Session, cmid: Cmid) -> Result<ReceivedAnswer, ActivateError> {
        session.exchange(&self.request(cmid), &self.trust).await
    }
}
