//! The content of a file: as programs read it, and as it was at the last sync.

use std::ops::Range;

/// The current and the synced bytes of a file. A sync costs as much as was written since the last one, not as much
/// as the file is long.
#[derive(Debug, Default)]
pub(crate) struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Where the two may differ. A range may extend beyond the end of a file that has become shorter.
    changed: Vec<Range<usize>>,
}

impl Content {
    /// A file whose bytes are durable.
    pub(crate) fn durable(bytes: Vec<u8>) -> Self {
        Self { synced: bytes.clone(), now: bytes, changed: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.now.len()
    }

    /// At most `size` bytes from `offset` on.
    pub(crate) fn read(&self, offset: usize, size: usize) -> &[u8] {
        let start = offset.min(self.now.len());
        &self.now[start..start.saturating_add(size).min(self.now.len())]
    }

    /// Writes `bytes` at `offset`; a gap before it reads as zeros.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.now.len() {
            self.set_len(end);
        }
        self.now[offset..end].copy_from_slice(bytes);
        self.change(offset..end);
    }

    /// Truncates the file, or extends it with zeros.
    pub(crate) fn set_len(&mut self, len: usize) {
        let old = self.now.len();
        self.now.resize(len, 0);
        self.change(old.min(len)..old.max(len));
    }

    /// Makes the current bytes and the current length durable.
    pub(crate) fn sync(&mut self) {
        let len = self.now.len();
        self.synced.resize(len, 0);
        for Range { start, end } in self.changed.drain(..) {
            let range = start.min(len)..end.min(len);
            self.synced[range.clone()].copy_from_slice(&self.now[range]);
        }
    }

    /// Fails a sync, as on Linux: programs continue to read what they wrote, and no later sync makes it durable;
    /// later writes are not affected. Returns `false` if there was nothing to sync.
    pub(crate) fn fail_sync(&mut self) -> bool {
        let was_changed = !self.changed.is_empty();
        self.changed.clear();
        was_changed
    }

    /// The bytes that remain after a power cut.
    pub(crate) fn synced(&self) -> &[u8] {
        &self.synced
    }

    fn change(&mut self, range: Range<usize>) {
        match self.changed.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.changed.push(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abc() -> Content {
        Content::durable(b"abc".to_vec())
    }

    #[test]
    fn written_data_is_durable_only_when_it_is_synced() {
        let mut content = abc();
        content.write(1, b"XYZ");
        assert_eq!((content.read(0, 9), content.synced()), (&b"aXYZ"[..], &b"abc"[..]));
        content.sync();
        assert_eq!(content.synced(), b"aXYZ");
        content.write(0, b"-");
        assert_eq!(content.synced(), b"aXYZ");
    }

    #[test]
    fn data_that_a_failed_sync_lost_stays_readable_and_becomes_durable_only_when_it_is_written_again() {
        let mut content = abc();
        content.write(0, b"X");
        assert!(content.fail_sync());
        content.write(2, b"Z");
        content.sync();
        assert_eq!((content.read(0, 9), content.synced()), (&b"XbZ"[..], &b"abZ"[..]));
        content.write(0, b"X");
        content.sync();
        assert_eq!(content.synced(), b"XbZ");
    }

    #[test]
    fn a_gap_before_written_data_reads_as_zeros() {
        let mut content = abc();
        content.write(5, b"f");
        content.sync();
        assert_eq!((content.read(2, 9), content.synced()), (&b"c\0\0f"[..], &b"abc\0\0f"[..]));
    }

    #[test]
    fn the_length_is_durable_only_when_it_is_synced() {
        let mut content = abc();
        content.set_len(1);
        assert_eq!((content.len(), content.synced()), (1, &b"abc"[..]));
        content.sync();
        assert_eq!(content.synced(), b"a");
    }

    #[test]
    fn truncated_data_does_not_return_when_the_file_grows_again() {
        let mut content = abc();
        content.set_len(1);
        content.set_len(3);
        assert_eq!((content.read(0, 9), content.synced()), (&b"a\0\0"[..], &b"abc"[..]));
        content.sync();
        assert_eq!(content.synced(), b"a\0\0");
    }

    #[test]
    fn many_changes_are_synced_as_one_by_one() {
        let mut content = Content::default();
        let mut expected = Vec::new();
        for step in 0..200_usize {
            let (offset, byte) = (step * 7919 % 300, u8::try_from(step).unwrap());
            if step % 5 == 4 {
                content.set_len(offset);
                expected.resize(offset, 0);
            } else {
                content.write(offset, &[byte; 9]);
                expected.resize(expected.len().max(offset + 9), 0);
                expected[offset..offset + 9].fill(byte);
            }
            if step % 3 == 0 {
                content.sync();
                assert_eq!(content.synced(), expected, "step {step}");
            }
            assert_eq!(content.read(0, usize::MAX), expected, "step {step}");
        }
    }

    #[test]
    fn nothing_is_read_after_the_end() {
        assert_eq!((abc().read(3, 1), abc().read(9, 1), abc().read(1, usize::MAX)), (&b""[..], &b""[..], &b"bc"[..]));
    }
}
