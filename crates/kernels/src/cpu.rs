//! What the CPU can do beyond the instructions every program may use.

use std::ffi::OsString;
use std::sync::OnceLock;

/// Names the highest of the levels that may be used.
const VARIABLE: &str = "NEUROFLAMINGO_CPU";

/// Sets of instructions, each with all those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// What every CPU has.
    Plain,
    Avx2,
    /// The AVX-512 of servers since 2017.
    Avx512,
    /// Its products of bytes and of sixteen-bit numbers besides.
    Vnni,
    /// Its products of pairs of bf16 besides.
    Bf16,
    /// Tiles of bf16 besides.
    Amx,
}

const NAMES: [(Level, &str); 6] = [
    (Level::Plain, "plain"),
    (Level::Avx2, "avx2"),
    (Level::Avx512, "avx512"),
    (Level::Vnni, "vnni"),
    (Level::Bf16, "bf16"),
    (Level::Amx, "amx"),
];

/// The level in use, asked for once: hot loops ask for every row.
fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| highest().unwrap_or(Level::Amx).min(there()))
}

/// The instructions in use, by name: the widest that CPU and system have, or what the environment
/// variable `NEUROFLAMINGO_CPU` names below them.
///
/// # Errors
/// The variable names no set of instructions.
pub fn instructions() -> Result<&'static str, String> {
    highest()?;
    let (_, name) = NAMES.iter().find(|(it, _)| *it == level()).expect("every level has a name");
    Ok(name)
}

/// The highest level that may be used.
fn highest() -> Result<Level, String> {
    highest_of(std::env::var_os(VARIABLE))
}

fn highest_of(asked: Option<OsString>) -> Result<Level, String> {
    let Some(asked) = asked else { return Ok(Level::Amx) };
    let found = NAMES.iter().find(|(_, name)| asked == *name);
    found.map(|(level, _)| *level).ok_or_else(|| {
        let names = NAMES.map(|(_, name)| name).join(", ");
        format!("{VARIABLE} is `{}`, expected one of {names}", asked.display())
    })
}

/// What CPU and system have.
#[cfg(target_arch = "x86_64")]
fn there() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let vnni = is_x86_feature_detected!("avx512vnni");
    let bf16 = is_x86_feature_detected!("avx512bf16");
    match [avx2, avx512, vnni, bf16] {
        [false, ..] => Level::Plain,
        [_, false, ..] => Level::Avx2,
        [_, _, false, _] => Level::Avx512,
        [_, _, _, false] => Level::Vnni,
        _ if has_tiles() => Level::Amx,
        _ => Level::Bf16,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn there() -> Level {
    Level::Plain
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

/// Whether its products of pairs of bf16 may be used besides.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_bf16() -> bool {
    level() >= Level::Bf16
}

/// Whether CPU and system let this process multiply tiles of bf16.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_amx() -> bool {
    level() >= Level::Amx
}

/// Whether the CPU has tiles and the system gives them: where it refuses, it is as if there were none.
#[cfg(target_arch = "x86_64")]
fn has_tiles() -> bool {
    // leaf 7, EDX: bit 22 products of bf16, bit 24 tiles
    const BITS: u32 = 1 << 22 | 1 << 24;
    let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
    features & BITS == BITS && tiles_are_allowed()
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

/// Asks for items `start .. end` of a slice, as far as there are so many, to be brought to the second
/// cache.
#[allow(unsafe_code, reason = "a hint to the CPU")]
pub(crate) fn ask_for<T>(items: &[T], start: usize, end: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(items) = items.get(start..end.min(items.len())) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        for line in (0..size_of_val(items)).step_by(64) {
            let place = items.as_ptr().cast::<i8>().wrapping_add(line);
            // SAFETY: a hint reads nothing
            unsafe { _mm_prefetch::<_MM_HINT_T1>(place) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, start, end);
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn levels_go_by_their_names_and_end_at_what_is_asked_for() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(instructions().is_ok_and(|name| NAMES.iter().any(|it| it.1 == name)));
        assert!(level() <= there());
    }

    /// Runs the tests of products and attention again with the instructions of each level alone: they
    /// compare with plain sums in `f64` and with the softmax of training.
    #[test]
    #[allow(clippy::print_stderr, reason = "what was not run")]
    fn every_level_gives_what_the_definitions_say() {
        const TESTS: [&str; 6] = [
            "linear::tests::products_of_few_rows_match_the_definition",
            "linear::tests::products_of_many_rows_and_their_gradients_match_the_definition",
            "linear::rounded::tests::products_are_those_of_rounded_inputs",
            "linear::rounded::tests::products_beside_bytes_are_those_of_bytes",
            "linear::rounded::tests::neither_threads_nor_the_batch_change_a_bit",
            "masked_attention::tests::it_is_the_softmax_of_training_between_two_products",
        ];
        let this = std::env::current_exe().expect("the tests are a program");
        for (level, name) in NAMES {
            if level > there() {
                eprintln!("{name}: not run on this CPU");
                continue;
            }
            let run =
                Command::new(&this).args(["--exact"]).args(TESTS).env(VARIABLE, name).output();
            let run = run.expect("it runs");
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(said.contains(&format!("{} passed; 0 failed", TESTS.len())), "{name}: {said}");
        }
    }

    #[test]
    fn an_unknown_level_is_refused_by_name() {
        assert_eq!(
            highest_of(Some("avx3".into())),
            Err(
                "NEUROFLAMINGO_CPU is `avx3`, expected one of plain, avx2, avx512, vnni, bf16, amx"
                    .to_owned()
            )
        );
        assert_eq!(highest_of(Some("avx2".into())), Ok(Level::Avx2));
        assert_eq!(highest_of(None), Ok(Level::Amx));
    }
}
