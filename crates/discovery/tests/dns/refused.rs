//! Each problem between a node and its primary is a separate error (R28).

use std::time::Duration;

use discovery::{Algorithm, Credentials, Desired, Domain, Primary, PublishError, TsigKey};
use tokio::net::TcpListener;

use crate::named::{Named, ZONE, desired, key, key_name, name, now, target, zone_text_of};

const TWO_HOURS: u64 = 2 * 60 * 60;

fn other_secret(node: usize, algorithm: Algorithm) -> Credentials {
    Credentials::Tsig(TsigKey::new(key_name(node), algorithm, b"not what the primary has").unwrap())
}

#[tokio::test]
async fn every_refusal_has_a_cause_and_a_code_of_its_own_and_changes_nothing() {
    let named = Named::start("").await;
    let stranger = Credentials::Tsig(TsigKey::new(name("stranger."), Algorithm::HmacSha256, b"secret").unwrap());
    let own = || Credentials::Tsig(key(1));
    let elsewhere =
        Desired { domain: Domain { name: name("elsewhere.test"), priority: 0, weight: 0 }, ..desired(1, 60) };
    let table: Vec<(&str, Credentials, Desired, u64, u32)> = vec![
        ("wrong secret", other_secret(1, Algorithm::HmacSha256), desired(1, 60), now(), 0x8007_2338),
        ("unknown key", stranger, desired(1, 60), now(), 0x8007_2339),
        ("another algorithm", other_secret(1, Algorithm::HmacSha512), desired(1, 60), now(), 0x8007_2339),
        ("clock behind", own(), desired(1, 60), now() - TWO_HOURS, 0x8007_233A),
        ("clock ahead", own(), desired(1, 60), now() + TWO_HOURS, 0x8007_233A),
        ("another service", own(), Desired { service: "_other._tcp".to_owned(), ..desired(1, 60) }, now(), 0x8007_232D),
        ("unsigned", Credentials::Unsigned, desired(1, 60), now(), 0x8007_232D),
        ("another zone", own(), elsewhere, now(), 0x8007_2331),
    ];
    for (case, credentials, wanted, signed_at, code) in table {
        let error = named.publisher_with(credentials).publish(&wanted, signed_at).await.unwrap_err();
        assert_eq!(error.code(), code, "{case}: {error}");
    }
    let error = named.publisher(1).publish(&desired(1, 60), now() - TWO_HOURS).await.unwrap_err();
    let PublishError::Clock { ours, theirs: Some(theirs), .. } = error else { panic!("{error}") };
    assert!(theirs.abs_diff(ours).abs_diff(TWO_HOURS) < 60, "{ours} {theirs}");

    assert_eq!(named.dig("_vlmcs._tcp.example.test", "SRV").await, Vec::<String>::new());
    assert_eq!(named.dig("node2.example.test", "A").await, Vec::<String>::new());
    named.publisher(1).publish(&desired(1, 60), now()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_may_not_change_the_address_publishes_the_srv_record_and_names_what_was_refused() {
    let named = Named::start("").await;
    // The policy allows each key to change addresses at its own node's name only.
    let wanted = Desired { target: target(2), ..desired(1, 60) };
    let outcome = named.publisher(1).publish(&wanted, now()).await.unwrap();
    assert_eq!(named.dig("_vlmcs._tcp.example.test", "SRV").await, ["0 60 1688 node2.example.test."]);
    assert_eq!(named.dig("node2.example.test", "A").await, Vec::<String>::new());
    let refused: Vec<_> = outcome.refused.iter().map(ToString::to_string).collect();
    let expected = ["node2.example.test.: add 300 A 192.0.2.1", "node2.example.test.: add 300 AAAA 2001:db8::1"];
    assert_eq!((outcome.changes.len(), refused), (1, expected.map(str::to_owned).to_vec()));
    // A refused SRV record is an error, which names the record.
    let elsewhere = Desired { service: "_other._tcp".to_owned(), ..desired(1, 60) };
    let error = named.publisher(1).publish(&elsewhere, now()).await.unwrap_err().to_string();
    assert!(error.contains("_other._tcp.example.test. (add 300 SRV 0 60 1688 node1.example.test.)"), "{error}");
}

#[tokio::test]
async fn a_zone_whose_soa_names_no_primary_or_a_dead_one_is_told_apart_from_no_zone() {
    // MNAME, further records, the text of the error, its code.
    let table = [
        (".", "", "names no primary", 0x8007_2584),
        ("gone", "", "cannot resolve the primary gone.example.test. (named by the SOA of example.test.)", 0x8007_251D),
        (
            "dead",
            "dead A 127.0.0.9\n",
            "dead.example.test. (named by the SOA of example.test.) cannot be reached",
            0x8007_06BA,
        ),
    ];
    for (mname, records, said, code) in table {
        let named = Named::start_text(ZONE, &zone_text_of(mname, records)).await;
        let mut publisher = named.publisher(1);
        publisher.primary = Primary::FromSoa { port: named.address.port() };
        let error = publisher.publish(&desired(1, 60), now()).await.unwrap_err();
        assert!(error.to_string().contains(said) && error.code() == code, "{mname}: {error} 0x{:08X}", error.code());
        assert!(error.advice().contains("dns.primary") || mname == "dead", "{}", error.advice());
    }
}

#[tokio::test]
async fn an_alias_at_the_nodes_name_is_distinguished_from_one_at_the_service_name() {
    let named = Named::start("node1 CNAME elsewhere\nelsewhere A 192.0.2.9\n_aliased._tcp CNAME other\n").await;
    let error = named.publisher(1).publish(&desired(1, 60), now()).await.unwrap_err();
    assert!(matches!(&error, PublishError::TargetAlias { name } if *name == target(1)), "{error}");
    assert!(error.advice().contains("dns.target"), "{}", error.advice());
    let aliased = Desired { service: "_aliased._tcp".to_owned(), ..desired(2, 60) };
    let error = named.publisher(2).publish(&aliased, now()).await.unwrap_err();
    assert!(matches!(error, PublishError::Alias { .. }), "{error}");
}

#[tokio::test]
async fn a_dead_primary_is_unreachable_and_a_silent_one_is_given_up_in_time() {
    let named = Named::start("").await;
    let mut publisher = named.publisher(1);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    publisher.primary = Primary::Address(closed);
    let error = publisher.publish(&desired(1, 60), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&closed.to_string()), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    publisher.primary = Primary::Address(silent.local_addr().unwrap());
    publisher.timeout = Duration::from_millis(400);
    let begun = tokio::time::Instant::now();
    let error = publisher.publish(&desired(1, 60), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::Timeout { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}
