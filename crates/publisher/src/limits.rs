//! Every bound of this crate, with its unit last in the name.

/// R31: hosts that a key activates, unless it was issued for another number.
pub const HOSTS_DEFAULT: u32 = 6;
/// R31: times that each of them may be activated again.
pub const REACTIVATIONS_DEFAULT: u32 = 9;

/// Hosts that a key can be issued for. All of them stand in the key's one record.
pub const HOSTS_MAX: u32 = 500;
/// Re-activations of each host that a key can be issued for.
pub const REACTIVATIONS_MAX: u32 = 1000;

/// Hosts that gave a key's place back, and whose re-activations it remembers. Above that the oldest is forgotten.
pub const FORMER_HOSTS_MAX: u32 = HOSTS_MAX;

/// R24: activations that a direct key can be issued for.
pub const DIRECT_ACTIVATIONS_MAX: u32 = 1_000_000;

/// A host in the record of its key.
const HOST_BYTES_MAX: usize = 64;
/// The record of a key without its hosts.
const KEY_BYTES_MAX: usize = 256;

/// A passphrase, in UTF-8.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// scrypt's cost: 2^14 rounds over blocks of 1 KiB (16 MiB of memory), in [`SCRYPT_LANES`] passes. More memory in one
/// pass would be as strong, but `openssl` refuses to read what needs more than 32 MiB.
pub const SCRYPT_LOG_ROUNDS: u8 = 14;
/// See [`SCRYPT_LOG_ROUNDS`].
pub const SCRYPT_LANES: u32 = 5;

/// A file that holds one private key, or the publisher's name.
pub const SMALL_FILE_BYTES_MAX: u64 = 4096;

const _: () = assert!(
    (HOSTS_MAX + FORMER_HOSTS_MAX) as usize * HOST_BYTES_MAX + KEY_BYTES_MAX <= storage::limits::VALUE_BYTES_MAX
);
const _: () = assert!(HOSTS_DEFAULT <= HOSTS_MAX && REACTIVATIONS_DEFAULT <= REACTIVATIONS_MAX);
