//! Direct activation (R24).

use activation::certificate::CertificateError;
use activation::direct::{DIRECT_BYTES_MAX, DirectCertificate, DirectRequest, MalformedDirectRequest};
use activation::id::{MachineDigest, ProductId};
use activation::key::{KeyKind, TypedKey};

use super::world::*;

fn asked() -> DirectRequest {
    DirectRequest {
        request_id: [1; 16],
        key: TypedKey::generate(KeyKind::Direct, 1, [3; 16]),
        product: ProductId::derive(Publisher::new(1).id(), CLIENT),
        cmid: cmid(1),
        machine: MachineDigest([5; 8]),
    }
}

fn certificate() -> DirectCertificate {
    DirectCertificate::issue(Publisher::new(1).id(), &asked(), 29_000_000, &Publisher::new(1).activation[0])
}

#[test]
fn a_request_is_read_back_as_it_was_written_and_bounded_before_it_is_read() {
    assert_eq!(DirectRequest::decode(&asked().encode()), Ok(asked()));
    let too_long = DirectRequest::decode(&[0; DIRECT_BYTES_MAX + 1]);
    assert_eq!(too_long, Err(MalformedDirectRequest("too long")));
    let other = DirectRequest { cmid: cmid(2), ..asked() };
    assert_ne!(other.digest(), asked().digest());
}

#[test]
fn r24_a_direct_certificate_is_for_one_product_on_one_machine() {
    let (right, product) = (certificate(), asked().product);
    assert_eq!(right.verify(&Publisher::new(1).activation_keys()), Ok(()));
    assert_eq!(right.verify(&Publisher::new(50).activation_keys()), Err(CertificateError::Signature));
    assert!(right.is_for(product, cmid(1), MachineDigest([5; 8])));
    let server = ProductId::derive(Publisher::new(1).id(), SERVER);
    assert!(!right.is_for(server, cmid(1), MachineDigest([5; 8])));
    assert!(!right.is_for(product, cmid(2), MachineDigest([5; 8])));
    assert!(!right.is_for(product, cmid(1), MachineDigest([6; 8])));
}

#[test]
fn a_direct_certificate_with_any_bit_changed_is_refused() {
    let bytes = certificate().encode();
    assert_eq!(DirectCertificate::decode(&bytes), Ok(certificate()));
    for place in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let Ok(read) = DirectCertificate::decode(&changed) else { continue };
        assert_eq!(read.verify(&Publisher::new(1).activation_keys()), Err(CertificateError::Signature), "bit {place}");
    }
}
