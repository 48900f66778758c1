//! The stream to a viewer: server-sent events, one for each section that changed.

use std::{convert::Infallible, fmt::Write, sync::Arc};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use transport::Call;

use super::{access::Until, feed::Feed, sections::Sections};
use crate::http::connection::Connection;

/// How soon a browser reconnects, in milliseconds.
const COME_BACK_MS: u32 = 1000;

/// A browser that shows the console.
struct Viewer {
    told: watch::Receiver<Sections>,
    sent: Sections,
    until: Until,
    connection: Connection,
    /// The viewer's permit, released when it disconnects.
    _place: OwnedSemaphorePermit,
    /// Protects the connection from being closed for another one while the viewer is connected and reads.
    _call: Call,
}

/// Streams sections until the viewer disconnects, stops reading, or loses access.
pub(super) async fn stream(
    State(feed): State<Arc<Feed>>,
    Extension(until): Extension<Until>,
    Extension(connection): Extension<Connection>,
) -> Response {
    let Ok(place) = Arc::clone(&feed.viewers).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the console has the maximum number of viewers on this node\n")
            .into_response();
    };
    let told = feed.told.subscribe();
    feed.wanted.notify_one();
    let viewer = Viewer { told, sent: Sections::default(), until, _call: connection.call(), connection, _place: place };
    let begin = stream::iter([Ok(Bytes::from(format!("retry: {COME_BACK_MS}\n\n")))]);
    let events = stream::StreamExt::chain(begin, stream::unfold(viewer, next));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// The next event of the stream. It is polled only after the previous one was handed to the connection, so that a
/// viewer that does not read holds only one event in memory.
async fn next(mut viewer: Viewer) -> Option<(Result<Bytes, Infallible>, Viewer)> {
    loop {
        viewer.connection.is_read();
        let text = viewer.news();
        if !text.is_empty() {
            return Some((Ok(text.into()), viewer));
        }
        tokio::select! {
            changed = viewer.told.changed() => changed.ok()?,
            () = viewer.until.over() => return None,
        }
    }
}

impl Viewer {
    /// The sections that differ from those that were sent last, as server-sent events.
    fn news(&mut self) -> String {
        let told = self.told.borrow_and_update();
        let mut text = String::new();
        for (&name, section) in told.iter().filter(|(name, section)| self.sent.get(*name) != Some(*section)) {
            // The section is JSON on one line, as the format needs.
            let _into_a_string = write!(text, "event: {name}\ndata: {section}\n\n");
        }
        self.sent.clone_from(&told);
        text
    }
}
