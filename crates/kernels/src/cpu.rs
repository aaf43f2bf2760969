//! What the CPU can do beyond the instructions every program may use.

/// Whether code compiled for `avx2,fma,f16c` may run.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}
