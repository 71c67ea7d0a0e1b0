//! What libraries take from the system, made to follow from a seed: random bytes and the clock.
//!
//! Our cores are given time and seeds. The bots' WebRTC library cannot be: it draws numbers from generators that seed
//! themselves from the system, keeps streams in tables whose order the standard library draws from there too, and dates its
//! reports by the system's clock. So in a thread of [`alone`] the system itself answers otherwise: `getrandom` and
//! `clock_gettime` of this program stand before those of the C library. Whatever our own cores may take from the system
//! unseen follows from the seed by this as well.
//!
//! What is left are the keys of DTLS, for which aws-lc asks the kernel by itself: they decide the bytes of what is encrypted
//! and the length of a signature, and nothing that happens.
#![allow(
    unsafe_code,
    reason = "functions of the C library can be replaced by functions of their kind only"
)]

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::hash::RandomState;
use std::hint::black_box;
use std::panic::resume_unwind;
use std::thread;

/// The clock of a thread of its own stands still: the simulation's time begins there.
const SECONDS: libc::time_t = 1_787_212_800;
const STACK: usize = 16 << 20;

thread_local! {
    /// State of the thread's generator, in a thread of its own.
    static CHANCE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Does something in a thread of its own in which everything that libraries take from the system follows from `seed`: done
/// twice, it goes the same way.
///
/// # Panics
/// If `run` does, or if the system's functions cannot be replaced in this program.
#[allow(clippy::expect_used, reason = "as it is documented")]
pub fn alone<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> T {
    let begin = move || {
        CHANCE.set(Some(seed));
        fastrand::seed(seed);
        // Draws the order of tables, and needs this file's functions in the program.
        black_box(RandomState::new());
        assert_ne!(CHANCE.get(), Some(seed), "the system's randomness is used");
        run()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let thread = thread
            .spawn_scoped(scope, begin)
            .expect("a thread can be had");
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// The next number of a generator (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// In place of the C library's.
///
/// # Safety
/// As `getrandom(2)`: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(
    buffer: *mut c_void,
    length: usize,
    flags: c_uint,
) -> isize {
    let Some(mut state) = CHANCE.get() else {
        // SAFETY: the arguments are the caller's, who keeps the rules of the call.
        let done = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return done as isize;
    };
    if length > 0 {
        // SAFETY: the caller says that there is room for so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&next(&mut state).to_le_bytes()[..chunk.len()]);
        }
        CHANCE.set(Some(state));
    }
    length as isize
}

/// In place of the C library's.
///
/// # Safety
/// As `clock_gettime(2)`: `time` may be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> c_int {
    if CHANCE.get().is_none() {
        // SAFETY: the arguments are the caller's, who keeps the rules of the call.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int };
    }
    let now = libc::timespec {
        tv_sec: SECONDS,
        tv_nsec: 0,
    };
    // SAFETY: the caller says that it may be written.
    unsafe { time.write(now) };
    0
}
