//! Memory that the allocator keeps for later, given back to the system.

/// Gives free memory back to the system, where the allocator is that of glibc: by itself it returns only what lies at the
/// end of the heap, and one long-lived piece keeps all that is below it. Threads that allocate meanwhile wait, about 0.4 ms
/// for each MiB given back.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, touches free memory only, to which nobody refers, and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that are allocated now, by whichever part of the program: libraries in C count. 0 where the allocator is not that of
/// glibc. What its threads keep for themselves counts as allocated, a few hundred KiB at most.
pub fn heap_in_use() -> usize {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes nothing, reads the allocator's own counts under its locks, and may be called from any thread.
        let info = unsafe { libc::mallinfo2() };
        info.uordblks + info.hblkhd
    }
    #[cfg(not(target_env = "gnu"))]
    0
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::{heap_in_use, trim_heap};

    /// Held by whoever counts bytes of the process, as the others' are among them.
    static COUNTING: Mutex<()> = Mutex::new(());

    #[test]
    fn what_is_allocated_counts_while_it_is() {
        let _alone = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
        const SIZE: usize = 1 << 20;
        let before = heap_in_use();
        let bytes = vec![1u8; 8 * SIZE];
        let with_it = heap_in_use();
        drop(bytes);
        // Other tests run beside this one.
        assert!(with_it >= before + 7 * SIZE, "{before}, {with_it}");
        assert!(heap_in_use() + 7 * SIZE <= with_it);
    }

    /// Resident memory, KiB.
    fn resident() -> Option<usize> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    #[test]
    fn what_lies_between_long_lived_pieces_goes_back() {
        let _alone = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
        const BLOCKS: usize = 64 * 1024;
        let before = resident().unwrap();
        let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| vec![1; 1024]).collect();
        let with_all = resident().unwrap();
        assert!(with_all > before + 60 * 1024);
        // One in a thousand stays, the last one among them.
        let kept: Vec<_> = (0..BLOCKS)
            .step_by(1000)
            .map(|n| std::mem::take(&mut blocks[BLOCKS - 1 - n]))
            .collect();
        drop(blocks);
        trim_heap();
        let after = resident().unwrap();
        assert!(after < before + 20 * 1024, "{before}, {with_all}, {after}");
        drop(kept);
    }
}
