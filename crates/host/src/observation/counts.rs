//! Data that both administrators and the console request: the counts, the settings, and each member's report of its
//! own machine.

use activation::{
    settings::Setting,
    state::{ApplicationCount, State},
};
use api::admin::v1::{self as proto, CountReply, ExamineRequest, MachineReport, SettingValue};
use futures::future::join_all;

use crate::{limits::WORK_TIMEOUT, peers::node_client::NodeClient};

/// Every application's count at `expiry_ms`, the time against which machines expire.
pub(crate) fn counts(state: &State, expiry_ms: u64) -> CountReply {
    let applications = state.counts(expiry_ms).into_iter().map(application).collect();
    CountReply { applications, cluster_time_ms: expiry_ms }
}

fn application(of: ApplicationCount) -> proto::ApplicationCount {
    let products = of.products.into_iter().map(|product| proto::ProductCount {
        product: product.name.to_string(),
        group: product.group.to_string(),
        threshold: product.threshold,
        met: of.count >= product.threshold,
        falls_below_at_ms: product.forecast.without_requests_ms,
        falls_below_by_trend_ms: product.forecast.with_trend_ms,
    });
    proto::ApplicationCount {
        publisher: of.publisher_name,
        application: of.application.to_string(),
        count: of.count,
        cache_limit: of.cache_limit,
        oldest_ms: of.oldest_ms,
        expiring: of.expiring.into(),
        unrenewed: Some(of.unrenewed),
        products: products.collect(),
    }
}

/// The settings of a node; those of the cluster where no node is given.
pub(crate) fn settings(state: &State, node: Option<u64>) -> Vec<SettingValue> {
    let value = |setting: Setting| match node {
        None => state.settings().get(setting),
        Some(node) => state.node_settings(node).get(setting),
    };
    let all = Setting::ALL.into_iter();
    all.filter_map(|setting| Some(SettingValue { name: setting.name().into(), value: value(setting)? })).collect()
}

/// Each member's report of its own machine. Each member writes a small amount of data for it.
pub(crate) async fn probe_machines(nodes: &NodeClient) -> Vec<MachineReport> {
    let members = nodes.replica().cluster().members;
    let asked = members.keys().map(|&node| async move {
        let found = nodes.ask(node, ExamineRequest {}, WORK_TIMEOUT).await;
        found.unwrap_or_else(|error| MachineReport { node, passed_over: error.to_string(), ..MachineReport::default() })
    });
    join_all(asked).await
}
