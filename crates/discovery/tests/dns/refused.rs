//! Each thing that can be wrong between a node and its primary is an error of its own (R28).

use std::time::Duration;

use discovery::{Algorithm, Credentials, Desired, Domain, Primary, PublishError, TsigKey};
use tokio::net::TcpListener;

use crate::named::{Named, desired, key, key_name, name, now, target};

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
        ("another node's name", own(), Desired { target: target(2), ..desired(1, 60) }, now(), 0x8007_232D),
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
