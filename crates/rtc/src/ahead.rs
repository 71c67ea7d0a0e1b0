//! Memory that is needed soon is fetched into the processor's cache while other work is done. A bridge with many receivers
//! finds the state of each of them out of reach of the cache, once for each burst: a miss takes as long as some hundred
//! instructions, and one after the other they would be most of what a packet costs.
#![allow(
    unsafe_code,
    reason = "the instruction that fetches takes a pointer; it reads nothing and faults nowhere"
)]

/// Bytes that come together.
const LINE: usize = 64;

/// Has a value fetched, all of it; what it points at is not.
#[inline]
pub fn fetch<T: ?Sized>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    let end = start.addr() + size_of_val(value);
    let mut at = start.addr() & !(LINE - 1);
    while at < end {
        line(start.with_addr(at));
        at += LINE;
    }
}

/// Has the places of a ring fetched that are used next: `count` from `at` on, or those up to its end. The ring is as long as a
/// power of two, or empty.
#[inline]
pub fn fetch_ring<T>(ring: &[T], at: u16, count: usize) {
    let at = usize::from(at) & ring.len().wrapping_sub(1);
    let places = ring.get(at..).unwrap_or_default();
    fetch(places.get(..count).unwrap_or(places));
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which accesses no memory as far as the program can tell; any address is allowed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn line(at: *const u8) {
    // SAFETY: a hint, which accesses no memory as far as the program can tell; any address is allowed.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, readonly, preserves_flags));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
fn line(_at: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be said without counters of the processor: it may be given anything, and changes nothing.
    #[test]
    fn anything_may_be_fetched() {
        let numbers: Vec<u64> = (0..1_000).collect();
        fetch(numbers.as_slice());
        fetch(&numbers[7]);
        for at in [0, 511, u16::MAX] {
            fetch_ring(&numbers[..512], at, 8);
        }
        fetch_ring::<u64>(&[], 3, 8);
        fetch::<[u8]>(&[]);
        fetch("a name");
        assert_eq!(numbers.iter().sum::<u64>(), 499_500);
    }
}
