//! Commands that administrate a cluster over a node's administration: `quorate cluster`, `catalog`, `key`,
//! `settings`, `dns`, `gateway`, `count` and `console`. Each command has one file or folder.

pub(crate) mod catalog;
pub(crate) mod cluster;
pub(crate) mod console;
pub(crate) mod count;
pub(crate) mod dns;
pub(crate) mod gateway;
pub(crate) mod key;
pub(crate) mod settings;
