//! HRESULT status codes of volume activation, with texts for readers.

use std::fmt;

/// An HRESULT: 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u32);

macro_rules! statuses {
    ($($name:ident = $code:literal, $words:literal, $advice:literal;)*) => {
        impl Status {
            $(#[doc = $words] pub const $name: Self = Self($code);)*

            /// Every code that has its own text.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What the code means, as a plain sentence.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                    _ => "A status code that this version does not know.",
                }
            }

            /// The next step for the administrator.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)*
                    _ => "Look the code up in the documentation of the software that sent it.",
                }
            }
        }
    };
}

statuses! {
    OK = 0,
        "Done.",
        "Nothing needs to be done.";
    BELOW_THRESHOLD = 0xC004_F038,
        "The count is below the product's threshold.",
        "Activate more machines of the same application; this machine tries again by itself.";
    HOST_UNAVAILABLE = 0xC004_F039,
        "The host cannot be reached, or its activation service is not enabled.",
        "Check that the host runs, that it has a quorum, and that its port is open.";
    HOST_NOT_ACTIVATED = 0xC004_F041,
        "The host is not activated.",
        "Install a host key of this publisher on the host and activate it.";
    KEY_DOES_NOT_COVER_PRODUCT = 0xC004_F042,
        "The host's key does not cover this product.",
        "Install a host key of the product's group or of a higher one, and a catalog that lists the product.";
    KEY_INVALID = 0xC004_F050,
        "The key is invalid.",
        "Check the key for typing errors; ask the publisher for a key of the right kind.";
    KEY_BLOCKED = 0xC004_F051,
        "The key is blocked by its publisher.",
        "Ask the publisher for a new host key.";
    KEY_LIMIT_REACHED = 0xC004_C008,
        "The key's activation limit is used up.",
        "Release a host that no longer needs the key, or ask the publisher for more activations.";
    CLOCK_SKEW = 0xC004_F06C,
        "The client's time differs from the host's by more than 4 hours.",
        "Set the client's clock and time zone; if many clients are refused, check the clocks of the hosts.";
    NO_HOST_REACHED = 0xC004_F074,
        "No host could be reached.",
        "Check the SRV records of the domain, and that port 1688 of the hosts is reachable.";
    HARDWARE_OUT_OF_TOLERANCE = 0xC004_F00F,
        "The machine's hardware changed beyond tolerance.",
        "Activate again.";
    GRACE_EXPIRED = 0xC004_F009,
        "The grace period expired.",
        "Activate the machine.";
    NO_SRV_RECORD = 0x8007_232B,
        "No SRV record of a host was found.",
        "Publish the host's SRV record in the client's domain, or set the host on the client.";
    FAILED = 0x8000_4005,
        "The operation failed.",
        "See the other fields of the same log line.";
    ACCESS_DENIED = 0x8007_0005,
        "The caller lacks the rights for this.",
        "Run the command with the rights of an administrator.";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}
