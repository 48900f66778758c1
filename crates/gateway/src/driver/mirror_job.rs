//! What the task that serves mirrors gets to do.

use std::sync::Arc;

use dcerpc::relay::BindAck;
use tokio::sync::mpsc;

use crate::{
    driver::observer::UpstreamId,
    mirror::{budget::Grant, tap::Item},
};

/// The bind of an association, for its mirrors.
#[derive(Debug)]
pub(super) struct MirrorBind {
    pub(super) octets: Vec<u8>,
    pub(super) ack: BindAck,
    /// Releases the bytes when the last mirror drops the bind.
    pub(super) _grant: Grant,
}

/// An association with a mirror that is to be opened.
#[derive(Debug)]
pub(super) struct MirrorJob {
    pub(super) mirror: UpstreamId,
    pub(super) bind: Arc<MirrorBind>,
    pub(super) items: mpsc::Receiver<Item>,
}
