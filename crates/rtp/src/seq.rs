//! Arithmetic on wrapping sequence numbers and timestamps (RFC 1982, RFC 3550 appendix A).

/// Signed distance from `b` to `a` on a 16-bit circle: positive when `a` is newer.
pub fn diff(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b) as i16
}

/// Whether `a` comes after `b` on a 16-bit circle.
pub fn newer(a: u16, b: u16) -> bool {
    diff(a, b) > 0
}

/// Signed distance from `b` to `a` on a 32-bit circle (timestamps).
pub fn diff32(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// Turns 16-bit numbers into 64-bit ones that never wrap, by the nearest one to the highest seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// Numbers start in the second cycle, so that packets from before the first one have a number too.
    const BASE: u64 = 1 << 16;

    /// The 64-bit number of `seq`; moves on if it is the newest.
    pub fn unwrap(&mut self, seq: u16) -> u64 {
        let value = self.peek(seq);
        if self.highest.is_none_or(|h| value > h) {
            self.highest = Some(value);
        }
        value
    }

    /// The 64-bit number of `seq` without taking note of it.
    pub fn peek(&self, seq: u16) -> u64 {
        match self.highest {
            None => Self::BASE + u64::from(seq),
            Some(h) => h.saturating_add_signed(i64::from(diff(seq, h as u16))),
        }
    }

    /// The highest number seen.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}
