//! Records a state at its limits: all limits except the large ones of certificates and of released activation slots.

use activation::audit::Origin;
use activation::coded::{Code, Coded};
use activation::id::NodeId;
use activation::limits::{ANNOUNCEMENTS_MAX, AUDIT_ENTRIES_KEPT, KEYS_MAX, OUTCOMES_KEPT, PUBLISHERS_MAX, TOKENS_MAX};
use activation::settings::{Setting, SettingChange};
use activation::state::{Act, Command, Grant, OpenToken};

use crate::pass::announcement;
use crate::recording::Recording;
use crate::world::*;

/// The publisher whose certificates and releases reach their limits.
fn publisher() -> Publisher {
    Publisher::new(200)
}

fn key() -> activation::key::TypedKey {
    host_key(20_000)
}

fn without_audit(to: &mut Recording, command: &Command) {
    assert_eq!(crate::names::applied(&to.command(command)), "done");
}

/// Commands that reach a limit are written without audit; commands that exceed one are audited.
pub(crate) fn record(to: &mut Recording) {
    let publisher = publisher();
    without_audit(to, &publisher.install(&publisher.catalog(1)));
    without_audit(to, &Command::InstallKey { publisher: publisher.id(), key: key() });
    for other in 300.. {
        if to.state().publishers().count() == PUBLISHERS_MAX {
            break;
        }
        let other = Publisher::new(other);
        without_audit(to, &other.install(&other.catalog(1)));
    }
    for number in 30_000.. {
        if to.state().keys().count() == KEYS_MAX {
            break;
        }
        without_audit(to, &Command::InstallKey { publisher: publisher.id(), key: host_key(number) });
    }
    for node in 501.. {
        if to.state().announcements().len() == ANNOUNCEMENTS_MAX {
            break;
        }
        let announcement = announcement(&format!("node{node}.golden.test"));
        without_audit(to, &Command::Announce { node, announcement });
    }
    // The nodes of earlier parts were forgotten together with their settings.
    for node in 501..501 + ANNOUNCEMENTS_MAX as u64 {
        without_audit(to, &node_setting(node));
    }
    // Open tokens of earlier parts expire, to make room for these.
    for number in 0..u8::try_from(TOKENS_MAX).unwrap() {
        let token = OpenToken { grant: Grant::Reader, expires_ms: to.now_ms + 400 * DAY_MS };
        to.command(&Command::AddToken { digest: digest(100 + number), token });
    }
    refused_at_the_limits(to);
}

fn node_setting(node: NodeId) -> Command {
    Command::ChangeSettings {
        node: Some(node),
        changes: vec![SettingChange::from_log(Setting::LowPriority, "true".into())],
    }
}

/// Exceeds each limit by one.
fn refused_at_the_limits(to: &mut Recording) {
    to.section("one more of each than there may be");
    let publisher = publisher();
    let other = Publisher::new(999);
    let refused = |what: &str, max: usize| format!("refused too-many/{what}/{max}");
    to.act(&refused("publishers", PUBLISHERS_MAX), other.install(&other.catalog(1)));
    let key = Command::InstallKey { publisher: publisher.id(), key: host_key(40_000) };
    to.act(&refused("keys", KEYS_MAX), key);
    let announcement = announcement("node999.golden.test");
    to.act(&refused("announcements", ANNOUNCEMENTS_MAX), Command::Announce { node: 999, announcement });
    to.act(&refused("nodes with settings of their own", ANNOUNCEMENTS_MAX), node_setting(999));
    let token = OpenToken { grant: Grant::Node, expires_ms: to.now_ms + 400 * DAY_MS };
    to.act(&refused("open tokens", TOKENS_MAX), Command::AddToken { digest: digest(99), token });
}

/// Drops the oldest acts and outcomes for newer ones; the hash chain of the acts still covers the dropped ones.
pub(crate) fn audit_and_outcomes_overflow(to: &mut Recording) {
    to.hash_every = 64;
    let act = Act::Noted { what: Coded::bare(Code::BackUp), refused: None };
    let backup = Command::Audited { origin: Origin::new("Ada", "socket", START_MS), act };
    for _ in 0..=AUDIT_ENTRIES_KEPT {
        to.once("done", backup.clone());
    }
    for _ in AUDIT_ENTRIES_KEPT..OUTCOMES_KEPT {
        to.once("done", Command::Forget { node: 9 });
    }
    to.hash_every = 1;
    // The outcome of the command that was carried out first is not stored any more.
    to.expect("done", &Command::Once { id: [0xa1; 16], command: Box::new(Command::Forget { node: 9 }) });
    to.done(Command::Forget { node: 9 });
}
