//! Whether the operating system keeps the wall clock synchronised.

/// The state of the kernel's clock (adjtimex(2)): `false` where it is not synchronised, where the kernel reports an
/// error, and where the call fails.
#[must_use]
pub fn is_clock_synchronised() -> bool {
    // SAFETY: the structure holds integers only, for which zero is valid; `modes` 0 reads and changes nothing.
    #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
    let mut clock: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of the size that the call expects, and is not kept.
    #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
    let state = unsafe { libc::adjtimex(&raw mut clock) };
    is_synchronised(state, clock.status)
}

fn is_synchronised(state: i32, status: i32) -> bool {
    state >= 0 && state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_unknown_state_counts_as_not_synchronised() {
        for (state, status, expected) in [
            (libc::TIME_OK, 0, true),
            (libc::TIME_OK, libc::STA_NANO | libc::STA_PLL, true),
            (libc::TIME_INS, 0, true),
            (libc::TIME_OK, libc::STA_UNSYNC, false),
            (libc::TIME_ERROR, 0, false),
            (-1, 0, false),
        ] {
            assert_eq!(is_synchronised(state, status), expected, "{state} {status}");
        }
    }

    #[test]
    fn the_state_of_the_clock_is_read_from_the_kernel() {
        // The result differs from machine to machine; the call must not fail.
        let _either = is_clock_synchronised();
    }
}
