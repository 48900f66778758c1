//! Exchanges requests and answers with the publisher: by a file that an administrator carries, or by one call.

use std::path::{Path, PathBuf};

use activation::{catalog::SignedCatalog, phone_text::PhoneTextKind};
use anyhow::Context;
use api::admin::v1::{
    InstallActivationReply, InstallActivationRequest, NodeAndKey, RequestActivationReply, RequestActivationRequest,
    ShowCatalogsRequest,
};
use client::{Publishing, PublishingError};
use serde_json::{Value, json};

use crate::{
    administration::{Admin, refused},
    output::{
        Failure, Output,
        new_file::{ForceArgs, NewFile, Readers},
        phone_text::{DASH, PhoneTextArgs},
        table,
    },
};

/// Address of the publisher's activation service.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PublisherArgs {
    /// The publisher's activation service, called by this command itself: the nodes need no connection to it.
    #[arg(long = "publisher", value_name = "HOST:PORT")]
    pub(super) address: Option<String>,
    /// Certificates of authorities in PEM, for a service with a certificate of one of them (`publisher serve
    /// --tls-certificate`).
    #[arg(long = "publisher-ca", value_name = "FILE", requires = "address")]
    authorities: Option<PathBuf>,
}

impl PublisherArgs {
    /// The service at this address, with a certificate made by the publisher's own keys.
    pub(super) fn at(address: String) -> Self {
        Self { address: Some(address), authorities: None }
    }
}

/// The options of `--offline FILE`: in which forms the request is shown, and whether an existing file is replaced.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct RequestFile {
    #[command(flatten)]
    shown: PhoneTextArgs,
    #[command(flatten)]
    force: ForceArgs,
}

/// Where a request is written: into a file, where one is named, and to the terminal. Checked before any request is
/// made.
#[derive(Debug)]
pub(super) struct RequestTarget {
    file: Option<(PathBuf, NewFile)>,
    shown: PhoneTextArgs,
}

impl RequestFile {
    /// Checks that the file can be written; `None` without `--offline`.
    pub(super) fn target(self, offline: Option<&Path>) -> Result<Option<RequestTarget>, Failure> {
        let Self { shown, force } = self;
        let Some(path) = offline else {
            let stray = shown.is_any().then(|| Failure::usage(anyhow::anyhow!("--text and --qr need --offline")));
            return stray.map_or(Ok(None), Err);
        };
        if path.as_os_str() == DASH {
            let why = || anyhow::anyhow!("with `--offline -`, choose how to print the request: --text or --qr");
            return if shown.is_any() {
                Ok(Some(RequestTarget { file: None, shown }))
            } else {
                Err(Failure::usage(why()))
            };
        }
        Ok(Some(RequestTarget { file: Some((path.to_owned(), NewFile::at(path, force)?)), shown }))
    }
}

/// Sends the cluster's requests to the publisher, installs the answer on the cluster and prints the result. After an
/// interruption at any point the command can be repeated: the same nodes make the same requests.
pub(super) async fn online(
    admin: &mut Admin,
    publisher: &PublisherArgs,
    address: &str,
    (wanted, may_spend): (RequestActivationRequest, bool),
    output: &Output,
) -> Result<(), Failure> {
    let asked = admin.request_activation(wanted).await.map_err(refused)?.into_inner();
    if asked.request.is_empty() {
        nothing_due(output);
        return Ok(());
    }
    warn_of_reactivations(&asked, may_spend)?;
    let authorities = publisher.authorities.as_deref().map(read_authorities).transpose()?;
    let catalogs = admin.show_catalogs(ShowCatalogsRequest {}).await.map_err(refused)?.into_inner();
    let opened = catalogs.signed_catalogs.iter().map(|signed| SignedCatalog::open(signed));
    let opened = opened
        .collect::<Result<Vec<_>, _>>()
        .context("the signature of the catalog that the node sent is not valid")?;
    let catalog = opened.into_iter().find(|opened| opened.publisher.to_string() == asked.publisher_id);
    let catalog = catalog
        .with_context(|| format!("the catalog of publisher {} is not installed on the node", asked.publisher))?;
    let service = Publishing::connect(address, catalog.publisher, catalog.activation_keys, authorities.as_deref())
        .await
        .map_err(|error| not_answered(&asked, &error))?;
    let answer = service.activate(asked.request.to_vec()).await.map_err(|error| not_answered(&asked, &error))?;
    let request = InstallActivationRequest { answer: answer.into() };
    let installed = admin.install_activation(request).await.map_err(refused)?.into_inner();
    output.result(&installed_json(&installed), installed_text(&installed));
    Ok(())
}

/// Prints that no certificate is due for renewal.
fn nothing_due(output: &Output) {
    output.result(&json!({ "nodes": [] }), "No certificate is due for renewal.");
}

/// Writes the cluster's requests into a file, which an administrator carries to the publisher.
pub(super) async fn write_request(
    admin: &mut Admin,
    target: RequestTarget,
    (wanted, may_spend): (RequestActivationRequest, bool),
    output: &Output,
) -> Result<(), Failure> {
    let RequestTarget { file, shown } = target;
    let asked = admin.request_activation(wanted).await.map_err(refused)?.into_inner();
    if asked.request.is_empty() {
        nothing_due(output);
        return Ok(());
    }
    warn_of_reactivations(&asked, may_spend)?;
    let (text, mut fields) = shown.show(PhoneTextKind::Requests, &asked.request)?;
    let path = match file {
        Some((path, file)) => {
            file.write(&asked.request, Readers::Owner)?;
            Some(path.display().to_string())
        }
        None => None,
    };
    let what = path.as_ref().map_or_else(|| "This is".to_owned(), |path| format!("{path} holds"));
    fields.extend([
        ("request".into(), json!(path)),
        ("nodes".into(), json!(asked.nodes)),
        ("publisher".into(), json!(asked.publisher)),
        ("publisher_id".into(), json!(asked.publisher_id)),
        ("released".into(), json!(asked.released.iter().map(place_json).collect::<Vec<_>>())),
    ]);
    let remark = format!(
        "{what} {}. Send it to {}, then install the answer with\n  quorate key activate --answer FILE",
        asked_words(&asked),
        asked.publisher
    );
    shown.print(output, &fields, &text, &remark);
    Ok(())
}

/// Refuses to spend reactivations unless `may_spend`, and says how many are left: each host has a limited number.
fn warn_of_reactivations(asked: &RequestActivationReply, may_spend: bool) -> Result<(), Failure> {
    if may_spend || asked.reactivations.is_empty() {
        return Ok(());
    }
    let each = asked
        .reactivations
        .iter()
        .map(|one| format!("\n  node {} with key {}: {} left at its last activation", one.node, one.key_id, one.left));
    let each: String = each.collect();
    let why = anyhow::anyhow!(
        "this activation would spend a reactivation for each host whose machine changed:{each}\n\
         To spend them, repeat the command with --reactivate"
    );
    let spent =
        asked.reactivations.iter().map(|one| json!({ "node": one.node, "key_id": one.key_id, "left": one.left }));
    Err(Failure::from(why).with_details(json!({ "reactivations": spent.collect::<Vec<_>>() })))
}

fn asked_words(asked: &RequestActivationReply) -> String {
    let nodes = |places: &[NodeAndKey]| {
        let mut nodes: Vec<_> = places.iter().map(|place| place.node).collect();
        nodes.dedup();
        let numbers = nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("node{} {numbers}", if nodes.len() == 1 { "" } else { "s" })
    };
    match (asked.requested.as_slice(), asked.released.as_slice()) {
        (requested, []) => format!("the request of {}", nodes(requested)),
        ([], released) => format!("the activation slots that {} released", nodes(released)),
        (requested, released) => {
            format!("the request of {}, and the activation slots that {} released", nodes(requested), nodes(released))
        }
    }
}

fn read_authorities(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display())).map_err(Failure::usage)
}

/// The error for a request that the publisher did not answer with certificates. Nothing was spent, or a repetition
/// returns the answer that was lost.
fn not_answered(asked: &RequestActivationReply, error: &PublishingError) -> Failure {
    let (refusals, text) = match error {
        PublishingError::Refused(refusals) => {
            let lines = refusals.iter().map(|refusal| format!("\n  {refusal}"));
            (refusals.as_slice(), format!("{} refused:{}", asked.publisher, lines.collect::<String>()))
        }
        error => (&[][..], with_causes(error)),
    };
    let refused = refusals
        .iter()
        .map(|refusal| json!({ "node": refusal.node, "status": refusal.status.to_string(), "reason": refusal.reason }));
    let details = json!({
        "status": error.status().to_string(),
        "publisher": asked.publisher,
        "publisher_id": asked.publisher_id,
        "refused": refused.collect::<Vec<_>>(),
    });
    let error_text = anyhow::anyhow!("{text}\n{}", error.advice());
    let failure = match error {
        PublishingError::Address(_) | PublishingError::Certificates(_) => Failure::usage(error_text),
        _ => error_text.into(),
    };
    failure.with_details(details)
}

fn with_causes(error: &PublishingError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What the cluster installed from an answer, as JSON.
pub(super) fn installed_json(installed: &InstallActivationReply) -> Value {
    let activated = installed.activated.iter().map(|activated| {
        json!({
            "node": activated.node,
            "key_id": activated.key_id,
            "reactivations_left": activated.reactivations_left,
        })
    });
    json!({
        "publisher": installed.publisher,
        "publisher_id": installed.publisher_id,
        "nodes": installed.nodes,
        "activated": activated.collect::<Vec<_>>(),
        "released": installed.released.iter().map(place_json).collect::<Vec<_>>(),
        "passed_over": installed.passed_over.iter().map(place_json).collect::<Vec<_>>(),
    })
}

fn place_json(place: &NodeAndKey) -> Value {
    json!({ "node": place.node, "key_id": place.key_id })
}

/// What the cluster installed from an answer, as text.
pub(super) fn installed_text(installed: &InstallActivationReply) -> String {
    let mut rows = table(["node", "key id", "", "reactivations left"]);
    for activated in &installed.activated {
        let (node, left) = (activated.node.to_string(), activated.reactivations_left.to_string());
        rows.add_row([node, activated.key_id.clone(), "activated".into(), left]);
    }
    let places = [(&installed.released, "slot released"), (&installed.passed_over, "outdated, ignored")];
    for (places, what) in places {
        for place in places {
            rows.add_row([place.node.to_string(), place.key_id.clone(), what.into(), String::new()]);
        }
    }
    format!("{rows}\nThe answer of {} is installed.", installed.publisher)
}
