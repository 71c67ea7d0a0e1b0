//! What this machine is: its addresses and processors.

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses of this machine that peers may reach: of interfaces that are up, not link-local; loopback only if there
/// is nothing else. IPv4 first.
pub fn local_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list network interfaces");
        Vec::new()
    });
    let up = interfaces
        .iter()
        .filter(|i| i.is_oper_up() || i.is_loopback());
    choose(up.map(|i| i.ip()).collect())
}

fn choose(mut all: Vec<IpAddr>) -> Vec<IpAddr> {
    all.retain(|ip| match ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified(),
    });
    if all.iter().any(|ip| !ip.is_loopback()) {
        all.retain(|ip| !ip.is_loopback());
    }
    all.sort_by_key(IpAddr::is_ipv6);
    let mut unique = Vec::with_capacity(all.len());
    for ip in all {
        if !unique.contains(&ip) {
            unique.push(ip);
        }
    }
    unique
}

/// Keeps the calling thread on one processor.
///
/// # Errors
/// What the system says, for example when the processor is not ours to use.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a set of processors is a bit field; all zeros is the empty set, and `cpu` was checked to be within it. The
    // set lives through the call.
    let result = unsafe {
        let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets the calling thread's waits end on time: by default Linux lets them last 50 µs longer, to wake several threads at
/// once. A tenth of a per cent of the wait remains.
///
/// # Errors
/// What the system says.
pub fn precise_timers() -> io::Result<()> {
    const NANOSECONDS: libc::c_ulong = 1;
    // SAFETY: this option takes a number and no pointers; it changes the calling thread alone.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, NANOSECONDS) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sleeps this long, whatever arrives: it is found together afterwards. As exact as [`precise_timers`] makes it.
#[allow(
    clippy::disallowed_methods,
    reason = "what to wait for instead would wake for each datagram"
)]
pub fn rest(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_the_last_resort() {
        let ips = |list: &[&str]| {
            list.iter()
                .map(|s| s.parse().unwrap())
                .collect::<Vec<IpAddr>>()
        };
        assert_eq!(
            choose(ips(&[
                "::1",
                "127.0.0.1",
                "2001:db8::1",
                "fe80::1",
                "192.0.2.1",
                "169.254.0.1",
                "192.0.2.1"
            ])),
            ips(&["192.0.2.1", "2001:db8::1"])
        );
        assert_eq!(
            choose(ips(&["::1", "127.0.0.1"])),
            ips(&["127.0.0.1", "::1"])
        );
    }

    #[test]
    fn a_thread_can_be_pinned_to_where_it_may_run() {
        let pinned = std::thread::spawn(|| (0..64).any(|cpu| pin_current_thread(cpu).is_ok()));
        assert!(pinned.join().unwrap());
        assert!(pin_current_thread(usize::MAX).is_err());
    }
}
