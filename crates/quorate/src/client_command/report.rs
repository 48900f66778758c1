//! What `quorate client activate` prints about one exchange with a host.

use std::fmt::{self, Write};

use activation::id::Cmid;
use client::{ActivateError, AskError, Exchange};
use data_encoding::HEXLOWER;
use serde::Serialize;

/// Exit code of `client activate` where no host or publisher was reached, beside the common exit codes.
pub(super) const EXIT_NOT_REACHED: u8 = 3;

/// The outcome as JSON. Every key is always present; keys whose value comes from a verified answer are null without
/// one.
#[derive(Debug, Serialize)]
pub(super) struct ActivateReport {
    activated: bool,
    status: String,
    words: &'static str,
    advice: Option<&'static str>,
    error: Option<String>,
    /// With 0xC004F042, from the host's answer: the lowest group that covers the product, and the groups of the
    /// host's keys.
    group_needed: Option<String>,
    groups_held: Option<Vec<String>>,
    cmid: String,
    host: String,
    /// How the host that answered was found: `fixed`, `cache` or `srv`.
    found_by: Option<&'static str>,
    #[serde(flatten)]
    answer: AnswerReport,
}

#[derive(Debug, Default, Serialize)]
struct AnswerReport {
    count: Option<u32>,
    threshold: Option<u32>,
    /// Public key of the node that answered.
    node_key: Option<String>,
    activation_interval_minutes: Option<u32>,
    renewal_interval_minutes: Option<u32>,
    log_index: Option<u64>,
    offset: Option<u32>,
    cluster_time_ms: Option<u64>,
    request_pdu_bytes: Option<usize>,
    response_pdu_bytes: Option<usize>,
}

impl ActivateReport {
    pub(super) fn answered(Exchange { answered, request, found_by, .. }: &Exchange) -> Self {
        let (status, body) = (answered.status(), &answered.answer.body);
        let answer = AnswerReport {
            count: Some(body.count),
            threshold: Some(body.threshold),
            node_key: Some(HEXLOWER.encode(&answered.answer.certificate.node_key)),
            activation_interval_minutes: Some(body.activation_interval_minutes),
            renewal_interval_minutes: Some(body.renewal_interval_minutes),
            log_index: Some(body.log_index),
            offset: Some(body.offset),
            cluster_time_ms: Some(body.cluster_time_ms),
            request_pdu_bytes: Some(answered.request_pdu_bytes),
            response_pdu_bytes: Some(answered.response_pdu_bytes),
        };
        Self {
            activated: body.is_activated(),
            status: status.to_string(),
            words: status.words(),
            advice: (!body.is_activated()).then(|| status.advice()),
            error: None,
            group_needed: None,
            groups_held: None,
            cmid: request.cmid.to_string(),
            host: answered.peer.to_string(),
            found_by: Some(found_by.name()),
            answer,
        }
    }

    /// The outcome where no host answered; the CMID is known.
    pub(super) fn not_found(cmid: Cmid, error: &AskError) -> Self {
        let status = error.status();
        let mut said: Vec<_> = error
            .tried()
            .iter()
            .map(|tried| format!("{} ({}): {}", tried.host.target, tried.found_by.name(), with_causes(&tried.error)))
            .collect();
        if let AskError::Lookup { error, .. } = error {
            said.push(with_causes(error));
        }
        let host = match error.tried() {
            [tried] => tried.host.endpoint(),
            _ => String::new(),
        };
        let detail = error.tried().iter().find_map(|tried| match &tried.error {
            ActivateError::Refused { detail, .. } => detail.as_ref(),
            _ => None,
        });
        Self {
            activated: false,
            status: status.to_string(),
            words: status.words(),
            advice: Some(error.advice()),
            error: Some(said.join("; ")),
            cmid: cmid.to_string(),
            host,
            found_by: None,
            answer: AnswerReport::default(),
            group_needed: detail.and_then(|detail| detail.needed.as_ref()).map(ToString::to_string),
            groups_held: detail.map(|detail| detail.held.iter().map(ToString::to_string).collect()),
        }
    }
}

pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

/// The outcome as text.
pub(super) struct ActivateText<'a> {
    pub(super) report: &'a ActivateReport,
    pub(super) product: &'a str,
}

impl fmt::Display for ActivateText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let (product, verdict) = (self.product, if report.activated { "activated" } else { "not activated" });
        write!(f, "{product} is {verdict}: {} ({})", report.words, report.status)?;
        if let Some(error) = &report.error {
            write!(f, "\n  {error}")?;
        }
        if let Some(advice) = report.advice {
            write!(f, "\n  {advice}")?;
        }
        row(f, "count", report.answer.count)?;
        row(f, "threshold", report.answer.threshold)?;
        row(f, "host", Some(&report.host).filter(|host| !host.is_empty()))?;
        row(f, "found by", report.found_by)?;
        row(f, "node key", report.answer.node_key.as_ref())?;
        row(f, "CMID", Some(&report.cmid))?;
        row(f, "retries in", report.answer.activation_interval_minutes.map(Minutes))?;
        row(f, "renews every", report.answer.renewal_interval_minutes.map(Minutes))?;
        row(f, "log entry", report.answer.log_index)?;
        row(f, "offset in entry", report.answer.offset)?;
        row(f, "request PDU bytes", report.answer.request_pdu_bytes)?;
        row(f, "answer PDU bytes", report.answer.response_pdu_bytes)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "\n  {name:<18} {value}"))
}

/// A number of minutes, shown in the largest fitting unit: "2 h", "7 d".
struct Minutes(u32);

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HOUR: u32 = 60;
        const DAY: u32 = 24 * HOUR;
        let (days, hours, minutes) = (self.0 / DAY, self.0 % DAY / HOUR, self.0 % HOUR);
        let parts = [(days, "d"), (hours, "h"), (minutes, "min")];
        let mut shown = parts.iter().filter(|(number, _)| *number > 0);
        match shown.next() {
            None => f.write_str("0 min"),
            Some((number, unit)) => {
                write!(f, "{number} {unit}")?;
                shown.try_for_each(|(number, unit)| write!(f, " {number} {unit}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Minutes;

    #[test]
    fn minutes_are_shown_as_people_count_them() {
        for (minutes, shown) in
            [(0, "0 min"), (15, "15 min"), (120, "2 h"), (1_500, "1 d 1 h"), (10_080, "7 d"), (1_441, "1 d 1 min")]
        {
            assert_eq!(Minutes(minutes).to_string(), shown);
        }
    }
}
