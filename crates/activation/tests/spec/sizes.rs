//! R2: one packet of about 250 bytes each way. PDUs are counted with the headers of the transport: 24 bytes of
//! DCE/RPC header, and the NDR encoding of the message, which pads it to a multiple of four.

use std::num::NonZeroU16;

use activation::certificate::NodeCertificate;
use activation::limits::{
    COUNT_MAX, INTERVAL_MINUTES_MAX, LOG_INDEX_MAX, OFFSET_MAX, PDU_BYTES_MAX, THRESHOLD_MAX, TIME_MS_MAX,
};
use activation::message::{AnswerBody, LicenseStatus, Request, ValidRequest, sign_answer};

use super::world::*;

const HEADER: usize = 24;
const REQUEST_NDR: usize = 8;
const ANSWER_NDR: usize = 12;
const STATUS: usize = 4;

fn request_pdu(request: &Request) -> usize {
    HEADER + REQUEST_NDR + request.encode().len().next_multiple_of(4)
}

fn answer_pdu(body: &AnswerBody) -> usize {
    let publisher = Publisher::new(1);
    let certificate = publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    // Longer than one without an end; the signature over it is not looked at.
    let certificate = NodeCertificate { days: NonZeroU16::new(90), ..certificate };
    let answer = sign_answer(body, &certificate, &node_key(1), &[0; 32]);
    HEADER + ANSWER_NDR + answer.len().next_multiple_of(4) + STATUS
}

#[test]
fn r2_request_and_response_pdu_are_at_most_256_bytes_with_every_number_at_its_maximum() {
    let ordinary = request(Publisher::new(1).id(), CLIENT);
    let largest = Request {
        machine_name: "LONGEST-NAME-15".parse().unwrap(),
        virtual_machine: true,
        license_status: LicenseStatus::ExtendedGrace,
        minutes_to_expiry: u32::MAX,
        client_time_ms: TIME_MS_MAX,
        ..ordinary.clone()
    };
    ValidRequest::decode(&largest.encode()).unwrap();
    let ordinary_answer = AnswerBody {
        count: 26,
        threshold: 25,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        cluster_time_ms: START_MS,
        log_index: 1_000_000,
        offset: 100,
    };
    let largest_answer = AnswerBody {
        count: COUNT_MAX,
        threshold: THRESHOLD_MAX,
        activation_interval_minutes: INTERVAL_MINUTES_MAX,
        renewal_interval_minutes: INTERVAL_MINUTES_MAX,
        cluster_time_ms: TIME_MS_MAX,
        log_index: LOG_INDEX_MAX,
        offset: OFFSET_MAX,
    };
    println!("request PDU:  {} bytes, at most {}", request_pdu(&ordinary), request_pdu(&largest));
    println!("response PDU: {} bytes, at most {}", answer_pdu(&ordinary_answer), answer_pdu(&largest_answer));
    assert!(request_pdu(&largest) <= PDU_BYTES_MAX);
    assert!(answer_pdu(&largest_answer) <= PDU_BYTES_MAX);
}
