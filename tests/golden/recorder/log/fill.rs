//! Every limit of the state, reached.

use activation::audit::Origin;
use activation::host_activation::ReleaseStatement;
use activation::id::NodeId;
use activation::limits::{
    ANNOUNCEMENTS_MAX, AUDIT_ENTRIES_KEPT, CERTIFICATES_MAX, KEYS_MAX, PUBLISHERS_MAX, TOKENS_MAX,
};
use activation::settings::Setting;
use activation::state::{Act, Command, Grant, OpenToken};

use crate::pass::announcement;
use crate::recording::Recording;
use crate::world::*;

/// The publisher whose certificates and releases reach the limit.
fn publisher() -> Publisher {
    Publisher::new(200)
}

fn key() -> activation::key::TypedKey {
    host_key(20_000)
}

/// Certificates in one command.
const CHUNK: usize = 64;

fn nodes(count: usize) -> Vec<NodeId> {
    (1001..).take(count).collect()
}

fn release(nodes: &[NodeId]) -> Command {
    let (publisher, key) = (publisher().id(), key().key_id());
    let statements = nodes.iter().map(|node| ReleaseStatement::sign(publisher, key, *node, &node_key(*node)));
    Command::Release { statements: statements.collect() }
}

fn without_audit(to: &mut Recording, command: &Command) {
    assert_eq!(crate::names::applied(&to.command(command)), "done");
}

/// What reaches the limits is not audited; what exceeds them is.
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
    // The nodes of earlier parts were forgotten, and their settings with them.
    for node in 501..501 + ANNOUNCEMENTS_MAX as u64 {
        without_audit(to, &node_setting(node));
    }
    // Open tokens of earlier parts expire by making room.
    for number in 0..u8::try_from(TOKENS_MAX).unwrap() {
        let token = OpenToken { grant: Grant::Reader, expires_ms: to.now_ms + 400 * DAY_MS };
        to.command(&Command::AddToken { digest: digest(100 + number), token });
    }
    to.section("certificates and places given back");
    let nodes = nodes(CERTIFICATES_MAX);
    for nodes in nodes.chunks(CHUNK) {
        without_audit(to, &publisher.activation(nodes, &key(), GROUP_SERVER, PLATFORM_SERVER));
    }
    let one_more = publisher.activation(&[9001], &key(), GROUP_SERVER, PLATFORM_SERVER);
    to.act(&format!("refused too-many/certificates/{CERTIFICATES_MAX}"), one_more.clone());
    for nodes in nodes.chunks(CHUNK) {
        without_audit(to, &release(nodes));
    }
    without_audit(to, &one_more);
    refused_at_the_limits(to, true);
}

fn node_setting(node: NodeId) -> Command {
    Command::ChangeSettings { node: Some(node), changes: vec![(Setting::LowPriority, "true".into())] }
}

/// One more of each.
pub(crate) fn refused_at_the_limits(to: &mut Recording, audits: bool) {
    to.section("one more of each than there may be");
    assert_eq!(to.audits, audits);
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
    to.act(&refused("places given back", CERTIFICATES_MAX), release(&[9001]));
}

/// The oldest acts make room for newer ones, and the chain still says what came before.
pub(crate) fn audit_overflows(to: &mut Recording) {
    for number in 0..=AUDIT_ENTRIES_KEPT {
        let origin = Origin::new("Ada", "socket", START_MS);
        let act = Act::Note { act: format!("note {number}"), refused: String::new() };
        to.command(&Command::Audited { origin, act });
    }
}
