//! Settings that the cluster shares: set once, every node follows (R14, R26, R28, R36).
//!
//! Each is declared once, in the table of [`declarations`]: its name, form, default and help. A value is text where people
//! give and read it, and typed from there on. What is of one node alone and takes effect when it starts stands in that
//! node's configuration, not here.

mod declarations;
mod dns;
mod profile;
mod value;

pub use declarations::{NodeSettings, Scope, Setting, SettingChange, SettingError, Settings};
pub use dns::{Announcement, DomainName, PublishDomain, Rank};
pub use profile::{ElectionProfile, UnknownProfile};
pub use value::{Form, TypedValue};
