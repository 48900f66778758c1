//! Tests of the configuration from file, flags and variables.

use clap::{Args as _, FromArgMatches as _};
use transport::Network;

use super::*;

const FILE: &str = "node = 1\ndata = \"data\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "node.toml", &Overrides::default())
}

fn refusal(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn flags(given: &[&str]) -> Overrides {
    let command = Overrides::augment_args(clap::Command::new("test"));
    let matches = command.try_get_matches_from([&["test"], given].concat()).unwrap();
    Overrides::from_arg_matches(&matches).unwrap()
}

fn names(config: &Config) -> Vec<String> {
    config.old_names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_with_only_the_required_settings_has_the_defaults_of_the_table() {
    let config = parse(FILE).unwrap();
    // The commented file with every default uncommented.
    let mut text = String::new();
    let mut section = "";
    for setting in settings::SETTINGS.iter() {
        let (of, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if of != section {
            section = of;
            text += &format!("[{section}]\n");
        }
        match (&setting.default, setting.key) {
            (Some(default), _) => text += &format!("{name} = {default}\n"),
            (None, "node") => text += "node = 1\n",
            (None, "data") => text += "data = \"data\"\n",
            (None, _) => {}
        }
    }
    assert_eq!(format!("{:?}", parse(&text).unwrap()), format!("{config:?}"));
    assert_eq!(config.clients.listen.to_string(), "[::]:1688");
    assert_eq!((config.admin.listen.to_string(), config.dns.service.as_str()), ("[::]:1690".into(), "_vlmcs._tcp"));
}

#[test]
fn values_are_typed_after_parsing() {
    let text = format!("{FILE}[peers]\nmembers = [\"1= a:1\", \"2=[::1]:2\"]\n[admin]\nlisten = \"off\"\n");
    let config = parse(&text).unwrap();
    assert_eq!(config.peers.members.into_iter().collect::<Vec<_>>(), [(1, "a:1".into()), (2, "[::1]:2".into())]);
    assert_eq!((config.admin.listen.get(), config.metrics.listen.get().unwrap().port()), (None, 9688));
    let over = Config::parse(&text, "node.toml", &flags(&["--peers-members", "1=b:1, 7=c:3"])).unwrap();
    assert_eq!(over.peers.members.into_keys().collect::<Vec<_>>(), [1, 7]);
    let networks = flags(&["--clients-exempt", "10.0.0.0/8, 192.0.2.7", "--admin-allow", "2001:db8::/32"]);
    let over = Config::parse(&text, "node.toml", &networks).unwrap();
    let shown = |networks: Vec<Network>| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(over.clients.exempt), ["10.0.0.0/8", "192.0.2.7/32"]);
    assert_eq!((shown(over.admin.allow), shown(over.peers.allow)), (vec!["2001:db8::/32".to_owned()], vec![]));
}

#[test]
fn an_error_names_the_file_the_key_and_the_fix() {
    for (text, expected) in [
        ("[peers]\nmembers = [\"2=a:1\"]", "node.toml: peers.members: this node, 1, is not listed; list"),
        ("[peers]\nmembers = [\"1=a\"]", "node.toml: peers.members: \"1=a\" is not NODE=HOST:PORT; write each as"),
        (
            "[peers]\nmembers = [\"1=::1:1689\"]",
            "node.toml: peers.members: \"1=::1:1689\" is not NODE=HOST:PORT; write each as",
        ),
        ("[peers]\nmembers = [\"1=a:1\", \"1=b:1\"]", "node.toml: peers.members: node 1 is listed twice; give"),
        (
            "[clients]\nallow = [\"10.0.0.0/33\"]",
            "node.toml: clients.allow: \"10.0.0.0/33\" is not a network; write ADDRESS/BITS",
        ),
        ("[admin]\nlisten = \"here\"", "node.toml: admin.listen: \"here\": invalid socket address syntax; give"),
        ("[clients]\nlisten = \"here\"", "node.toml: clients.listen: invalid socket address syntax; correct"),
        ("[clients]\nidle_timeout_s = 0", "node.toml: clients.idle_timeout_s: it is 0; give at least 1"),
        ("[dns]\nrepublish_h = 0", "node.toml: dns.republish_h: it is 0; give at least 1"),
        ("[dns]\nweight = 65536", "node.toml: dns.weight: "),
        ("[tls]\nkey = \"k\"", "node.toml: tls.authority: an organisation's authority needs all three files; give"),
    ] {
        let refused = refusal(&format!("{FILE}{text}\n"));
        assert!(refused.starts_with(expected), "{refused}");
    }
    let refused = refusal(&format!("platform = \"A B\"\n{FILE}"));
    assert_eq!(
        refused,
        "node.toml: platform: \"A B\" is not the name of a platform class; use the name in the publisher's catalog"
    );
    let refused = Config::parse(FILE, "node.toml", &flags(&["--admin-listen", "here"])).unwrap_err().to_string();
    assert!(refused.starts_with("flags and QUORATE_ variables: admin.listen: \"here\""), "{refused}");
}

#[test]
fn old_names_in_the_file_are_accepted_with_a_warning_and_not_beside_the_new_ones() {
    let text = format!("{FILE}[clients]\nconnections_per_source_max = 7\n[dns]\npublish = false\n");
    let config = parse(&text).unwrap();
    assert_eq!((config.clients.connections_per_source_default, config.dns.publish_node), (7, false));
    assert_eq!(
        names(&config),
        [
            "node.toml: clients.connections_per_source_max is now called clients.connections_per_source_default: use \
             the new name",
            "node.toml: dns.publish is now called dns.publish_node: use the new name",
        ]
    );
    assert!(names(&parse(&format!("{FILE}[dns]\npublish_node = false\n")).unwrap()).is_empty());
    let both = refusal(&format!("{FILE}[dns]\npublish = false\npublish_node = true\n"));
    assert_eq!(
        both,
        "node.toml: dns.publish: is now called dns.publish_node, which is given as well; remove the old one"
    );
}

#[test]
fn old_flags_are_accepted_with_a_warning_and_override_the_file() {
    let text = format!("{FILE}[dns]\npublish = true\n");
    let given = flags(&["--dns-publish", "false", "--clients-connections-per-source-max", "9"]);
    let config = Config::parse(&text, "node.toml", &given).unwrap();
    assert_eq!((config.clients.connections_per_source_default, config.dns.publish_node), (9, false));
    assert_eq!(names(&config).len(), 3);
    assert_eq!(
        given.old_names().last().map(ToString::to_string).as_deref(),
        Some("--dns-publish is now called --dns-publish-node: use the new name")
    );
    let new_stands = flags(&["--dns-publish", "false", "--dns-publish-node", "true"]);
    assert!(Config::parse(FILE, "node.toml", &new_stands).unwrap().dns.publish_node);
    // A file that is written from these flags has the new names only.
    let written = init::configuration(&flags(&["--node", "1", "--data", "d", "--dns-publish", "false"]));
    assert!(written.contains("\npublish_node = false\n") && !written.contains("\npublish = "), "{written}");
    let help = Overrides::augment_args(clap::Command::new("test")).render_long_help().to_string();
    assert!(help.contains("--dns-publish-node") && !help.contains("--dns-publish "), "{help}");
}
