//! The activation log of a node (event 12290): the requests of client machines to this node and their answers,
//! limited in size, in a sequence of files.
//!
//! ```text
//! DATA/activations/<number of its first event, 16 hex digits>.log
//!   "quorate activations 1\n", then for each event: length (4, big-endian), CRC-32 of what follows (4), ActivationEvent
//! ```
//! The log is separate from the count, and no request waits for it: a full queue or a full disk loses events, never
//! an activation, and the lost events are counted. An incomplete event at the end of a file, as after a crash, is
//! cut off at the next start.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
};

use activation::{message::Request, state::Counted, status::Status};
use api::admin::v1::{ActivationEvent, EventsFilter};
use bytes::Bytes;
use metrics::Counter;
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    limits::{
        ACTIVATIONS_FILE_BYTES_MAX, ACTIVATIONS_FILES_MAX, ACTIVATIONS_PAUSE, ACTIVATIONS_QUEUED_MAX,
        ACTIVATIONS_SHOWN_MAX, REFUSALS_KEPT_PER_SOURCE_MAX, REFUSALS_KEPT_WINDOW,
    },
    records::source_quota::SourceQuota,
    tasks::{self, HostTask},
    test_hooks,
};

const HEAD: &[u8] = b"quorate activations 1\n";
/// Longest event, in bytes.
const EVENT_BYTES_MAX: usize = 1024;

/// A request that this node answered, with its answer.
#[derive(Clone, Debug)]
pub(crate) struct AnsweredRequest {
    pub(crate) node: u64,
    pub(crate) time_ms: u64,
    pub(crate) status: Status,
    pub(crate) request: Request,
    /// The client's address; `None` for a request from within the process.
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) counted: Option<Counted>,
    /// The index of the log entry and the offset in it; zeroes where the request was not recorded.
    pub(crate) log_position: (u64, u32),
}

impl From<AnsweredRequest> for ActivationEvent {
    fn from(
        AnsweredRequest { node, time_ms, status, request, client_address, counted, log_position }: AnsweredRequest,
    ) -> Self {
        let (log_index, offset) = log_position;
        Self {
            node,
            number: 0,
            time_ms,
            status: status.0,
            required_count: counted.map_or(0, |counted| counted.threshold),
            machine_name: request.machine_name.to_string(),
            cmid: Bytes::copy_from_slice(&request.cmid.0),
            client_time_ms: request.client_time_ms,
            virtual_machine: request.virtual_machine,
            license_status: u32::from(request.license_status as u8),
            minutes_to_expiry: request.minutes_to_expiry,
            publisher: Bytes::copy_from_slice(&request.publisher.0),
            product: Bytes::copy_from_slice(&request.product.0),
            product_name: String::new(),
            count: counted.map_or(0, |counted| counted.count),
            log_index,
            offset,
            other_machine: counted.is_some_and(|counted| counted.other_machine),
            machine: Bytes::copy_from_slice(&request.machine.0),
            client_address: client_address.map_or_else(String::new, |address| address.to_string()),
            application: String::new(),
        }
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every note is an answered request, and none is worth an allocation"
)]
enum Note {
    Request(AnsweredRequest),
    /// Reports when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// A handle to the activation log. A separate thread writes the events.
pub(crate) struct Activations {
    folder: PathBuf,
    queue: mpsc::Sender<Note>,
    lost: Counter,
    /// Refused requests, counted per source.
    refusals: SourceQuota,
    left_out: Counter,
}

impl Activations {
    /// Opens the log in the data folder, and continues it after the events that it holds.
    pub(crate) fn open(data: &Path, (lost, left_out): (Counter, Counter)) -> io::Result<Self> {
        let folder = data.join("activations");
        fs::create_dir_all(&folder)?;
        let last = mend(&folder)?;
        let (queue, waiting) = mpsc::channel(ACTIVATIONS_QUEUED_MAX);
        let writer = Writer {
            folder: folder.clone(),
            file: None,
            last,
            kept: (0, last),
            lost: lost.clone(),
            file_bytes_max: ACTIVATIONS_FILE_BYTES_MAX,
        };
        tasks::thread(HostTask::ActivationLog, move || writer.run(waiting))?;
        Ok(Self { folder, queue, lost, refusals: SourceQuota::every(REFUSALS_KEPT_WINDOW), left_out })
    }

    /// Queues an answered request; it gets its number when it is written. Of refused requests, only a limited number
    /// per source and time is taken, so that one source does not overwrite the events of the others.
    pub(crate) fn note(&self, answered: AnsweredRequest) {
        if answered.status != Status::OK
            && let Some(from) = answered.client_address
            && !self.refusals.admits(from, REFUSALS_KEPT_PER_SOURCE_MAX, Instant::now())
        {
            self.left_out.increment(1);
            return;
        }
        if self.queue.try_send(Note::Request(answered)).is_err() {
            self.lost.increment(1);
        }
    }

    /// Waits until all queued events are written, or could not be.
    pub(crate) async fn flush(&self) {
        let (written, all) = oneshot::channel();
        if self.queue.send(Note::Flush(written)).await.is_ok() {
            let _written_or_gone = all.await;
        }
    }

    /// The last events that pass the filter, oldest first. Reads from the disk.
    pub(crate) fn read(&self, filter: &EventsFilter) -> io::Result<Vec<ActivationEvent>> {
        let wanted = match usize::try_from(filter.last).unwrap_or(usize::MAX) {
            0 => ACTIVATIONS_SHOWN_MAX,
            last => last.min(ACTIVATIONS_SHOWN_MAX),
        };
        // The newest file first: usually it alone holds all events to be shown.
        let mut found = VecDeque::new();
        for (_, path) in files(&self.folder)?.into_iter().rev() {
            // A file that was rotated away in the meantime is skipped.
            let Ok(file) = File::open(path) else { continue };
            let mut events = Events::of(file)?;
            let (mut of_file, mut behind) = (VecDeque::new(), true);
            while let Some(event) = events.next()? {
                behind &= event.number > filter.after_number;
                if passes(filter, &event) {
                    of_file.push_back(event);
                    if found.len() + of_file.len() > wanted {
                        of_file.pop_front();
                    }
                }
            }
            of_file.append(&mut found);
            found = of_file;
            if found.len() == wanted || !behind {
                break;
            }
        }
        Ok(found.into())
    }
}

fn passes(filter: &EventsFilter, event: &ActivationEvent) -> bool {
    event.number > filter.after_number
        && event.time_ms >= filter.since_ms
        && (filter.cmid.is_empty() || filter.cmid == event.cmid)
        && (filter.machine.is_empty() || filter.machine.eq_ignore_ascii_case(&event.machine_name))
}

/// The files of the log, sorted by the number of their first event.
fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem =
            path.file_stem().and_then(|stem| stem.to_str()).filter(|_| path.extension().is_some_and(|e| e == "log"));
        if let Some(first) = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()) {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Cuts off an incomplete event at the end of the newest file. Returns the number of the last event.
fn mend(folder: &Path) -> io::Result<u64> {
    let Some((first, path)) = files(folder)?.pop() else { return Ok(0) };
    let mut events = Events::of(File::open(&path)?)?;
    let mut last = first.saturating_sub(1);
    while let Some(event) = events.next()? {
        last = event.number;
    }
    OpenOptions::new().write(true).open(&path)?.set_len(events.whole_bytes)?;
    Ok(last)
}

/// The events of one file, up to its end or to an incomplete event.
struct Events {
    file: BufReader<File>,
    whole_bytes: u64,
}

impl Events {
    fn of(file: File) -> io::Result<Self> {
        let mut file = BufReader::new(file);
        let mut head = [0; HEAD.len()];
        let whole_bytes = match file.read_exact(&mut head) {
            Ok(()) if head == HEAD => HEAD.len() as u64,
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => 0,
        };
        Ok(Self { file, whole_bytes })
    }

    fn next(&mut self) -> io::Result<Option<ActivationEvent>> {
        if self.whole_bytes == 0 {
            return Ok(None);
        }
        let (mut length, mut crc) = ([0; 4], [0; 4]);
        if !filled(&mut self.file, &mut length)? || !filled(&mut self.file, &mut crc)? {
            return Ok(None);
        }
        let (length, crc) = (u32::from_be_bytes(length) as usize, u32::from_be_bytes(crc));
        let mut bytes = vec![0; length.min(EVENT_BYTES_MAX)];
        if length > EVENT_BYTES_MAX || !filled(&mut self.file, &mut bytes)? || crc32fast::hash(&bytes) != crc {
            return Ok(None);
        }
        let Ok(event) = ActivationEvent::decode(bytes.as_slice()) else { return Ok(None) };
        self.whole_bytes += 8 + length as u64;
        Ok(Some(event))
    }
}

fn filled(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The state of the thread that writes the log.
struct Writer {
    folder: PathBuf,
    /// The newest file, and its size including the data that is not flushed yet.
    file: Option<(BufWriter<File>, u64)>,
    last: u64,
    /// The size of the newest file and the number of its last event, as of the last flush to the system.
    kept: (u64, u64),
    lost: Counter,
    file_bytes_max: u64,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Note>) {
        let (mut notes, mut flushes) = (Vec::new(), Vec::new());
        while waiting.blocking_recv_many(&mut notes, ACTIVATIONS_QUEUED_MAX) > 0 {
            let mut events = Vec::with_capacity(notes.len());
            for note in notes.drain(..) {
                match note {
                    Note::Request(answered) => events.push(answered.into()),
                    Note::Flush(written) => flushes.push(written),
                }
            }
            test_hooks::hang_activation_log();
            let wanted = self.last + events.len() as u64;
            if let Err(error) = self.write(events.into_iter()) {
                // One line for each failed write, not for each event.
                tracing::warn!(
                    %error,
                    folder = %self.folder.display(),
                    "could not write requests to the activation log; they were answered nevertheless"
                );
                self.cut_off();
                self.lost.increment(wanted.saturating_sub(self.last));
            }
            for written in flushes.drain(..) {
                let _gone = written.send(());
            }
            // Events that arrive during this pause are written together after it, without waking this thread for
            // each.
            thread::park_timeout(ACTIVATIONS_PAUSE);
        }
    }

    fn write(&mut self, events: impl Iterator<Item = ActivationEvent>) -> io::Result<()> {
        for mut event in events {
            event.number = self.last + 1;
            let bytes = event.encode_to_vec();
            let Ok(length) = u32::try_from(bytes.len()) else { continue };
            let (file, size) = self.file()?;
            file.write_all(&length.to_be_bytes())?;
            file.write_all(&crc32fast::hash(&bytes).to_be_bytes())?;
            file.write_all(&bytes)?;
            *size += 8 + u64::from(length);
            self.last += 1;
        }
        self.keep()
    }

    fn keep(&mut self) -> io::Result<()> {
        if let Some((file, size)) = &mut self.file {
            file.flush()?;
            self.kept = (*size, self.last);
        }
        Ok(())
    }

    /// Cuts the newest file off after a failed write: events after an incomplete one could not be read.
    fn cut_off(&mut self) {
        let (size, last) = self.kept;
        self.last = last;
        if let Some((file, _)) = self.file.take() {
            let (file, _unwritten) = file.into_parts();
            if let Err(error) = file.set_len(size) {
                tracing::warn!(
                    %error,
                    folder = %self.folder.display(),
                    "the activation log may hold a partial record; later records are readable after the next start at \
                     the latest"
                );
            }
        }
    }

    /// The newest file, or a new one where the newest is full.
    fn file(&mut self) -> io::Result<&mut (BufWriter<File>, u64)> {
        if self.file.as_ref().is_none_or(|(_, size)| *size >= self.file_bytes_max) {
            self.keep()?;
            let newest = files(&self.folder)?.pop();
            let appended = newest.and_then(|(_, path)| {
                let size = fs::metadata(&path).ok()?.len();
                (HEAD.len() as u64..self.file_bytes_max).contains(&size).then_some((path, size))
            });
            self.file = Some(match appended {
                Some((path, size)) => (BufWriter::new(OpenOptions::new().append(true).open(path)?), size),
                None => self.begin()?,
            });
            self.kept.0 = self.file.as_ref().map_or(0, |(_, size)| *size);
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("there is a file"))
    }

    fn begin(&self) -> io::Result<(BufWriter<File>, u64)> {
        let path = self.folder.join(format!("{:016x}.log", self.last + 1));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut file = BufWriter::new(file);
        file.write_all(HEAD)?;
        let mut kept = files(&self.folder)?;
        while kept.len() > ACTIVATIONS_FILES_MAX {
            fs::remove_file(kept.remove(0).1)?;
        }
        Ok((file, HEAD.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(machine: u64) -> ActivationEvent {
        ActivationEvent {
            time_ms: 1000 + machine,
            machine_name: format!("pc-{machine}"),
            cmid: machine.to_be_bytes().repeat(2).into(),
            ..ActivationEvent::default()
        }
    }

    fn writer(folder: &Path, file_bytes_max: u64) -> Writer {
        fs::create_dir_all(folder).unwrap();
        let last = mend(folder).unwrap();
        Writer { folder: folder.to_owned(), file: None, last, kept: (0, last), lost: Counter::noop(), file_bytes_max }
    }

    fn log(folder: &Path) -> Activations {
        Activations {
            folder: folder.to_owned(),
            queue: mpsc::channel(1).0,
            lost: Counter::noop(),
            refusals: SourceQuota::every(REFUSALS_KEPT_WINDOW),
            left_out: Counter::noop(),
        }
    }

    fn numbers(folder: &Path, filter: &EventsFilter) -> Vec<u64> {
        log(folder).read(filter).unwrap().iter().map(|event| event.number).collect()
    }

    #[test]
    fn events_are_numbered_and_found_by_their_fields() {
        let folder = tempfile::tempdir().unwrap();
        writer(folder.path(), 1 << 20).write((1..=5).map(event)).unwrap();
        writer(folder.path(), 1 << 20).write((6..=8).map(event)).unwrap();
        let all = EventsFilter::default();
        let cases = [
            (all.clone(), vec![1, 2, 3, 4, 5, 6, 7, 8]),
            (EventsFilter { last: 2, ..all.clone() }, vec![7, 8]),
            (EventsFilter { after_number: 6, ..all.clone() }, vec![7, 8]),
            (EventsFilter { since_ms: 1007, ..all.clone() }, vec![7, 8]),
            (EventsFilter { machine: "PC-3".into(), ..all.clone() }, vec![3]),
            (EventsFilter { cmid: event(4).cmid, ..all }, vec![4]),
        ];
        for (filter, expected) in cases {
            assert_eq!(numbers(folder.path(), &filter), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_partial_record_does_not_hide_later_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1 << 20);
        writer.write([event(1)].into_iter()).unwrap();
        let (file, _) = writer.file.as_mut().unwrap();
        file.get_mut().write_all(&[0, 0, 0, 30, 1, 2, 3]).unwrap();
        writer.cut_off();
        writer.write([event(2)].into_iter()).unwrap();
        assert_eq!(numbers(folder.path(), &EventsFilter::default()), [1, 2]);

        // A full disk takes no event; the numbers continue without a gap.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        writer.file = Some((BufWriter::new(full), 100));
        writer.write([event(3)].into_iter()).unwrap_err();
        writer.cut_off();
        assert_eq!(writer.last, 2);
        writer.write([event(4)].into_iter()).unwrap();
        assert_eq!(numbers(folder.path(), &EventsFilter::default()), [1, 2, 3]);
    }

    #[test]
    fn old_files_are_removed_and_partial_records_are_truncated() {
        let folder = tempfile::tempdir().unwrap();
        let mut small = writer(folder.path(), 200);
        for machine in 1..=500 {
            small.write([event(machine)].into_iter()).unwrap();
        }
        let kept = files(folder.path()).unwrap();
        assert_eq!(kept.len(), ACTIVATIONS_FILES_MAX);
        let found = numbers(folder.path(), &EventsFilter::default());
        assert_eq!((found.first(), found.last()), (Some(&kept[0].0), Some(&500)));
        assert_eq!(found.len() as u64, 501 - kept[0].0, "without a gap");

        let last = EventsFilter { last: 7, ..EventsFilter::default() };
        assert_eq!(numbers(folder.path(), &last), (494..=500).collect::<Vec<_>>(), "of as many files as it takes");

        let (_, newest) = kept.last().unwrap();
        let whole = fs::metadata(newest).unwrap().len();
        OpenOptions::new().append(true).open(newest).unwrap().write_all(&[0, 0, 0, 30, 1, 2, 3]).unwrap();
        let mut again = writer(folder.path(), 200);
        assert_eq!((again.last, fs::metadata(newest).unwrap().len()), (500, whole));
        again.write([event(501)].into_iter()).unwrap();
        assert_eq!(numbers(folder.path(), &EventsFilter { after_number: 499, ..EventsFilter::default() }), [500, 501]);
    }
}
