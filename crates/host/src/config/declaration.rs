//! The declaration of a setting of the configuration file, and the macro that declares a section of the file.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use activation::{catalog::Name, id::NodeId};

use activation::settings::ElectionProfile;
use transport::Network;

use crate::config::{
    log_level::LogLevel,
    values::{HostIdentity, ListenAddress},
};

/// How the text of a flag or variable is read as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text that is taken unchanged.
    Text,
    /// The path of a file or folder; `quorate host init` writes it as an absolute path.
    Path,
    /// A whole number in this range; without a maximum only the file format limits it.
    Number {
        /// The smallest allowed number.
        min: u64,
        /// The largest allowed number.
        max: Option<u64>,
    },
    /// A list of parts, separated by commas.
    List,
    /// A Boolean: `true` or `false`.
    Flag,
}

/// One setting of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The setting's key in the file: `section.name`, or `name` above all sections.
    pub key: &'static str,
    /// How the setting's text is read, and which values are allowed.
    pub form: Form,
    /// The value where the file gives none, as TOML; `None` where the setting has no default.
    pub default: Option<String>,
    /// What the setting does, with its unit.
    pub help: &'static str,
}

/// A number that is below its setting's minimum.
pub(super) struct TooSmall {
    pub(super) key: &'static str,
    pub(super) number: u64,
    pub(super) fix: &'static str,
}

/// The type of a setting's value.
pub(super) trait ValueType {
    /// How text is read as a value of this type; `min` is the smallest allowed number.
    fn form(min: u64) -> Form;

    /// The value as TOML; `None` where nothing is set.
    fn toml(&self) -> Option<String>;

    /// The value as a number; `None` where it is not a number.
    fn number(&self) -> Option<u64> {
        None
    }
}

macro_rules! number {
    ($Type:ty, $max:expr) => {
        impl ValueType for $Type {
            fn form(min: u64) -> Form {
                Form::Number { min, max: $max }
            }

            fn toml(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn number(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    };
}
number!(u16, Some(u16::MAX as u64));
number!(u32, Some(u32::MAX as u64));
number!(u64, None);
number!(usize, None);

macro_rules! text {
    ($Type:ty) => {
        impl ValueType for $Type {
            fn form(_: u64) -> Form {
                Form::Text
            }

            fn toml(&self) -> Option<String> {
                Some(toml::Value::from(self.to_string()).to_string())
            }
        }
    };
}
text!(String);
text!(SocketAddr);
text!(ListenAddress);
text!(Name);
text!(HostIdentity);

impl ValueType for bool {
    fn form(_: u64) -> Form {
        Form::Flag
    }

    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl ValueType for Option<String> {
    fn form(_: u64) -> Form {
        Form::Text
    }

    fn toml(&self) -> Option<String> {
        self.as_ref()?.toml()
    }
}

impl ValueType for Option<ElectionProfile> {
    fn form(_: u64) -> Form {
        Form::Text
    }

    fn toml(&self) -> Option<String> {
        self.as_ref()?.to_string().toml()
    }
}

impl ValueType for Option<LogLevel> {
    fn form(_: u64) -> Form {
        Form::Text
    }

    fn toml(&self) -> Option<String> {
        self.as_ref()?.to_string().toml()
    }
}

impl ValueType for Option<PathBuf> {
    fn form(_: u64) -> Form {
        Form::Path
    }

    fn toml(&self) -> Option<String> {
        Some(toml::Value::from(self.as_ref()?.display().to_string()).to_string())
    }
}

macro_rules! list {
    ($Type:ty) => {
        impl ValueType for Vec<$Type> {
            fn form(_: u64) -> Form {
                Form::List
            }

            fn toml(&self) -> Option<String> {
                let entries: Vec<_> = self.iter().map(ToString::to_string).collect();
                Some(toml::Value::from(entries).to_string())
            }
        }
    };
}
list!(String);
list!(SocketAddr);
list!(IpAddr);
list!(Network);

/// The members of the first cluster; an empty map means that the setting is not given.
impl ValueType for BTreeMap<NodeId, String> {
    fn form(_: u64) -> Form {
        Form::List
    }

    fn toml(&self) -> Option<String> {
        let entries: Vec<_> = self.iter().map(|(node, address)| format!("{node}={address}")).collect();
        (!entries.is_empty()).then(|| toml::Value::from(entries).to_string())
    }
}

/// Declares a section of the file: its struct, the defaults, and its rows in the table of settings. An entry:
///
/// ```text
/// name: Type = default, at least 1, "help";
/// ```
macro_rules! section {
    (
        $(#[$doc:meta])*
        $section:literal $Section:ident {$(
            $(#[$attribute:meta])*
            $name:ident: $Type:ty = $default:expr $(, at least $min:literal)?, $help:literal;
        )*}
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $Section {$(
            #[doc = $help]
            $(#[$attribute])*
            pub $name: $Type,
        )*}

        impl Default for $Section {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl $Section {
            /// The settings of this section, in the order of the file.
            pub(super) fn declared() -> Vec<Setting> {
                let defaults = Self::default();
                vec![$(Setting {
                    key: concat!($section, ".", stringify!($name)),
                    form: <$Type as ValueType>::form(0 $(+ $min)?),
                    default: defaults.$name.toml(),
                    help: $help,
                },)*]
            }

            /// The first number of this section that is below its minimum.
            pub(super) fn too_small(&self) -> Option<TooSmall> {
                let checked = [$((
                    concat!($section, ".", stringify!($name)),
                    self.$name.number(),
                    0 $(+ $min)?,
                    concat!("give at least " $(, $min)?),
                ),)*];
                checked.into_iter().find_map(|(key, number, min, fix)| {
                    let number = number.filter(|number| *number < min)?;
                    Some(TooSmall { key, number, fix })
                })
            }
        }
    };
}
pub(super) use section;
