//! Settings that the cluster shares: an administrator sets them once, and all nodes follow them (R14, R26, R28,
//! R36).
//!
//! Each setting is declared once, in the table of [`declarations`]: its name, form, default and help. A value is
//! text where administrators give and read it, and typed everywhere else. A setting that concerns one node alone and
//! takes effect when it starts is in that node's configuration, not here.

mod declarations;
mod dns;
mod gateway;
mod profile;
mod value;

pub use declarations::{NodeSettings, Scope, Setting, SettingChange, SettingError, Settings};
pub use dns::{Announcement, DomainName, PublishDomain, Rank};
pub use gateway::{DEFAULT_GROUP, Forward, GroupName, GroupRule, Preferred, UPSTREAM_PORT, Upstream, UpstreamAddress};
pub use profile::{ElectionProfile, UnknownProfile};
pub use value::{Form, TypedValue};
