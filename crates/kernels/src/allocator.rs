//! What the C library does with freed memory.

/// Asks glibc to keep freed blocks instead of handing them back to the system.
///
/// A training step allocates and frees the same large buffers as the step before. By default glibc
/// maps each of them anew, and a small model spends more time in page faults than in arithmetic (2.7
/// times as long for the tiny language model on two cores). Elsewhere this does nothing.
#[allow(unsafe_code, reason = "a setting of the C library, reached through its own function")]
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only stores a number; it may be called at any time, from any thread
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
