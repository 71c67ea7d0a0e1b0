//! TAP devices: network interfaces whose frames a program reads and writes.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};

/// Interface names are shorter than this (`IFNAMSIZ`).
const NAME: usize = 16;
/// Size of the kernel's `struct ifreq`.
const REQUEST: usize = 40;

/// `struct ifreq` as `TUNSETIFF` reads it: a name, then flags.
#[repr(C, align(8))]
struct Request([u8; REQUEST]);

/// Makes the device `name` in the network namespace of this process; it goes when the file is closed. It may be moved to
/// another namespace.
///
/// # Errors
/// If the name is too long, or the kernel has no TAP devices or refuses this one.
pub(crate) fn open(name: &str) -> Result<File> {
    ensure!(
        name.len() < NAME,
        "{name}: the name of the interface is too long"
    );
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("/dev/net/tun")?;
    let mut request = Request([0; REQUEST]);
    let flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    for (place, byte) in request.0.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    for (place, byte) in request.0.iter_mut().skip(NAME).zip(flags.to_ne_bytes()) {
        *place = byte;
    }
    // SAFETY: the file is open, and the request is as large as the kernel's `struct ifreq`, which it reads and writes
    // during the call only.
    #[allow(unsafe_code, reason = "a TAP device is made by an ioctl alone")]
    let made = unsafe {
        libc::ioctl(
            file.as_raw_fd(),
            libc::TUNSETIFF as _,
            request.0.as_mut_ptr(),
        )
    };
    ensure!(made == 0, "{name}: {}", std::io::Error::last_os_error());
    Ok(file)
}
