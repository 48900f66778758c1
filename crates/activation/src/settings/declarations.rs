//! The table of all settings that log entries change, and the type of one change.

use std::str::FromStr;

use thiserror::Error;

use super::dns::PublishDomain;
use super::gateway::{Forward, GroupName, GroupRule, Preferred, Upstream};
use super::profile::ElectionProfile;
use super::value::{Field, Form, TypedValue};
use crate::limits::{
    ACTIVATION_INTERVAL_MINUTES_DEFAULT, INTERVAL_MINUTES_MAX, INTERVAL_MINUTES_MIN, RENEWAL_INTERVAL_MINUTES_DEFAULT,
};
use crate::state::Format;

const INTERVAL: Form = Form::Number { min: INTERVAL_MINUTES_MIN, max: INTERVAL_MINUTES_MAX };
const DAY_S: u32 = 86_400;
const ANY_U16: Form = Form::Number { min: 0, max: 65_535 };

/// Whether a setting is of the cluster or of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One value for all nodes.
    Cluster,
    /// A separate value for each node.
    Node,
}

/// Generates the enum of names and the structs of values from one declaration for each setting. An entry:
///
/// ```text
/// Setting as "name.in.log.and.commands", field: Type = default, form, "help";
/// ```
macro_rules! settings {
    ($(
        $(#[$group_doc:meta])*
        $scope:ident $Group:ident {$(
            $(#[$doc:meta])*
            $Setting:ident as $name:literal, $field:ident: $Type:ty = $default:expr, $form:expr, $help:literal;
        )*}
    )*) => {
        /// The name of a setting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Setting {
            $($($(#[$doc])* $Setting,)*)*
        }

        impl Setting {
            pub const ALL: [Self; [$($($name,)*)*].len()] = [$($(Self::$Setting,)*)*];

            /// The name in log entries and snapshots of formats 1 and 2. It never changes, because every version
            /// that reads these formats must know it. Administrators see and type [`Self::name`].
            #[must_use]
            pub fn log_name(self) -> &'static str {
                match self { $($(Self::$Setting => $name,)*)* }
            }

            #[must_use]
            pub fn scope(self) -> Scope {
                match self { $($(Self::$Setting => Scope::$scope,)*)* }
            }

            /// Which values the setting accepts.
            #[must_use]
            pub fn form(self) -> Form {
                match self { $($(Self::$Setting => $form,)*)* }
            }

            /// The value where the setting was not changed.
            #[must_use]
            pub fn default_value(self) -> TypedValue {
                match self { $($(Self::$Setting => <$Type>::to_value(&$default),)*)* }
            }

            /// What the setting does, with its unit.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $($(Self::$Setting => $help,)*)* }
            }
        }

        $(
            $(#[$group_doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Group {
                $($(#[$doc])* pub $field: $Type,)*
            }

            impl Default for $Group {
                fn default() -> Self {
                    Self { $($field: $default,)* }
                }
            }

            impl $Group {
                /// The value; `None` for a setting of the other scope.
                #[must_use]
                pub fn value(&self, setting: Setting) -> Option<TypedValue> {
                    match setting {
                        $(Setting::$Setting => Some(self.$field.to_value()),)*
                        _ => None,
                    }
                }

                /// The value as text, which [`Self::set`] accepts; `None` for a setting of the other scope.
                #[must_use]
                pub fn get(&self, setting: Setting) -> Option<String> {
                    self.value(setting).map(|value| value.to_string())
                }

                /// Changes one setting.
                ///
                /// # Errors
                /// The setting is of the other scope, or does not accept this value.
                pub fn change(&mut self, change: &SettingChange) -> Result<(), SettingError> {
                    let setting = change.setting();
                    setting.check_scope(Scope::$scope)?;
                    let value = change.value()?;
                    let changed = match setting {
                        $(Setting::$Setting => Field::from_value(value).map(|value| self.$field = value),)*
                        _ => None,
                    };
                    changed.ok_or(SettingError::Value { setting })
                }

                /// Changes one setting, if it accepts the value that the text represents.
                ///
                /// # Errors
                /// As [`SettingChange::parse`].
                pub fn set(&mut self, setting: Setting, text: &str) -> Result<(), SettingError> {
                    self.change(&SettingChange::parse(Scope::$scope, setting, text)?)
                }
            }
        )*
    };
}

settings! {
    /// Settings that all nodes follow.
    Cluster Settings {
        /// R14: minutes after which a client that is not activated asks again.
        ActivationInterval as "activation.interval_minutes",
            activation_interval_minutes: u32 = ACTIVATION_INTERVAL_MINUTES_DEFAULT, INTERVAL,
            "retry interval of clients that are not activated, in minutes";
        /// R14: minutes after which an activated client renews.
        RenewalInterval as "renewal.interval_minutes",
            renewal_interval_minutes: u32 = RENEWAL_INTERVAL_MINUTES_DEFAULT, INTERVAL,
            "renewal interval of activated clients, in minutes";
        /// R28: whether nodes publish their SRV records in DNS.
        DnsPublish as "dns.publish", dns_publish: bool = true, Form::Flag,
            "whether nodes publish their SRV records in DNS";
        /// R26: the domains in which nodes publish. Empty: each node in the domain of its own name.
        DnsDomains as "dns.domains", dns_domains: Vec<PublishDomain> = Vec::new(), Form::Domains,
            "domains in which nodes publish; empty: each node in the domain of its dns.target";
        /// How long resolvers may keep a record, in seconds. One value for the cluster, because a record with
        /// another TTL changes the TTL of the whole RRset.
        DnsTtl as "dns.ttl_s", dns_ttl_s: u32 = 300, Form::Number { min: 1, max: DAY_S },
            "TTL of the records, in seconds";
        /// After how long a dead member's record is withdrawn on its behalf, in seconds; 0: never.
        DnsWithdrawDead as "dns.withdraw_dead_s",
            dns_withdraw_dead_s: u32 = 600, Form::NumberOrZero { min: 60, max: DAY_S },
            "time after which the record of a member that does not answer is withdrawn, in seconds; 0: never";
        /// R4: the most concurrent connections from one source; `None`: each node's configuration decides.
        ConnectionsPerSource as "clients.connections_per_source_max",
            connections_per_source_max: Option<u32> = None, ANY_U16,
            "most concurrent connections from one source (an IPv4 address or an IPv6 /64); 0: as in each node's configuration";
        /// The distance between the nodes, for nodes whose configuration does not set it. Since format 3.
        RaftProfile as "raft.profile", raft_profile: ElectionProfile = ElectionProfile::Near, Form::Profile,
            "election timeouts for the distance between the nodes: near (round trips up to 75 ms) or far (up to 300 ms); raft.profile in a node's configuration takes precedence";
        /// G1, G9, G11: the upstream hosts. Empty: the gateway forwards nothing. Since format 3.
        GatewayUpstreams as "gateway.upstreams", gateway_upstreams: Vec<Upstream> = Vec::new(), Form::Upstreams,
            "hosts of another vendor to which associations are forwarded; empty: none is";
        /// G3: the groups of upstreams and which associations each serves. Since format 3.
        GatewayGroups as "gateway.groups", gateway_groups: Vec<GroupRule> = Vec::new(), Form::Groups,
            "groups of upstreams, by interface and by client network; all other associations are of the group default";
        /// G1: which associations are forwarded. Since format 3.
        GatewayForward as "gateway.forward", gateway_forward: Forward = Forward::Foreign, Form::Forward,
            "which associations are forwarded: foreign (those of other interfaces than ours) or all";
        /// G5: the groups whose requests are mirrored. Since format 3.
        GatewayMirror as "gateway.mirror", gateway_mirror: Vec<GroupName> = Vec::new(), Form::GroupNames,
            "groups whose requests are also sent to their other upstreams";
        /// G3: the upstreams that an administrator prefers, whatever the leader would choose. Since format 3.
        GatewayPrefer as "gateway.prefer", gateway_prefer: Vec<Preferred> = Vec::new(), Form::Preferred,
            "upstream that an administrator prefers, for each group; empty: the leader chooses";
        /// G3: the upstreams that the leader chose from what the nodes report. Since format 3.
        GatewayChoice as "gateway.choice", gateway_choice: Vec<Preferred> = Vec::new(), Form::Preferred,
            "upstream that the leader chose, for each group; written by the leader only";
    }

    /// Settings of one node that can be changed while it runs, and that survive its restart (R36).
    Node NodeSettings {
        /// R1: the port on which the node answers clients; `None`: its configuration decides.
        ClientsPort as "clients.port", clients_port: Option<u16> = None, ANY_U16,
            "port on which one node answers clients; 0: as in its configuration";
        /// R7: whether the node runs with low priority, so that other programs get the processor first.
        LowPriority as "process.low_priority", low_priority: bool = false, Form::Flag,
            "whether the process of one node runs with low priority";
    }
}

impl Settings {
    /// The first setting that differs from its default and that `format` does not hold: its name, its value and the
    /// default.
    #[must_use]
    pub fn not_held_in(&self, format: Format) -> Option<(&'static str, TypedValue, TypedValue)> {
        let newer = Setting::ALL.into_iter().filter(|setting| setting.format() > format);
        let set = newer.filter_map(|setting| Some((setting.name(), self.value(setting)?, setting.default_value())));
        set.into_iter().find(|(_, value, default)| value != default)
    }

    /// Resets the settings that `format` does not hold to their defaults.
    pub(crate) fn put_in(&mut self, format: Format) {
        for setting in Setting::ALL.into_iter().filter(|setting| setting.format() > format && !setting.is_of_node()) {
            let default = SettingChange::from_log(setting, setting.default_value().to_string());
            let reset = self.change(&default);
            debug_assert!(reset.is_ok(), "a setting accepts its default");
        }
    }
}

/// The setting does not exist, or does not accept the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    #[error("unknown setting; the settings are {}", names())]
    Unknown,
    #[error("`{}` takes {}", setting.name(), setting.form())]
    Value { setting: Setting },
    #[error("`{}` is a setting of one node: give --node NODE", .0.name())]
    OfNode(Setting),
    #[error("`{}` is a setting of the whole cluster, not of one node", .0.name())]
    OfCluster(Setting),
}

fn names() -> String {
    Setting::ALL.map(Setting::name).join(", ")
}

impl Setting {
    /// The setting with this name in log entries and snapshots.
    #[must_use]
    pub fn from_log_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.log_name() == name)
    }

    /// The first format that holds the setting.
    #[must_use]
    pub fn format(self) -> Format {
        match self {
            Self::RaftProfile
            | Self::GatewayUpstreams
            | Self::GatewayGroups
            | Self::GatewayForward
            | Self::GatewayMirror
            | Self::GatewayPrefer
            | Self::GatewayChoice => Format::CODED,
            _ => Format::OLDEST,
        }
    }

    /// The name that administrators see and type.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.log_name()
    }

    /// Whether the setting is one of the gateway's.
    #[must_use]
    pub fn is_of_gateway(self) -> bool {
        self.log_name().starts_with("gateway.")
    }

    /// Whether each node has its own value.
    #[must_use]
    pub fn is_of_node(self) -> bool {
        self.scope() == Scope::Node
    }

    pub(super) fn check_scope(self, wanted: Scope) -> Result<(), SettingError> {
        match self.scope() {
            scope if scope == wanted => Ok(()),
            Scope::Node => Err(SettingError::OfNode(self)),
            Scope::Cluster => Err(SettingError::OfCluster(self)),
        }
    }
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(name: &str) -> Result<Self, SettingError> {
        Self::ALL.into_iter().find(|setting| setting.name() == name).ok_or(SettingError::Unknown)
    }
}

/// A new value for one setting, parsed once: when an administrator gives it, or when it is read from the log.
///
/// Log entries of formats 1 and 2 hold the text as it was given (`0120` for 120), and the audit shows it, so the
/// text is kept beside the value. Log entries may also hold a text that is not a value of the setting: such a change
/// can be read, and is refused when it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    setting: Setting,
    text: String,
    /// `None` where the text is not a value of the setting.
    value: Option<TypedValue>,
}

impl SettingChange {
    /// A change that an administrator requests, of the cluster's settings or of one node's.
    ///
    /// # Errors
    /// [`SettingError::OfNode`] or [`SettingError::OfCluster`] where the setting is of the other scope,
    /// [`SettingError::Value`] where the text is not a value of the setting.
    pub fn parse(scope: Scope, setting: Setting, text: &str) -> Result<Self, SettingError> {
        setting.check_scope(scope)?;
        let change = Self::from_log(setting, text.to_owned());
        change.value()?;
        Ok(change)
    }

    /// A change from a log entry. [`Self::value`] returns an error where it cannot be applied.
    #[must_use]
    pub fn from_log(setting: Setting, text: String) -> Self {
        let value = setting.form().parse(&text);
        Self { setting, text, value }
    }

    #[must_use]
    pub fn setting(&self) -> Setting {
        self.setting
    }

    /// The text as it was given, which log entries and the audit hold.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The new value.
    ///
    /// # Errors
    /// [`SettingError::Value`] where the text is not a value of the setting.
    pub fn value(&self) -> Result<&TypedValue, SettingError> {
        self.value.as_ref().ok_or(SettingError::Value { setting: self.setting })
    }
}
