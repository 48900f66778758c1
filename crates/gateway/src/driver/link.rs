//! One of the two connections of an association. It holds only what its peer did not take yet: at most one read of the
//! other side, because the other side is not read meanwhile. An idle connection holds nothing.

use std::io;

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::limits::READ_BYTES;

pub(super) struct Link {
    pub(super) stream: TcpStream,
    /// Bytes for the peer that it did not take yet.
    waiting: Vec<u8>,
    taken: usize,
    /// The peer sends no more.
    pub(super) has_ended: bool,
    /// The sending half is to be closed once nothing waits.
    ends_after: bool,
}

/// The result of one read.
pub(super) enum Read<'a> {
    Bytes(&'a [u8]),
    Ended,
    Broken,
    /// Nothing was there.
    Nothing,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, waiting: Vec::new(), taken: 0, has_ended: false, ends_after: false }
    }

    pub(super) fn is_stalled(&self) -> bool {
        !self.waiting.is_empty()
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.waiting.capacity()
    }

    /// Reads what is there, at most [`READ_BYTES`].
    pub(super) fn read<'a>(&mut self, buffer: &'a mut [u8; READ_BYTES]) -> Read<'a> {
        match self.stream.try_read(buffer) {
            Ok(0) => {
                self.has_ended = true;
                Read::Ended
            }
            Ok(length) => Read::Bytes(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => {
                self.has_ended = true;
                Read::Broken
            }
        }
    }

    /// Writes `bytes`, or holds what the peer does not take at once.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while self.waiting.is_empty() && !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if !rest.is_empty() {
            self.waiting.reserve_exact(rest.len());
            self.waiting.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Writes what waits. The memory is given back with the last byte.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.waiting.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(length) => self.taken += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        (self.waiting, self.taken) = (Vec::new(), 0);
        Ok(())
    }

    /// Closes the sending half once nothing waits.
    pub(super) async fn end_sending(&mut self) {
        self.ends_after = true;
        self.end_if_due().await;
    }

    /// Closes the sending half, where that is due and nothing waits.
    pub(super) async fn end_if_due(&mut self) {
        if self.ends_after && !self.is_stalled() {
            self.ends_after = false;
            // The peer may be gone, which its next read shows.
            let _gone = self.stream.shutdown().await;
        }
    }

    /// Writes what waits, to the end.
    pub(super) async fn finish(&mut self) {
        while self.is_stalled() {
            if self.stream.writable().await.is_err() || self.flush().is_err() {
                return;
            }
        }
        let _gone = self.stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn g6_a_link_holds_no_more_than_its_peer_did_not_take_and_nothing_when_idle() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut link = Link::new(listener.accept().await.unwrap().0);
        assert_eq!(link.held_bytes(), 0);
        let chunk = vec![7; READ_BYTES];
        let mut sent = 0;
        while !link.is_stalled() {
            link.send(&chunk).unwrap();
            sent += chunk.len();
        }
        assert!(link.held_bytes() <= READ_BYTES);
        let mut taken = 0;
        let mut buffer = vec![0; 64 * 1024];
        while taken < sent {
            tokio::select! {
                ready = far.readable() => ready.unwrap(),
                ready = link.stream.writable(), if link.is_stalled() => ready.unwrap(),
            }
            if let Ok(length) = far.try_read(&mut buffer) {
                taken += length;
            }
            link.flush().unwrap();
        }
        assert_eq!((taken, link.held_bytes()), (sent, 0));
    }
}
