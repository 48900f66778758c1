//! DNS cookies (RFC 7873), in the form of RFC 9018. A client that sends a cookie of this server has received an answer
//! at its address before, so the address is not forged, and answers to it are not limited.
//!
//! Only this process, which made the secret, reads the timestamp in a cookie. So the timestamp is in seconds since the
//! process began to serve, and does not depend on the machine's clock.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::base::{Message, Serial, opt::Cookie};
use tokio::time::Instant;

use crate::limits::{COOKIE_LIFETIME, COOKIE_RENEWAL, COOKIE_SECRET_LIFETIME};

/// Makes and checks server cookies. The secret is random, known to this process only, and replaced at intervals; the
/// previous one stays valid as long as the cookies that were made with it.
pub(super) struct Cookies {
    began: Instant,
    secrets: Mutex<Secrets>,
}

struct Secrets {
    current: [u8; 16],
    previous: [u8; 16],
    /// When `current` was made, since `began`.
    made: Duration,
}

/// The cookie option of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// No cookie option: the client does not support cookies.
    None,
    /// An option whose length is not allowed (RFC 7873 section 5.2.2).
    Malformed,
    /// A client cookie alone. The answer carries this cookie.
    ClientOnly(Cookie),
    /// A server cookie that this server did not make for this address, or that has expired. The answer carries this
    /// cookie.
    Invalid(Cookie),
    /// The server's own cookie. The answer carries this cookie.
    Valid(Cookie),
}

impl Presented {
    /// The cookie of the answer.
    pub(super) fn answered(&self) -> Option<&Cookie> {
        match self {
            Self::None | Self::Malformed => None,
            Self::ClientOnly(cookie) | Self::Invalid(cookie) | Self::Valid(cookie) => Some(cookie),
        }
    }

    /// Whether the client has received an answer at its address before.
    pub(super) fn is_valid(&self) -> bool {
        matches!(self, Self::Valid(_))
    }
}

impl Cookies {
    pub(super) fn new() -> Self {
        let secrets = Secrets { current: rand::random(), previous: rand::random(), made: Duration::ZERO };
        Self { began: Instant::now(), secrets: Mutex::new(secrets) }
    }

    /// The cookie option of a message from this address.
    pub(super) fn of(&self, message: &[u8], from: IpAddr) -> Presented {
        self.of_at(message, from, self.began.elapsed())
    }

    fn of_at(&self, message: &[u8], from: IpAddr, now: Duration) -> Presented {
        let message = Message::from_octets(message).ok();
        let Some(opt) = message.and_then(|message| message.opt()) else { return Presented::None };
        // Of several cookie options the first counts.
        match opt.opt().iter::<Cookie>().next() {
            None => Presented::None,
            Some(Err(_)) => Presented::Malformed,
            Some(Ok(cookie)) => self.judge(&cookie, from.to_canonical(), now),
        }
    }

    fn judge(&self, cookie: &Cookie, from: IpAddr, now: Duration) -> Presented {
        let (current, previous) = self.secrets_at(now);
        let stamp = Serial(seconds(now));
        let renewed = || cookie.create_response(stamp, from, &current);
        if cookie.server().is_none() {
            return Presented::ClientOnly(renewed());
        }
        let is_made_with = |secret: &[u8; 16], lifetime: Duration| {
            cookie.check_server_hash(from, secret, |made| {
                seconds(now).checked_sub(made.into_int()).is_some_and(|age| age <= seconds(lifetime))
            })
        };
        if is_made_with(&current, COOKIE_RENEWAL) {
            return Presented::Valid(cookie.clone());
        }
        if is_made_with(&current, COOKIE_LIFETIME) || is_made_with(&previous, COOKIE_LIFETIME) {
            return Presented::Valid(renewed());
        }
        Presented::Invalid(renewed())
    }

    /// The current and the previous secret, after replacing them if they are due.
    fn secrets_at(&self, now: Duration) -> ([u8; 16], [u8; 16]) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(secrets.made) >= COOKIE_SECRET_LIFETIME {
            *secrets = Secrets { current: rand::random(), previous: secrets.current, made: now };
        }
        (secrets.current, secrets.previous)
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use domain::base::{
        MessageBuilder, Rtype,
        iana::{Class, OptionCode},
        opt::cookie::{ClientCookie, ServerCookie},
    };

    use super::*;
    use crate::name::DnsName;

    /// A query with these cookie options, each as bytes.
    pub(in super::super) fn query(name: &str, rtype: Rtype, options: &[&[u8]]) -> Vec<u8> {
        let name: DnsName = name.parse().unwrap();
        let mut question = MessageBuilder::new_vec().question();
        question.push((name.wire(), rtype, Class::IN)).unwrap();
        with_options(question.additional(), options)
    }

    /// A query without a question.
    pub(in super::super) fn bare_query(options: &[&[u8]]) -> Vec<u8> {
        with_options(MessageBuilder::new_vec().additional(), options)
    }

    fn with_options(
        mut additional: domain::base::message_builder::AdditionalBuilder<Vec<u8>>,
        options: &[&[u8]],
    ) -> Vec<u8> {
        let put = |opt: &mut domain::base::message_builder::OptBuilder<'_, Vec<u8>>| {
            options.iter().try_for_each(|bytes| {
                let length = u16::try_from(bytes.len()).unwrap();
                opt.push_raw_option(OptionCode::COOKIE, length, |target| {
                    target.extend_from_slice(bytes);
                    Ok(())
                })
            })
        };
        additional.opt(put).unwrap();
        additional.finish()
    }

    pub(in super::super) fn bytes_of(cookie: &Cookie) -> Vec<u8> {
        let mut bytes = cookie.client().into_octets().to_vec();
        if let Some(server) = cookie.server() {
            server.compose(&mut bytes).unwrap();
        }
        bytes
    }

    const CLIENT: [u8; 8] = [7; 8];

    fn asked(cookies: &Cookies, option: &[u8], from: &str, now: Duration) -> Presented {
        cookies.of_at(&query("example.test", Rtype::SRV, &[option]), from.parse().unwrap(), now)
    }

    /// The bytes of the cookie that a client gets at this time.
    fn given(cookies: &Cookies, now: Duration) -> Vec<u8> {
        let Presented::ClientOnly(cookie) = asked(cookies, &CLIENT, "192.0.2.1", now) else { panic!("no cookie") };
        bytes_of(&cookie)
    }

    #[test]
    fn a_server_cookie_is_valid_for_the_client_and_the_address_that_got_it() {
        let (cookies, now) = (Cookies::new(), Duration::from_secs(5));
        let cookie = given(&cookies, now);
        assert_eq!((cookie.len(), &cookie[..8], &cookie[8..12]), (24, &CLIENT[..], &[1, 0, 0, 0][..]), "RFC 9018");
        assert!(asked(&cookies, &cookie, "192.0.2.1", now).is_valid());
        assert!(asked(&cookies, &cookie, "::ffff:192.0.2.1", now).is_valid(), "the same address");
        for index in [0, 8, 9, 13, 23] {
            let mut forged = cookie.clone();
            forged[index] ^= 1;
            let presented = asked(&cookies, &forged, "192.0.2.1", now);
            assert!(matches!(presented, Presented::Invalid(_)), "byte {index}");
        }
        assert!(matches!(asked(&cookies, &cookie, "192.0.2.2", now), Presented::Invalid(_)));
        assert!(matches!(asked(&Cookies::new(), &cookie, "192.0.2.1", now), Presented::Invalid(_)), "another process");
        let longer = [&cookie[..], &[0; 16]].concat();
        assert!(matches!(asked(&cookies, &longer, "192.0.2.1", now), Presented::Invalid(_)), "of another form");
    }

    #[test]
    fn a_cookie_is_answered_as_it_is_then_renewed_and_then_no_longer_valid() {
        let (cookies, began) = (Cookies::new(), Duration::from_secs(5));
        let cookie = given(&cookies, began);
        let after = |age: Duration| asked(&cookies, &cookie, "192.0.2.1", began + age);
        let answered = |age| after(age).answered().map(bytes_of);
        assert_eq!(answered(COOKIE_RENEWAL), Some(cookie.clone()));
        let second = Duration::from_secs(1);
        let renewed = answered(COOKIE_RENEWAL + second).unwrap();
        assert!(renewed != cookie && after(COOKIE_LIFETIME).is_valid());
        assert!(matches!(after(COOKIE_LIFETIME + second), Presented::Invalid(_)));
        assert!(asked(&cookies, &renewed, "192.0.2.1", began + COOKIE_LIFETIME + second).is_valid());
    }

    #[test]
    fn the_secret_is_replaced_and_the_one_before_is_valid_while_its_cookies_are() {
        let cookies = Cookies::new();
        let before = COOKIE_SECRET_LIFETIME - Duration::from_secs(1);
        let cookie = given(&cookies, before);
        let presented = asked(&cookies, &cookie, "192.0.2.1", COOKIE_SECRET_LIFETIME);
        assert!(presented.is_valid(), "made with the secret before");
        let renewed = presented.answered().map(bytes_of).unwrap();
        assert_ne!(renewed, cookie, "renewed with the new one");
        assert!(asked(&cookies, &renewed, "192.0.2.1", COOKIE_SECRET_LIFETIME).is_valid());
        let much_later = 3 * COOKIE_SECRET_LIFETIME;
        assert!(matches!(asked(&cookies, &renewed, "192.0.2.1", much_later), Presented::Invalid(_)));
    }

    #[test]
    fn an_option_of_a_length_that_no_cookie_has_is_malformed_and_of_several_the_first_counts() {
        let cookies = Cookies::new();
        for length in 0..=60 {
            let presented = asked(&cookies, &vec![1; length], "192.0.2.1", Duration::ZERO);
            match length {
                8 => assert!(matches!(presented, Presented::ClientOnly(_))),
                16..=40 => assert!(matches!(presented, Presented::Invalid(_)), "{length}"),
                _ => assert_eq!(presented, Presented::Malformed, "{length}"),
            }
        }
        let from = [192, 0, 2, 1].into();
        let of = |options: &[&[u8]]| cookies.of(&query("example.test", Rtype::SRV, options), from);
        assert_eq!(of(&[]), Presented::None);
        assert!(matches!(of(&[&CLIENT, &[1; 3]]), Presented::ClientOnly(_)));
        assert_eq!(of(&[&[1; 3], &CLIENT]), Presented::Malformed);
        assert_eq!(cookies.of(b"no message", from), Presented::None);
    }

    #[test]
    fn the_hash_is_the_one_of_rfc_9018_appendix_a() {
        let secret = [0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf];
        let client = ClientCookie::from_octets([0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57]);
        let made =
            Cookie::new(client, None).create_response(Serial(1_559_731_985), [198, 51, 100, 100].into(), &secret);
        let expected = [0x01, 0x00, 0x00, 0x00, 0x5c, 0xf7, 0x9f, 0x11, 0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80];
        assert_eq!(made.server(), Some(&ServerCookie::from_octets(&expected)));
    }
}
