//! `neuroflamingo-cuda`, the same program linked with CUDA.

fn main() -> std::process::ExitCode {
    cli::main()
}
