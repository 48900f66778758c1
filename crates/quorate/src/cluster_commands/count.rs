//! `quorate count`: the count of each application.

use std::process::ExitCode;

use api::admin::v1::{CountReply, CountRequest, ProductCount};
use serde_json::json;

use admin::time_text;

use crate::{
    administration::AdminArgs,
    output::{CommandResult, Output, table},
};

/// Show the count of each application, against the thresholds of its products.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Show this application only.
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let request = CountRequest { application: self.application.unwrap_or_default() };
        let reply = self.admin.ask(async |admin| admin.count(request).await)?;
        output.result(&json(&reply), text(&reply));
        Ok(ExitCode::SUCCESS)
    }
}

fn json(reply: &CountReply) -> serde_json::Value {
    let applications = reply.applications.iter().map(|application| {
        let products = application.products.iter().map(|product| {
            json!({
                "product": product.product,
                "group": product.group,
                "threshold": product.threshold,
                "met": product.met,
                "falls_below_at": product.falls_below_at_ms.map(time_text::rfc3339),
                "falls_below_by_trend_at": product.falls_below_by_trend_ms.map(time_text::rfc3339),
            })
        });
        json!({
            "publisher": application.publisher,
            "application": application.application,
            "count": application.count,
            "cache_limit": application.cache_limit,
            "oldest_at": application.oldest_ms.map(time_text::rfc3339),
            "unrenewed": application.unrenewed,
            "expiring_within_days": { "1": application.expiring.first(), "3": application.expiring.get(1), "7": application.expiring.get(2) },
            "products": products.collect::<Vec<_>>(),
        })
    });
    json!({ "applications": applications.collect::<Vec<_>>(), "cluster_time_ms": reply.cluster_time_ms })
}

fn text(reply: &CountReply) -> String {
    if reply.applications.is_empty() {
        return "No catalog is installed. Install one with `quorate catalog install FILE --trust FINGERPRINT`.".into();
    }
    let mut rows = table([
        "application",
        "count",
        "cache limit",
        "product",
        "group",
        "threshold",
        "reached",
        "below threshold (UTC)",
    ]);
    for application in &reply.applications {
        for (index, product) in application.products.iter().enumerate() {
            let first = |text: String| if index == 0 { text } else { String::new() };
            rows.add_row([
                first(format!("{} / {}", application.publisher, application.application)),
                first(application.count.to_string()),
                first(application.cache_limit.to_string()),
                product.product.clone(),
                product.group.clone(),
                product.threshold.to_string(),
                if product.met { "yes" } else { "no" }.into(),
                falls_below(product),
            ]);
        }
    }
    rows.to_string()
}

/// When the count falls below the threshold, as text: without new requests, and by the trend of the last days.
fn falls_below(product: &ProductCount) -> String {
    match (product.falls_below_at_ms, product.falls_below_by_trend_ms) {
        (None, _) => String::new(),
        (Some(at), None) => format!("{} without renewals", time_text::second(at)),
        (Some(at), Some(trend)) => {
            format!("{} without renewals; {} by the current trend", time_text::second(at), time_text::second(trend))
        }
    }
}
