//! What a viewer is sent: server-sent events, one for each section that changed.

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

/// How soon a browser comes back, in milliseconds.
const COME_BACK_MS: u32 = 1000;

/// Somebody who looks.
struct Viewer {
    told: watch::Receiver<Sections>,
    sent: Sections,
    until: Until,
    connection: Connection,
    /// Given back when they are gone.
    _place: OwnedSemaphorePermit,
    /// For as long as they look and read.
    _call: Call,
}

/// For as long as somebody reads it, and may.
pub(super) async fn stream(
    State(feed): State<Arc<Feed>>,
    Extension(until): Extension<Until>,
    Extension(connection): Extension<Connection>,
) -> Response {
    let Ok(place) = Arc::clone(&feed.viewers).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "as many look already as this node has places for\n").into_response();
    };
    let told = feed.told.subscribe();
    feed.wanted.notify_one();
    let viewer = Viewer { told, sent: Sections::default(), until, _call: connection.call(), connection, _place: place };
    let begin = stream::iter([Ok(Bytes::from(format!("retry: {COME_BACK_MS}\n\n")))]);
    let events = stream::StreamExt::chain(begin, stream::unfold(viewer, next));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Asked for again only when the last one is on its way: whoever does not read keeps no more than that.
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
    /// The sections that are other ones than were sent.
    fn news(&mut self) -> String {
        let told = self.told.borrow_and_update();
        let mut text = String::new();
        for (&name, section) in told.iter().filter(|(name, section)| self.sent.get(*name) != Some(*section)) {
            // JSON on one line.
            let _into_a_string = write!(text, "event: {name}\ndata: {section}\n\n");
        }
        self.sent.clone_from(&told);
        text
    }
}
