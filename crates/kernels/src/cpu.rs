//! What the CPU can do beyond the instructions every program may use.

/// Sets of instructions, each with all those before it.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Any,
    Avx2,
    Avx512,
    Vnni,
}

/// The CPU's level, asked for once: hot loops ask for every row.
#[cfg(target_arch = "x86_64")]
fn level() -> Level {
    static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    *LEVEL.get_or_init(|| {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512, is_x86_feature_detected!("avx512vnni")) {
            (false, ..) => Level::Any,
            (true, false, _) => Level::Avx2,
            (true, true, false) => Level::Avx512,
            (true, true, true) => Level::Vnni,
        }
    })
}

/// Whether code compiled for `avx2,fma,f16c` may run.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    level() >= Level::Avx2
}

/// Whether code compiled for the AVX-512 of servers since 2017 may run.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    level() >= Level::Avx512
}

/// Whether its products of bytes and of sixteen-bit numbers may be used besides.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_vnni() -> bool {
    level() >= Level::Vnni
}

/// Whether CPU and system let this process multiply tiles of bf16. Asked for once; where the system
/// refuses, it is as if the CPU had none.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_amx() -> bool {
    static THERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *THERE.get_or_init(|| {
        // leaf 7, EDX: bit 22 products of bf16, bit 24 tiles
        const BITS: u32 = 1 << 22 | 1 << 24;
        let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
        has_avx512() && features & BITS == BITS && tiles_are_allowed()
    })
}

/// Asks Linux for the registers of tiles, which it gives to a process that asks.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "a system call")]
fn tiles_are_allowed() -> bool {
    /// `ARCH_REQ_XCOMP_PERM`
    const REQUEST: libc::c_long = 0x1023;
    /// The number of the tiles' data among the parts of a thread's state.
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and changes nothing but what this process may use
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

#[cfg(all(target_arch = "x86_64", not(all(target_os = "linux", target_env = "gnu"))))]
fn tiles_are_allowed() -> bool {
    false
}

/// Work over slices, written once and compiled for AVX-512, for AVX2 and for any CPU.
pub(crate) trait Work {
    /// What it returns.
    type Out;

    /// Does it, with products and sums in one rounding where `FMA`. To be inlined always, or it is
    /// not compiled for the CPU.
    fn run<const FMA: bool>(self) -> Self::Out;
}

/// Does the work in the widest instructions that the CPU has.
#[allow(unsafe_code, reason = "calls into code for this CPU")]
pub(crate) fn widest<W: Work>(work: W) -> W::Out {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512<W: Work>(work: W) -> W::Out {
            work.run::<true>()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<W: Work>(work: W) -> W::Out {
            work.run::<true>()
        }
        if has_avx512() {
            // SAFETY: the CPU has what the function was compiled for
            return unsafe { avx512(work) };
        }
        if has_avx2() {
            // SAFETY: as above
            return unsafe { avx2(work) };
        }
    }
    work.run::<false>()
}
