//! Certificate revocation lists of an organisation's authority (RFC 5280, section 5).
//!
//! rustls verifies new connections with the lists and checks the lists' signatures. Open connections, and each call on
//! them, are checked with the revoked serial numbers that are stored here.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
use x509_parser::parse_x509_crl;

use crate::{certificate::Certificate, error::TransportError, limits::REVOCATION_LISTS_BYTES_MAX};

/// The revocation lists of one file.
#[derive(Debug)]
pub struct RevocationLists {
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// SHA-256 of the names of the authorities that issued the lists.
    issuers: BTreeSet<[u8; 32]>,
    /// The authority, as in `issuers`, and the serial number without leading zeros, of each revoked certificate.
    revoked: BTreeSet<([u8; 32], Vec<u8>)>,
    ends_ms: Option<u64>,
}

impl RevocationLists {
    /// Reads a file with one or more lists in PEM, or with one in DER; at most [`REVOCATION_LISTS_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or has other content. Signatures are not verified here.
    pub fn from_file(path: &Path) -> Result<Self, TransportError> {
        let what = path.display().to_string();
        let bytes = Self::bytes_of(path).map_err(|source| TransportError::Io { what: what.clone(), source })?;
        Self::read(&bytes).ok_or_else(|| TransportError::Certificate(format!("{what} contains no revocation list")))
    }

    /// The content of such a file.
    ///
    /// # Errors
    /// The file cannot be read, or is too large.
    pub fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(REVOCATION_LISTS_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > REVOCATION_LISTS_BYTES_MAX {
            let larger = format!("it is larger than {REVOCATION_LISTS_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, larger));
        }
        Ok(bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let lists = match bytes.starts_with(b"-----") || bytes.first().is_none_or(|first| *first != DER_SEQUENCE) {
            true => CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().ok()?,
            false => vec![CertificateRevocationListDer::from(bytes.to_vec())],
        };
        let (mut issuers, mut revoked, mut ends_ms) = (BTreeSet::new(), BTreeSet::new(), None);
        for list in &lists {
            let (_, parsed) = parse_x509_crl(list).ok()?;
            let issuer: [u8; 32] = Sha256::digest(parsed.issuer().as_raw()).into();
            issuers.insert(issuer);
            let serials = parsed.iter_revoked_certificates().map(|one| (issuer, without_zeros(one.raw_serial())));
            revoked.extend(serials);
            let end = parsed.next_update().and_then(|end| u64::try_from(end.timestamp()).ok());
            let end_ms = end.map(|seconds| seconds.saturating_mul(1000));
            ends_ms = [ends_ms, end_ms].into_iter().flatten().min();
        }
        (!lists.is_empty()).then_some(Self { lists, issuers, revoked, ends_ms })
    }

    pub(crate) fn der(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.lists
    }

    /// Whether one of the lists revokes the certificate.
    pub fn revoke(&self, certificate: &Certificate) -> bool {
        self.revoked.contains(&(certificate.issuer, without_zeros(&certificate.serial)))
    }

    /// Whether there is a list of the authority that issued the certificate.
    pub fn cover(&self, certificate: &Certificate) -> bool {
        self.issuers.contains(&certificate.issuer)
    }

    /// When the first of the lists expires (its `nextUpdate`), in milliseconds since 1970; `None` if no list has one.
    pub fn ends_ms(&self) -> Option<u64> {
        self.ends_ms
    }
}

/// First byte of a list in DER.
const DER_SEQUENCE: u8 = 0x30;

fn without_zeros(serial: &[u8]) -> Vec<u8> {
    serial.iter().copied().skip_while(|byte| *byte == 0).collect()
}
