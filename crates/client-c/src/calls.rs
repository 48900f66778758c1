//! The functions of the library.
//!
//! Pointers that C may leave out are `Option`s of references, so only texts need unsafe reads. Memory that C passes
//! to be filled is `MaybeUninit`: it need not be initialised.

#![expect(unsafe_code, reason = "names that C links to, and texts as C has them")]

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use activation::trust::Trust;
use client::{Client, Options};

use crate::argument::{given, path, required, utf8};
use crate::failure::{Failure, QuorateError, QuorateResult, chain};
use crate::status::QuorateStatus;

/// One machine with one product, as returned by quorate_client_open.
///
/// Any thread may use it; calls on one handle wait for each other. To read the status while another call waits for a
/// host, a program opens the folder twice.
pub struct QuorateClient {
    client: Mutex<Client>,
}

const _: () = {
    const fn any_thread_may_use<T: Send + Sync>() {}
    any_thread_may_use::<QuorateClient>();
};

/// Opens the machine's folder. The first call creates it with a new CMID, and the grace period of 30 days begins.
///
/// `folder` is a path; programs may share it, with `quorate client` too. `trust` is the text of the publisher's trust file,
/// not its path: build it into the program, so that users cannot replace it by another one. `error` may be NULL, here
/// and below.
///
/// Returns NULL where it fails. Free the handle with quorate_client_free.
///
/// # Safety
///
/// `folder` and `trust` are NULL or zero-terminated; `error` is NULL or points to a QuorateError, which need not be
/// initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_open(
    folder: *const c_char,
    trust: *const c_char,
    error: Option<&mut MaybeUninit<QuorateError>>,
) -> Option<Box<QuorateClient>> {
    // SAFETY: the caller's promise.
    let (folder, trust) = unsafe { (given(folder), given(trust)) };
    let opened = guarded(error, || {
        let (folder, trust) = (required("folder", folder)?, utf8("trust", required("trust", trust)?)?);
        let trust =
            Trust::from_toml(trust).map_err(|error| Failure::argument(format!("`trust`: {}", chain(&error))))?;
        let client = Client::open(path(folder), trust, Options::default())?;
        Ok(Box::new(QuorateClient { client: Mutex::new(client) }))
    });
    opened.ok()
}

/// Installs the product's setup key, so that hosts activate the machine. Installing the same key again changes nothing.
///
/// `product` may be NULL, because a setup key identifies its product. Only a direct key needs it, by its name in the
/// publisher's catalog, and only where no setup key was installed before.
///
/// # Safety
///
/// `client` is NULL or a handle that was not freed; `key` and `product` are NULL or zero-terminated; `error` is NULL or
/// points to a QuorateError.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_install_key(
    client: Option<&QuorateClient>,
    key: *const c_char,
    product: *const c_char,
    error: Option<&mut MaybeUninit<QuorateError>>,
) -> QuorateResult {
    // SAFETY: the caller's promise.
    let (key, product) = unsafe { (given(key), given(product)) };
    result(guarded(error, || {
        let key = utf8("key", required("key", key)?)?.parse().map_err(|error| Failure::key(&error))?;
        let product = product.map(|product| utf8("product", product)).transpose()?;
        let product = product.map(str::parse).transpose();
        let product = product.map_err(|error| Failure::argument(format!("`product`: {}", chain(&error))))?;
        with(client, |client| Ok(client.install_key(key, product)?))?;
        Ok(())
    }))
}

/// Uses only this host from now on, `HOST[:PORT]`: a name or an address, IPv6 in brackets. NULL: hosts are looked up in
/// DNS again, as without this call. The setting is stored in the folder.
///
/// # Safety
///
/// `client` is NULL or a handle that was not freed; `host` is NULL or zero-terminated; `error` is NULL or points to a
/// QuorateError.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_client_set_host(
    client: Option<&QuorateClient>,
    host: *const c_char,
    error: Option<&mut MaybeUninit<QuorateError>>,
) -> QuorateResult {
    // SAFETY: the caller's promise.
    let host = unsafe { given(host) };
    result(guarded(error, || {
        let host = host.map(|host| utf8("host", host)).transpose()?.map(str::parse).transpose();
        let host = host.map_err(|error| Failure::argument(format!("`host`: {}", chain(&error))))?;
        with(client, |client| {
            match host {
                Some(host) => client.set_host(host)?,
                None => client.clear_host()?,
            }
            Ok(())
        })
    }))
}

/// Sends a request to the hosts in turn, until one gives a valid answer. It blocks, some seconds for each host that
/// does not answer, so a program with a user interface calls it in a separate thread.
///
/// QUORATE_RESULT_DONE: the machine is licensed for 180 days from now. QUORATE_RESULT_NOT_ACTIVATED: `error` has the
/// reason; an earlier licence stays valid.
///
/// # Safety
///
/// `client` is NULL or a handle that was not freed; `error` is NULL or points to a QuorateError.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_client_activate(
    client: Option<&QuorateClient>,
    error: Option<&mut MaybeUninit<QuorateError>>,
) -> QuorateResult {
    result(guarded(error, || with(client, ask)))
}

/// Reads the status of the machine. It sends no request.
///
/// # Safety
///
/// `client` is NULL or a handle that was not freed; `status` points to a QuorateStatus and `error` to a QuorateError, or
/// they are NULL. Neither need be initialised. Where the call fails, `status` is not changed.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_client_status(
    client: Option<&QuorateClient>,
    status: Option<&mut MaybeUninit<QuorateStatus>>,
    error: Option<&mut MaybeUninit<QuorateError>>,
) -> QuorateResult {
    result(guarded(error, || {
        let place = status.ok_or_else(|| Failure::argument("`status` is NULL".to_owned()))?;
        let status = with(client, |client| Ok(client.status()?))?;
        place.write(QuorateStatus::from(&status));
        Ok(())
    }))
}

/// Frees the handle. The folder and its content stay. NULL is ignored.
///
/// # Safety
///
/// `client` is NULL or a handle that was not freed, and no other call with it is in progress.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_client_free(client: Option<Box<QuorateClient>>) {
    let _no_panic_to_tell = catch_unwind(AssertUnwindSafe(|| drop(client)));
}

/// Makes one attempt, on a runtime that exists for this call only.
fn ask(client: &mut Client) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal(format!("cannot start the network runtime: {error}")))?;
    let attempt = runtime.block_on(client.activate());
    // A name lookup may still be blocked in a separate thread.
    runtime.shutdown_background();
    let attempt = attempt.map_err(Failure::from)?;
    let body = attempt.result?.answered.answer.body;
    if !body.is_activated() {
        return Err(Failure::below_threshold(body.count, body.threshold));
    }
    if !attempt.status.is_licensed() {
        return Err(Failure::not_activated(
            "the key or the CMID was changed while a request was in progress: try again".to_owned(),
        ));
    }
    Ok(())
}

/// Locks the handle and runs `act` on its client.
fn with<T>(client: Option<&QuorateClient>, act: impl FnOnce(&mut Client) -> Result<T, Failure>) -> Result<T, Failure> {
    let client = client.ok_or_else(|| Failure::argument("`client` is NULL".to_owned()))?;
    let poisoned = |_| {
        Failure::internal("an earlier call with this handle failed with an internal error of the library".to_owned())
    };
    act(&mut *client.client.lock().map_err(poisoned)?)
}

/// Runs the body of a call, and writes its outcome into `error`. A panic ends here.
fn guarded<T>(
    error: Option<&mut MaybeUninit<QuorateError>>,
    act: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, QuorateResult> {
    let acted = catch_unwind(AssertUnwindSafe(act));
    let acted = acted.unwrap_or_else(|_| Err(Failure::internal("an internal error of the library".to_owned())));
    if let Some(place) = error {
        place.write(QuorateError::of(acted.as_ref().err()));
    }
    acted.map_err(|failure| failure.result)
}

fn result(acted: Result<(), QuorateResult>) -> QuorateResult {
    acted.err().unwrap_or(QuorateResult::Done)
}
