//! Addresses that no other test uses: on Linux all of 127.0.0.0/8 is this machine.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU8, Ordering},
};

/// A block of loopback addresses that belongs to one cluster of one test process.
#[derive(Clone, Copy, Debug)]
pub struct Loopback {
    process: [u8; 2],
    block: u8,
}

/// Addresses of one block.
const BLOCK: u8 = 16;

impl Loopback {
    /// A block that nobody else has: the number of the process keeps test processes apart.
    pub(crate) fn claim() -> Self {
        static CLAIMED: AtomicU8 = AtomicU8::new(0);
        let [.., high, low] = std::process::id().to_be_bytes();
        let block = CLAIMED.fetch_add(1, Ordering::Relaxed);
        assert!(block < u8::MAX / BLOCK, "a test process makes at most {} clusters", u8::MAX / BLOCK);
        // 127.0.x.y is left to those who say localhost.
        Self { process: [high | 0x80, low], block }
    }

    /// The address with this number, 0 to 15.
    pub fn address(&self, number: u8) -> Ipv4Addr {
        assert!(number < BLOCK, "a block has {BLOCK} addresses");
        let [high, low] = self.process;
        Ipv4Addr::new(127, high, low, self.block * BLOCK + number)
    }
}

/// A port that is free now on `address`.
pub fn free_port(address: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("a loopback address has free ports");
    listener.local_addr().expect("a bound socket has an address")
}
