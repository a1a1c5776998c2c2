//! Numbers that a peer cannot predict, from the kernel.

use rustix::rand::{GetRandomFlags, getrandom};

/// 64 random bits. Control path: a system call each.
///
/// # Panics
/// If the kernel has no random numbers, which it has once it has booted.
pub(super) fn next() -> u64 {
    let mut bytes = [0; 8];
    let got = getrandom(&mut bytes, GetRandomFlags::empty()).expect("the kernel gives random numbers");
    assert_eq!(got, bytes.len(), "requests of up to 256 bytes are filled (getrandom(2))");
    u64::from_ne_bytes(bytes)
}
