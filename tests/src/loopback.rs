//! Loopback addresses that no other test uses: on Linux all of 127.0.0.0/8 belongs to the local machine.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
    sync::atomic::{AtomicU8, AtomicU16, Ordering},
};

/// A block of loopback addresses that belongs to one cluster of one test process.
#[derive(Clone, Copy, Debug)]
pub struct Loopback {
    process: [u8; 2],
    block: u8,
}

/// How many addresses a block has.
const BLOCK: u8 = 16;

impl Loopback {
    /// Claims a block that no other cluster has; the process id keeps test processes apart.
    pub(crate) fn claim() -> Self {
        static CLAIMED: AtomicU8 = AtomicU8::new(0);
        let [.., high, low] = std::process::id().to_be_bytes();
        let block = CLAIMED.fetch_add(1, Ordering::Relaxed);
        assert!(block < u8::MAX / BLOCK, "a test process makes at most {} clusters", u8::MAX / BLOCK);
        // 127.0.x.y is left to programs that use localhost.
        Self { process: [high | 0x80, low], block }
    }

    /// The address with this number in the block, 0 to 15.
    pub fn address(&self, number: u8) -> Ipv4Addr {
        assert!(number < BLOCK, "a block has {BLOCK} addresses");
        let [high, low] = self.process;
        Ipv4Addr::new(127, high, low, self.block * BLOCK + number)
    }
}

/// Ports from which the system opens no connection or lookup by itself, so that nodes can bind them.
const PORTS: Range<u16> = 10_000..32_000;

/// A port that is free now on `address`, for TCP and UDP, and that this process has not returned before.
///
/// # Panics
/// When no port is free.
pub fn free_port(address: Ipv4Addr) -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Test processes share 127.0.0.1, so each one begins its search at another port.
    let first = std::process::id().wrapping_mul(61);
    let mut free = PORTS.map(|_| {
        let step = u32::from(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u32::from(PORTS.start) + first.wrapping_add(step) % u32::from(PORTS.end - PORTS.start);
        SocketAddr::from((address, u16::try_from(port).expect("the range has 16 bits")))
    });
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    free.find(is_free).unwrap_or_else(|| panic!("{address} has no free port"))
}
