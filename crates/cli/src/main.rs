//! `neuroflamingo`, which links no CUDA.

fn main() -> std::process::ExitCode {
    cli::main()
}
