//! `quorate gateway ...`: the hosts of another vendor to which the nodes forward associations (G1 to G12).

use std::{collections::BTreeMap, process::ExitCode};

use activation::settings::{GroupName, Preferred, Setting, Settings, Upstream, UpstreamAddress};
use admin::time_text;
use anyhow::{Context as _, anyhow};
use api::admin::v1::{
    ChangeSettingsRequest, GatewayNode, GatewayStatusReply, GatewayStatusRequest, GatewayUpstream, GetSettingsRequest,
    SettingValue, UpstreamState,
};
use serde_json::{Value, json};

use crate::{
    administration::{AdminArgs, refused},
    output::{CommandResult, Failure, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate gateway set a.example.test b.example.test      a is preferred: it is named first
  quorate gateway status
  quorate gateway drain a.example.test                   before its maintenance
  quorate gateway drain a.example.test --cancel
  quorate gateway set --none                             the nodes forward nothing any more

Every node forwards the associations of foreign interfaces on its port for clients (1688) to the preferred upstream. Bytes
are passed on unchanged, and nothing of them is kept.";

const SET_EXAMPLES: &str = "\
Examples:
  quorate gateway set a.example.test b.example.test:1688
  quorate gateway set 'a.example.test?priority=0&weight=2' 'b.example.test?priority=1'
  quorate gateway set srv:_service._tcp.example.test
  quorate gateway set a.example.test 'c.branch.test?group=branch'
  quorate gateway set --none

Without ?priority= the upstreams are preferred in the order in which they are given.";

const DRAIN_EXAMPLES: &str = "\
Examples:
  quorate gateway drain a.example.test
  quorate gateway drain a.example.test --cancel";

const PREFER_EXAMPLES: &str = "\
Examples:
  quorate gateway prefer b.example.test
  quorate gateway prefer --auto                          the leader chooses again, by priority and health";

const MIRROR_EXAMPLES: &str = "\
Examples:
  quorate gateway mirror on
  quorate gateway mirror status
  quorate gateway mirror off --group branch

With mirroring each request is also sent, unchanged, to the group's other upstreams, and their answers are discarded: each of
them counts each machine once, as if the machine had sent it the request. Ask the vendor before you turn it on.";

/// Commands for the gateway.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show the upstreams, and which of them each group prefers.
    #[command(after_help = "Example:\n  quorate gateway status --json")]
    Status {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Set the upstreams. They replace the ones before.
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// HOST[:PORT] or srv:NAME, with options as in HOST?priority=1&weight=2&group=NAME.
        #[arg(value_name = "UPSTREAM", required_unless_present = "none")]
        upstreams: Vec<Upstream>,
        /// No upstreams: the nodes forward nothing any more.
        #[arg(long, conflicts_with = "upstreams")]
        none: bool,
        /// The upstream to prefer, whatever its priority.
        #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "none")]
        prefer: Option<UpstreamAddress>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Give an upstream no new associations; open ones finish.
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain {
        /// The upstream, as `gateway set` got it.
        #[arg(value_name = "UPSTREAM")]
        upstream: UpstreamAddress,
        /// Give it associations again.
        #[arg(long)]
        cancel: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Prefer an upstream, whatever its priority.
    #[command(after_help = PREFER_EXAMPLES)]
    Prefer {
        /// The upstream.
        #[arg(value_name = "HOST[:PORT]", required_unless_present = "auto")]
        upstream: Option<UpstreamAddress>,
        /// Let the leader choose by priority and health.
        #[arg(long, conflicts_with = "upstream")]
        auto: bool,
        /// The group of upstreams.
        #[arg(long, default_value_t)]
        group: GroupName,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Send requests to all upstreams of a group, so that all of them count the same machines.
    #[command(after_help = MIRROR_EXAMPLES)]
    Mirror {
        /// What to do.
        #[arg(value_enum)]
        verb: Mirror,
        /// The group of upstreams.
        #[arg(long, default_value_t)]
        group: GroupName,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// What `gateway mirror` does.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Mirror {
    /// Mirror requests from now on.
    On,
    /// Mirror no more.
    Off,
    /// Show what is mirrored.
    Status,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Status { admin } => status(&admin, output)?,
            Self::Set { upstreams, prefer, admin, .. } => set(upstreams, prefer, &admin, output)?,
            Self::Drain { upstream, cancel, admin } => drain(&upstream, cancel, &admin, output)?,
            Self::Prefer { upstream, group, admin, .. } => prefer(upstream, &group, &admin, output)?,
            Self::Mirror { verb: Mirror::Status, group, admin } => mirror_status(&group, &admin, output)?,
            Self::Mirror { verb, group, admin } => mirror(matches!(verb, Mirror::On), group, &admin, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The settings of the cluster, as one of its nodes reports them.
fn settings(admin: &AdminArgs) -> Result<Settings, Failure> {
    let reply = admin.ask(async |admin| admin.get_settings(GetSettingsRequest { node: 0 }).await)?;
    let mut settings = Settings::default();
    for SettingValue { name, value } in reply.settings.iter().filter(|setting| setting.name.starts_with("gateway.")) {
        // A newer node may have settings that this program does not know.
        let Ok(setting) = name.parse::<Setting>() else { continue };
        settings.set(setting, value).with_context(|| format!("the node reports {name} = {value:?}"))?;
    }
    Ok(settings)
}

/// Changes settings; `of` has the new values.
fn change(of: &Settings, changed: &[Setting], admin: &AdminArgs) -> Result<(), Failure> {
    let changes = changed
        .iter()
        .filter_map(|setting| Some(SettingValue { name: setting.name().to_owned(), value: of.get(*setting)? }));
    let request = ChangeSettingsRequest { changes: changes.collect(), node: 0 };
    admin.run(async |mut admin| admin.change_settings(request).await.map_err(refused).map(drop))
}

fn set(
    mut upstreams: Vec<Upstream>,
    prefer: Option<UpstreamAddress>,
    admin: &AdminArgs,
    output: &Output,
) -> Result<(), Failure> {
    // Without priorities the order is the preference.
    if upstreams.iter().all(|upstream| upstream.priority == 0 && upstream.weight == 0) {
        for (priority, upstream) in (0..).zip(&mut upstreams) {
            upstream.priority = priority;
        }
    }
    let preferred = match prefer {
        None => Vec::new(),
        Some(address) => {
            let entry = upstreams.iter().find(|upstream| upstream.address == address);
            let entry = entry.with_context(|| format!("--prefer {address}: it is not one of the upstreams given"));
            vec![Preferred { group: entry.map_err(Failure::usage)?.group.clone(), address }]
        }
    };
    let mut settings = Settings { gateway_upstreams: upstreams, gateway_prefer: preferred, ..settings(admin)? };
    let has_upstream = |group: &GroupName| settings.gateway_upstreams.iter().any(|upstream| upstream.group == *group);
    settings.gateway_mirror = settings.gateway_mirror.iter().filter(|group| has_upstream(group)).cloned().collect();
    change(&settings, &[Setting::GatewayUpstreams, Setting::GatewayPrefer, Setting::GatewayMirror], admin)?;
    let shown: Vec<_> = settings.gateway_upstreams.iter().map(ToString::to_string).collect();
    let said = match shown.as_slice() {
        [] => "There are no upstreams: the nodes forward nothing.".to_owned(),
        upstreams => format!(
            "Every node forwards associations of foreign interfaces to: {}\nNext: quorate gateway status",
            upstreams.join(", ")
        ),
    };
    output.result(&json!({ "upstreams": shown }), said);
    Ok(())
}

fn drain(address: &UpstreamAddress, cancel: bool, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let mut settings = settings(admin)?;
    let found = settings.gateway_upstreams.iter_mut().find(|upstream| upstream.address == *address);
    let upstream = found.ok_or_else(|| anyhow!("{address} is not an upstream: `quorate gateway status` lists them"))?;
    upstream.is_drained = !cancel;
    change(&settings, &[Setting::GatewayUpstreams], admin)?;
    let said = if cancel { "gets associations again" } else { "gets no new associations; open ones finish" };
    output.result(&json!({ "upstream": address.to_string(), "drained": !cancel }), format_args!("{address} {said}."));
    Ok(())
}

fn prefer(
    address: Option<UpstreamAddress>,
    group: &GroupName,
    admin: &AdminArgs,
    output: &Output,
) -> Result<(), Failure> {
    let mut settings = settings(admin)?;
    settings.gateway_prefer.retain(|preferred| preferred.group != *group);
    if let Some(address) = &address {
        settings.gateway_prefer.push(Preferred { group: group.clone(), address: address.clone() });
    }
    change(&settings, &[Setting::GatewayPrefer], admin)?;
    let shown = address.as_ref().map(ToString::to_string);
    let said = match &shown {
        Some(address) => format!("Group {group} prefers {address}."),
        None => format!("The leader chooses the preferred upstream of group {group}."),
    };
    output.result(&json!({ "group": group.as_str(), "prefer": shown }), said);
    Ok(())
}

fn mirror(is_on: bool, group: GroupName, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let mut settings = settings(admin)?;
    settings.gateway_mirror.retain(|mirrored| *mirrored != group);
    if is_on {
        settings.gateway_mirror.push(group.clone());
    }
    change(&settings, &[Setting::GatewayMirror], admin)?;
    let said = if is_on { "are sent to all its upstreams" } else { "are sent to one upstream each" };
    output.result(
        &json!({ "group": group.as_str(), "mirror": is_on }),
        format_args!("Requests of group {group} {said}."),
    );
    Ok(())
}

fn mirror_status(group: &GroupName, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let settings = settings(admin)?;
    let is_on = settings.gateway_mirror.contains(group);
    let reply = admin.ask(async |admin| admin.gateway_status(GatewayStatusRequest {}).await)?;
    let upstreams = over_nodes(&reply.nodes).into_values().filter(|seen| seen.group == group.as_str());
    let upstreams: Vec<_> = upstreams.map(|seen| (seen.address, seen.mirrored, seen.mirror_dropped)).collect();
    let mut rows = table(["upstream", "mirrored", "dropped"]);
    for (address, mirrored, dropped) in &upstreams {
        rows.add_row([address.clone(), mirrored.to_string(), dropped.to_string()]);
    }
    let listed = upstreams
        .iter()
        .map(|(address, mirrored, dropped)| json!({ "address": address, "mirrored": mirrored, "dropped": dropped }));
    output.result(
        &json!({ "group": group.as_str(), "mirror": is_on, "upstreams": listed.collect::<Vec<_>>() }),
        format_args!("Mirroring of group {group} is {}.\n{rows}", if is_on { "on" } else { "off" }),
    );
    Ok(())
}

/// One upstream over all nodes that answered.
#[derive(Clone, Debug, Default)]
struct Seen {
    group: String,
    address: String,
    priority: u32,
    weight: u32,
    /// How many nodes see it in each state, and the shortest time for which one does.
    states: BTreeMap<&'static str, (usize, u64)>,
    open: u64,
    associations: u64,
    failures: u64,
    mirrored: u64,
    mirror_dropped: u64,
    bind_us: Vec<u64>,
    why: BTreeMap<u64, String>,
}

impl Seen {
    fn add(&mut self, node: u64, upstream: &GatewayUpstream) {
        let (count, shortest) = self.states.entry(state_name(upstream.state())).or_insert((0, u64::MAX));
        *count += 1;
        *shortest = upstream.in_state_ms.min(*shortest);
        (self.group, self.address) = (upstream.group.clone(), upstream.address.clone());
        (self.priority, self.weight) = (upstream.priority, upstream.weight);
        self.open += upstream.open;
        self.associations += upstream.associations;
        self.failures += upstream.failures;
        self.mirrored += upstream.mirrored;
        self.mirror_dropped += upstream.mirror_dropped;
        self.bind_us.extend(upstream.bind_us);
        if !upstream.why.is_empty() {
            self.why.insert(node, upstream.why.clone());
        }
    }

    /// The state that most nodes see, and for how long; the worse one where as many see another.
    fn state(&self) -> (&'static str, u64) {
        let worst = |name: &str| STATES.iter().position(|known| *known == name).unwrap_or(0);
        let most = self.states.iter().max_by_key(|(name, (count, _))| (*count, worst(name)));
        most.map_or(("unknown", 0), |(name, (_, shortest))| (*name, *shortest))
    }

    /// The median time of a bind, in milliseconds.
    fn bind_ms(&self) -> Option<f64> {
        let mut sorted = self.bind_us.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2)?;
        Some(f64::from(u32::try_from(*median).unwrap_or(u32::MAX)) / 1000.0)
    }
}

/// The names of the states, the worst last.
const STATES: [&str; 4] = ["healthy", "unknown", "failing", "drained"];

fn state_name(state: UpstreamState) -> &'static str {
    match state {
        UpstreamState::Unspecified | UpstreamState::Unknown => "unknown",
        UpstreamState::Healthy => "healthy",
        UpstreamState::Failing => "failing",
        UpstreamState::Drained => "drained",
    }
}

/// The upstreams by group, priority, weight and address.
fn over_nodes(nodes: &[GatewayNode]) -> BTreeMap<(String, u32, std::cmp::Reverse<u32>, String), Seen> {
    let mut seen: BTreeMap<_, Seen> = BTreeMap::new();
    for node in nodes {
        for upstream in &node.upstreams {
            let weight = std::cmp::Reverse(upstream.weight);
            let key = (upstream.group.clone(), upstream.priority, weight, upstream.address.clone());
            seen.entry(key).or_default().add(node.node, upstream);
        }
    }
    seen
}

/// The groups with their preferred upstream and whether they mirror, as the first node that answered reports them.
fn groups(reply: &GatewayStatusReply) -> Vec<(String, Option<String>, bool)> {
    let groups = reply.nodes.iter().find(|node| !node.groups.is_empty()).map(|node| node.groups.as_slice());
    let groups = groups.unwrap_or_default().iter();
    let preferred = |address: &str| (!address.is_empty()).then(|| address.to_owned());
    groups.map(|group| (group.name.clone(), preferred(&group.preferred), group.mirror)).collect()
}

fn status(admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let reply = admin.ask(async |admin| admin.gateway_status(GatewayStatusRequest {}).await)?;
    output.passed_over(&reply.passed_over);
    output.result(&status_json(&reply, client::time_ms()), status_text(&reply));
    Ok(())
}

fn last_request_ms(reply: &GatewayStatusReply, now_ms: u64) -> Option<u64> {
    let ago = reply.nodes.iter().filter_map(|node| node.last_request_ago_ms).min()?;
    Some(now_ms.saturating_sub(ago))
}

fn status_json(reply: &GatewayStatusReply, now_ms: u64) -> Value {
    let groups = groups(reply)
        .into_iter()
        .map(|(name, preferred, mirror)| json!({ "name": name, "preferred": preferred, "mirror": mirror }));
    let upstreams = over_nodes(&reply.nodes).into_values().map(|seen| {
        let (state, for_ms) = seen.state();
        json!({
            "group": seen.group, "address": seen.address, "priority": seen.priority, "weight": seen.weight,
            "state": state, "since": time_text::rfc3339(now_ms.saturating_sub(for_ms)),
            "open": seen.open, "associations": seen.associations, "failures": seen.failures,
            "mirrored": seen.mirrored, "mirror_dropped": seen.mirror_dropped, "bind_ms": seen.bind_ms(),
            "why": seen.why.iter().map(|(node, why)| json!({ "node": node, "why": why })).collect::<Vec<_>>(),
        })
    });
    json!({
        "groups": groups.collect::<Vec<_>>(),
        "upstreams": upstreams.collect::<Vec<_>>(),
        // The windows are 1, 7, 30 and 180 days.
        "clients_30d": reply.clients.get(2).map(|clients| clients.round()),
        "last_request": last_request_ms(reply, now_ms).map(time_text::rfc3339),
        "passed_over": reply.passed_over,
    })
}

fn status_text(reply: &GatewayStatusReply) -> String {
    let groups = groups(reply);
    if groups.is_empty() {
        return "There are no upstreams: the nodes forward nothing.\nNext: quorate gateway set HOST[:PORT]...".into();
    }
    let mut rows = table(["upstream", "group", "state", "open", "associations", "failures", "bind"]);
    for seen in over_nodes(&reply.nodes).into_values() {
        let preferred = groups
            .iter()
            .any(|(name, preferred, _)| *name == seen.group && preferred.as_deref() == Some(seen.address.as_str()));
        let (state, _) = seen.state();
        let shown = match seen.why.iter().next() {
            Some((node, why)) => format!("{state}: {why} (node {node})"),
            None => state.to_owned(),
        };
        rows.add_row([
            format!("{}{}", seen.address, if preferred { " (preferred)" } else { "" }),
            seen.group.clone(),
            shown,
            seen.open.to_string(),
            seen.associations.to_string(),
            seen.failures.to_string(),
            seen.bind_ms().map_or_else(String::new, |ms| format!("{ms:.1} ms")),
        ]);
    }
    let mirrored: Vec<_> = groups.iter().filter(|(.., mirror)| *mirror).map(|(name, ..)| name.as_str()).collect();
    let mirrored = match mirrored.as_slice() {
        [] => String::new(),
        groups => format!("\nMirrored groups: {}", groups.join(", ")),
    };
    let clients = reply.clients.get(2).map_or(0.0, |clients| clients.round());
    format!("{rows}{mirrored}\nDistinct client addresses within 30 days: about {clients}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(address: &str, state: UpstreamState, in_state_ms: u64) -> GatewayUpstream {
        GatewayUpstream {
            group: "default".into(),
            address: address.into(),
            state: state.into(),
            in_state_ms,
            associations: 2,
            bind_us: Some(1500),
            ..GatewayUpstream::default()
        }
    }

    #[test]
    fn the_state_of_an_upstream_is_what_most_nodes_see() {
        let node = |node, state, ms| GatewayNode {
            node,
            upstreams: vec![upstream("a.test:1688", state, ms)],
            ..GatewayNode::default()
        };
        let reply = GatewayStatusReply {
            nodes: vec![
                node(1, UpstreamState::Failing, 4000),
                node(2, UpstreamState::Healthy, 9000),
                node(3, UpstreamState::Failing, 5000),
            ],
            clients: vec![1.0, 1.0, 2.4, 3.0],
            ..GatewayStatusReply::default()
        };
        let shown = status_json(&reply, 10_000);
        let upstream = &shown["upstreams"][0];
        assert_eq!((&upstream["state"], &upstream["associations"]), (&json!("failing"), &json!(6)));
        assert_eq!((&upstream["since"], &upstream["bind_ms"]), (&json!("1970-01-01T00:00:06Z"), &json!(1.5)));
        assert_eq!((&shown["clients_30d"], &shown["last_request"]), (&json!(2.0), &Value::Null));
    }
}
