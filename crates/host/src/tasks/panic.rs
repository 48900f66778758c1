//! Ends the process on a panic, with the reason in the log.
//!
//! This is a panic hook and not `panic = "abort"`: a panic that is caught on purpose (an entry that cannot be
//! applied, a database that cannot be read) is still handled by its catcher, and the log names the task. It is also
//! not a `catch_unwind` around each task: libraries start tasks that this crate does not see, and unwinding would
//! poison locks, let callers go on with half a change, and run destructors that wait. The hook runs before any of
//! that.
//!
//! Only the daemon's command installs the hook. A program that embeds a [`Node`](crate::Node) (tests, the demo,
//! benchmarks, a simulation) keeps its process: there a panic ends the task, and the program has to notice it.

use std::{
    io::{self, Write as _},
    panic::PanicHookInfo,
    process::abort,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread,
};

use storage::panics::is_caught;

use crate::{
    limits::LAST_LINE_TIMEOUT,
    records::log_queue::{flush_log, is_written_by_this_thread},
};

/// Whether a thread is ending the process.
static ENDING: AtomicBool = AtomicBool::new(false);
/// Whether a panic was caught on purpose; such a panic may stop the node.
static CAUGHT: AtomicBool = AtomicBool::new(false);

/// Installs the panic hook. From then on, a panic in any thread or task of this process that is not caught on
/// purpose is logged, and ends the process with SIGABRT within twice [`LAST_LINE_TIMEOUT`]. For a process whose
/// supervisor starts it again.
pub fn end_process_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let report = Report::of(panic);
        if is_caught() {
            // The code that catches the panic reports the consequence, but does not know where the panic occurred.
            CAUGHT.store(true, Ordering::SeqCst);
            report.log("a panic was caught");
        } else {
            end(report)
        }
    }));
}

/// The content of the log line about a panic.
struct Report {
    task: String,
    at: String,
    reason: String,
    /// Whether the thread that panicked is the one that writes the log.
    is_of_log: bool,
}

impl Report {
    fn of(panic: &PanicHookInfo<'_>) -> Self {
        Self {
            task: super::current(),
            at: panic.location().map(ToString::to_string).unwrap_or_default(),
            reason: panic.payload_as_str().unwrap_or("a panic without a message").to_owned(),
            is_of_log: is_written_by_this_thread(),
        }
    }

    fn log(&self, consequence: &str) {
        let Self { task, at, reason, .. } = self;
        tracing::error!(task, %at, reason, "{consequence}");
    }

    /// Logs the panic as [`Self::log`] does, and returns only when the line is written or [`LAST_LINE_TIMEOUT`] has
    /// passed.
    fn log_now(&self, consequence: &str) {
        if self.is_of_log {
            // The thread that writes the log has just ended: write to standard error directly.
            let Self { task, at, reason, .. } = self;
            let _whatever_it_is = writeln!(io::stderr(), "ERROR {consequence} task={task:?} at={at} reason={reason:?}");
            return;
        }
        self.log(consequence);
        flush_log(LAST_LINE_TIMEOUT);
    }
}

/// Logs the first panic, and ends the process.
///
/// A separate thread writes the line, for a limited time: the thread that panicked may hold the log's lock, and the
/// reader of the log may have stopped reading. The process ends in any case.
fn end(report: Report) -> ! {
    if ENDING.swap(true, Ordering::SeqCst) {
        // Either another thread is ending the process, or this is the thread that was to write the line and
        // panicked.
        loop {
            thread::park();
        }
    }
    let (written, is_written) = sync_channel(1);
    let writer = thread::Builder::new().name("last line".into()).spawn(move || {
        report.log_now("a task panicked: the process exits, and its supervisor restarts it");
        let _nobody_waits_any_more = written.send(());
    });
    if writer.is_ok() {
        let _too_late = is_written.recv_timeout(LAST_LINE_TIMEOUT);
    }
    if CAUGHT.load(Ordering::SeqCst) {
        // This panic may be a consequence of the caught one: code that reads a half-changed state panics. The node
        // is being stopped then, with the reason of the first panic; give that time to finish.
        let (_kept, never) = sync_channel::<()>(1);
        let _not_stopped_in_time = never.recv_timeout(LAST_LINE_TIMEOUT);
    }
    // Not `exit`: it runs destructors of libraries, which may wait for the thread that panicked.
    abort()
}
