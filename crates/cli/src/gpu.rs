//! What can be done about errors of a GPU, which say little more than their codes in NVIDIA's driver.

/// What can be done, for an error that says this.
pub(crate) fn hint(said: &str) -> Option<&'static str> {
    let hints = [
        (
            &["CUDA_ERROR_OUT_OF_MEMORY"][..],
            "the memory of the GPU is full: expected a smaller batch, `activation_checkpointing: true` in a training, or a \
             GPU with more",
        ),
        (
            &["CUDA_ERROR_NO_DEVICE"],
            "NVIDIA's driver finds no GPU: expected one that nvidia-smi lists",
        ),
        (
            &["CUDA_ERROR_INVALID_DEVICE"],
            "this machine has no GPU of that number: expected one that nvidia-smi lists, counted from 0",
        ),
        (
            &["CUDA_ERROR_NO_BINARY_FOR_GPU", "CUDA_ERROR_INVALID_PTX"],
            "the GPU is older than those that this program was built for: expected a program built with its \
             CUDA_COMPUTE_CAP",
        ),
        (
            &["CUDA_ERROR_UNSUPPORTED_PTX_VERSION"],
            "NVIDIA's driver is older than the CUDA that this program was built with: expected a newer driver",
        ),
    ];
    let is_said = |code: &&str| said.contains(*code);
    hints.into_iter().find(|(codes, _)| codes.iter().any(is_said)).map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_driver_become_sentences() {
        // errors as cudarc writes them
        for (said, expected) in [
            (
                "cuda:7 cannot be used\nDriverError(CUDA_ERROR_INVALID_DEVICE, \"…\")",
                "no GPU of that number",
            ),
            (
                "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
                "memory of the GPU is full",
            ),
            ("DriverError(CUDA_ERROR_NO_DEVICE, \"…\")", "finds no GPU"),
            ("DriverError(CUDA_ERROR_NO_BINARY_FOR_GPU, \"…\")", "older than those"),
            ("DriverError(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, \"…\")", "newer driver"),
        ] {
            assert!(hint(said).is_some_and(|hint| hint.contains(expected)), "{said}");
        }
        assert_eq!(hint("device cuda: found no libcuda.so.1"), None);
    }
}
