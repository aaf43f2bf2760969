//! An NVIDIA GPU is used by another program, so that this one starts where there is none.
//!
//! `neuroflamingo-cuda` is the same program linked with CUDA. It lies beside this one, which passes its
//! arguments on.
#[cfg(any(test, not(feature = "cuda")))]
use std::path::Path;

use anyhow::Result;
use pipeline::DeviceName;

/// The library of NVIDIA's driver.
#[cfg(not(feature = "cuda"))]
const DRIVER: &str = "libcuda.so.1";
/// The program that is linked with it.
#[cfg(not(feature = "cuda"))]
const PROGRAM: &str = "neuroflamingo-cuda";

/// Goes on as the program that has CUDA, where a GPU is asked for; comes back where none is, or this is it.
///
/// # Errors
/// Where the driver or the program is missing, or cannot be started.
#[cfg(not(feature = "cuda"))]
pub(super) fn go_on_with(device: DeviceName) -> Result<()> {
    use std::os::unix::process::CommandExt as _;

    use anyhow::{Context as _, bail};

    let DeviceName::Cuda(_) = device else { return Ok(()) };
    let listed = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let cache = std::fs::read("/etc/ld.so.cache").unwrap_or_default();
    if !is_in_reach(DRIVER, std::env::split_paths(&listed), &cache) {
        bail!(
            "device {device}: found no {DRIVER}, expected NVIDIA's driver in LD_LIBRARY_PATH or among the system's \
             libraries"
        );
    }
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let program = this.with_file_name(PROGRAM);
    if !program.is_file() {
        bail!(
            "device {device}: found no {PROGRAM} beside this program, expected {}: it is built with the feature cuda",
            program.display()
        );
    }
    let error = std::process::Command::new(&program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

/// This is the program that has CUDA.
#[cfg(feature = "cuda")]
#[allow(clippy::unnecessary_wraps, reason = "as without CUDA")]
pub(super) fn go_on_with(_: DeviceName) -> Result<()> {
    Ok(())
}

/// Whether the system's loader would find a library: in these folders, in its cache, or where it looks besides.
#[cfg(any(test, not(feature = "cuda")))]
fn is_in_reach(
    name: &str,
    mut listed: impl Iterator<Item = impl AsRef<Path>>,
    cache: &[u8],
) -> bool {
    let entry = format!("/{name}\0");
    let holds = |folder: &Path| !folder.as_os_str().is_empty() && folder.join(name).is_file();
    listed.any(|folder| holds(folder.as_ref()))
        || cache.windows(entry.len()).any(|bytes| bytes == entry.as_bytes())
        || ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].iter().any(|folder| {
            // Debian's folders of an architecture
            let of_arch = format!("{folder}/{}-linux-gnu", std::env::consts::ARCH);
            holds(Path::new(folder)) || holds(Path::new(&of_arch))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_where_the_loader_looks() {
        let folder = tempfile::tempdir().unwrap();
        let find = |cache: &[u8]| is_in_reach("libno.so.1", [folder.path()].into_iter(), cache);
        assert!(!find(b""));
        assert!(!find(b"libno.so.1\0/opt/libno.so.12\0"));
        assert!(find(b"libno.so.1\0/opt/lib/libno.so.1\0"));
        std::fs::write(folder.path().join("libno.so.1"), b"").unwrap();
        assert!(find(b""));
    }

    #[test]
    fn an_empty_list_of_folders_is_not_the_working_folder() {
        let in_empty = std::env::split_paths("");
        assert!(Path::new("Cargo.toml").is_file());
        assert!(!is_in_reach("Cargo.toml", in_empty, b""));
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn the_c_library_is_found_without_a_list_or_a_cache() {
        let none: [&Path; 0] = [];
        assert!(is_in_reach("libc.so.6", none.into_iter(), b""));
    }
}
