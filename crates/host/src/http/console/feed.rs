//! The data for viewers, shared by the task that gathers it and the streams that send it.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, watch};

use super::{history::History, sections::Sections};
use crate::{http::metrics::Watched, limits::CONSOLE_VIEWERS_MAX};

/// The sections of the page as they were gathered last, and the limit of viewers.
pub(super) struct Feed {
    pub(super) watched: Watched,
    pub(super) history: History,
    pub(super) told: watch::Sender<Sections>,
    /// Notified when a viewer connects.
    pub(super) wanted: Notify,
    /// Bounds the number of viewers.
    pub(super) viewers: Arc<Semaphore>,
}

impl Feed {
    pub(super) fn new(watched: Watched) -> Self {
        Self {
            watched,
            history: History::default(),
            told: watch::Sender::default(),
            wanted: Notify::new(),
            viewers: Arc::new(Semaphore::new(CONSOLE_VIEWERS_MAX)),
        }
    }
}
