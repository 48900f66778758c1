//! The specification of `activation`, as tests. `guide` tests the behaviour of the published guide by R number,
//! `model` compares with a naive model, and each other file tests one module.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken assumption should fail the test")]

mod audited;
mod catalogs;
mod certificates;
mod channels;
mod clocks;
mod clocks_two;
mod commands;
mod corpus;
mod direct;
mod ending_certificates;
mod forecasts;
mod format_3;
mod golden;
mod guide;
mod host_activation;
mod ids;
mod keys;
mod lifecycle;
mod lifecycle_clocks;
mod lifecycle_model;
mod messages;
mod model;
mod phone_text;
mod refusals;
mod registry;
mod releases;
mod settings;
mod sizes;
mod snapshots;
mod tables;
mod tokens;
mod world;
