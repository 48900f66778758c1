//! The output of log lines: a bounded queue, and a thread that writes them.
//!
//! The reader of the log may stop reading: a pipe, a paused terminal, a journal or a disk that hangs. If lines were
//! written where they are logged, every thread with a line to log would then wait, and the node with them. With the
//! queue the node continues. Lines that do not fit are counted, and their number is logged once there is space again.

use std::{
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{Builder, current},
    time::Duration,
};

use crate::{
    limits::{LOG_LINE_BYTES_MAX, LOG_QUEUED_MAX},
    tasks::{self, HostTask},
};

/// One queue per process: a process has one log, however many nodes it runs.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Number of log lines that were dropped since the process began, because the reader of the log was too slow or the
/// log could not be written.
#[must_use]
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Message {
    Line(Vec<u8>),
    /// Reports when everything before it is written.
    Flush(SyncSender<()>),
}

/// Takes log lines without waiting. Each write is one line. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogQueue {
    messages: SyncSender<Message>,
}

impl LogQueue {
    /// Starts the queue of this process with `sink` as its output, which gets each line in one write. A second call
    /// changes nothing and returns the existing queue.
    ///
    /// # Errors
    /// The thread that writes cannot be started.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, lines) = sync_channel(LOG_QUEUED_MAX);
        let queue = Self { messages };
        if QUEUE.set(queue.clone()).is_ok() {
            tasks::thread(HostTask::LogWriter, move || write_all(&lines, sink))?;
        }
        Ok(QUEUE.get().cloned().unwrap_or(queue))
    }

    fn send(&self, line: Vec<u8>) {
        if self.messages.try_send(Message::Line(line)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all earlier lines are written, but not longer than `limit`. Returns whether they are.
    fn flush(&self, limit: Duration) -> bool {
        let (written, is_written) = sync_channel(1);
        // A full queue either is not read at all or is empty shortly: a separate thread sends the message, and
        // the time limit below applies.
        let sent = match self.messages.try_send(Message::Flush(written)) {
            Ok(()) => true,
            Err(TrySendError::Full(flush)) => {
                let messages = self.messages.clone();
                Builder::new().name("log flush".into()).spawn(move || messages.send(flush)).is_ok()
            }
            Err(TrySendError::Disconnected(_)) => false,
        };
        sent && is_written.recv_timeout(limit).is_ok()
    }
}

impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut kept = line.get(..line.len().min(LOG_LINE_BYTES_MAX)).unwrap_or_default().to_vec();
        if kept.len() < line.len() {
            kept.extend_from_slice(b"...\n");
        }
        self.send(kept);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(messages: &Receiver<Message>, mut sink: impl Write) {
    while let Ok(message) = messages.recv() {
        match message {
            Message::Line(line) => {
                if sink.write_all(&line).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(written) => {
                let _nobody_waits_any_more = written.send(());
            }
        }
    }
}

/// Waits until all log lines so far are written, but not longer than `limit`. Returns whether they are. For the end
/// of a process, which ends even if its log is not read.
pub fn flush_log(limit: Duration) -> bool {
    QUEUE.get().is_none_or(|queue| queue.flush(limit))
}

/// Whether this thread is the one that writes the log.
pub(crate) fn is_written_by_this_thread() -> bool {
    current().name() == Some(HostTask::LogWriter.name())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes a line each time the test lets it.
    struct Slow {
        let_through: Receiver<()>,
        taken: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _at_the_end = self.let_through.recv();
            self.taken.lock().unwrap().push(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_and_never_block_their_thread() {
        let (let_one, let_through) = sync_channel(1);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let mut queue = LogQueue::start(Slow { let_through, taken: Arc::clone(&taken) }).unwrap();
        let said = LOG_QUEUED_MAX + 100;
        for number in 0..said {
            queue.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        // One line may be with the writer.
        let dropped = usize::try_from(lines_dropped()).unwrap();
        assert!((99..=100).contains(&dropped), "{dropped}");
        assert!(!flush_log(Duration::from_millis(1)), "nothing was written");
        drop(let_one);
        assert!(flush_log(Duration::from_secs(90)));
        let taken = taken.lock().unwrap();
        assert_eq!(taken.len(), said - dropped);
        assert_eq!(taken.first().map(Vec::as_slice), Some(b"0\n".as_slice()));
        drop(taken);
        let longest = "x".repeat(2 * LOG_LINE_BYTES_MAX);
        assert_eq!(queue.write(longest.as_bytes()).unwrap(), longest.len());
    }
}
