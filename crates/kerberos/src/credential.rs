//! Acquires a credential from a given keytab into a given cache (`gss_acquire_cred_from`).
//!
//! The safe binding offers only the process's default keytab and cache, which environment variables name: one pair
//! for all accounts of a process, and it must not be changed while threads run. So this module makes the call
//! itself, and also the calls that import and release the name for it.

use std::ffi::{CStr, CString, c_void};
use std::ptr;

use libgssapi::credential::Cred;
use libgssapi::error::{Error, MajorFlags};
use libgssapi::oid::{GSS_MECH_KRB5, GSS_MECH_SPNEGO, GSS_NT_KRB5_PRINCIPAL, Oid};
use libgssapi_sys as library;

/// Acquires a credential to initiate contexts, for plain Kerberos and for negotiation (SPNEGO). None of the three
/// texts may contain a zero byte.
pub(crate) fn acquire(keytab: &str, principal: Option<&str>, cache: &str) -> Result<Cred, Error> {
    let keytab = format!("FILE:{keytab}");
    let name = principal.map(Name::of_principal).transpose()?;
    acquire_from(name.as_ref(), &text(&keytab)?, &text(cache)?)
}

fn text(value: &str) -> Result<CString, Error> {
    CString::new(value).map_err(|_| Error { major: MajorFlags::GSS_S_BAD_NAME, minor: 0 })
}

/// A principal in the library's type.
struct Name(library::gss_name_t);

impl Name {
    #[expect(unsafe_code, reason = "the safe binding does not expose its names")]
    fn of_principal(principal: &str) -> Result<Self, Error> {
        let mut buffer =
            library::gss_buffer_desc { length: principal.len(), value: principal.as_ptr().cast_mut().cast::<c_void>() };
        let mut kind = described(GSS_NT_KRB5_PRINCIPAL);
        let (mut minor, mut name) = (0, ptr::null_mut());
        // SAFETY: every pointer is to a local that outlives the call; the library copies the text, only reads the
        // two inputs, and writes the two outputs.
        let major = unsafe { library::gss_import_name(&mut minor, &mut buffer, &mut kind, &mut name) };
        if major == library::GSS_S_COMPLETE { Ok(Self(name)) } else { Err(failed(major, minor)) }
    }
}

impl Drop for Name {
    #[expect(unsafe_code, reason = "the library must free what it allocated")]
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the name is the library's own, imported in `of_principal` and released only here.
        unsafe { library::gss_release_name(&mut minor, &mut self.0) };
    }
}

#[expect(unsafe_code, reason = "the safe binding has no gss_acquire_cred_from")]
fn acquire_from(name: Option<&Name>, keytab: &CStr, cache: &CStr) -> Result<Cred, Error> {
    let element = |key: &'static CStr, value: &CStr| library::gss_key_value_element_struct {
        key: key.as_ptr(),
        value: value.as_ptr(),
    };
    let mut elements = [element(c"client_keytab", keytab), element(c"ccache", cache)];
    let store = library::gss_key_value_set_struct { count: 2, elements: elements.as_mut_ptr() };
    // The library reports the error of the first mechanism.
    let mut mechanisms = [described(GSS_MECH_KRB5), described(GSS_MECH_SPNEGO)];
    let mut wanted = library::gss_OID_set_desc { count: 2, elements: mechanisms.as_mut_ptr() };
    let (mut minor, mut credential) = (0, ptr::null_mut());
    // SAFETY: every pointer is null where the call allows it, or to a local (or the borrowed name and texts) that
    // outlives the call; counts are those of the arrays; the library only reads its inputs and copies what it keeps.
    let major = unsafe {
        library::gss_acquire_cred_from(
            &mut minor,
            name.map_or(ptr::null_mut(), |name| name.0),
            library::_GSS_C_INDEFINITE,
            &mut wanted,
            library::GSS_C_INITIATE as library::gss_cred_usage_t,
            &store,
            &mut credential,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if major != library::GSS_S_COMPLETE {
        return Err(failed(major, minor));
    }
    // SAFETY: the library has just returned this credential, and no other code holds it.
    Ok(unsafe { Cred::from_c(credential) })
}

/// An identifier in the library's type: identifiers are static, so the pointer stays valid.
fn described(identifier: Oid<'static>) -> library::gss_OID_desc {
    let bytes: &[u8] = &identifier;
    library::gss_OID_desc {
        length: u32::try_from(bytes.len()).unwrap_or(0),
        elements: bytes.as_ptr().cast_mut().cast::<c_void>(),
    }
}

fn failed(major: u32, minor: u32) -> Error {
    Error { major: MajorFlags::from_bits_retain(major), minor }
}
