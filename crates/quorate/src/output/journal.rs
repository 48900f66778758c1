//! Writes log entries with their fields to the systemd journal, in its native protocol
//! (systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! The crate `tracing-journald` sends an entry on the thread that logs it, and blocks there while the journal does
//! not read. Here an entry goes through the log's queue first.

use std::{
    fmt::{Debug, Write as _},
    io::{self, Write as _},
    os::unix::net::UnixDatagram,
};

use host::{LogQueue, limits::LOG_LINE_BYTES_MAX};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

const SOCKET: &str = "/run/systemd/journal/socket";

/// Bytes of a field beside its name and value: two newlines and the length.
const FIELD_OVERHEAD_BYTES: usize = 10;

/// A socket to the journal; each write sends one entry.
pub(super) struct JournalSocket(UnixDatagram);

impl JournalSocket {
    /// # Errors
    /// Fails where there is no journal.
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // Not connected, because a journal that restarts has another socket at the same path.
        socket.send_to(&[], SOCKET)?;
        Ok(Self(socket))
    }
}

impl io::Write for JournalSocket {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.0.send_to(entry, SOCKET)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes events as journal entries: `MESSAGE`, `PRIORITY`, `TARGET`, and each field of the event as `F_NAME`.
pub(super) struct Journal {
    queue: LogQueue,
}

impl Journal {
    pub(super) fn new(queue: LogQueue) -> Self {
        Self { queue }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = Entry::default();
        entry.put("PRIORITY", priority(*metadata.level()));
        entry.put("SYSLOG_IDENTIFIER", "quorate");
        entry.put("TARGET", metadata.target());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            entry.put("CODE_FILE", file);
            entry.put("CODE_LINE", &line.to_string());
        }
        event.record(&mut entry);
        // This write always succeeds; the queue counts the entries that it drops.
        let _always_taken = self.queue.clone().write_all(&entry.bytes);
    }
}

/// The syslog priority of a level. Lines at level info are notices.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "5",
        Level::DEBUG => "6",
        Level::TRACE => "7",
    }
}

#[derive(Default)]
struct Entry {
    bytes: Vec<u8>,
}

impl Entry {
    /// Appends a field: name, length in eight bytes, and the value, which may hold any bytes. A value that would make
    /// the entry too long is cut off.
    fn put(&mut self, name: &str, value: &str) {
        let room = LOG_LINE_BYTES_MAX.saturating_sub(self.bytes.len() + name.len() + FIELD_OVERHEAD_BYTES);
        let value = value.get(..value.floor_char_boundary(room)).unwrap_or_default();
        if value.is_empty() && room == 0 {
            return;
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(b'\n');
    }

    fn put_field(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return self.put("MESSAGE", value);
        }
        let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
        let name: String = "F_".chars().chain(field.name().chars().map(letter)).collect();
        self.put(&name, value);
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_field(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
        self.put_field(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_never_longer_than_a_line_may_be() {
        let mut entry = Entry::default();
        entry.put("MESSAGE", "two\nlines");
        assert_eq!(entry.bytes, b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n");
        for _ in 0..3 {
            entry.put("F_LONG", &"\u{e9}".repeat(LOG_LINE_BYTES_MAX));
        }
        assert!((LOG_LINE_BYTES_MAX - 1..=LOG_LINE_BYTES_MAX).contains(&entry.bytes.len()), "{}", entry.bytes.len());
    }
}
