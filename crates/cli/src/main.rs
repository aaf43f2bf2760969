//! The command line of neuroflamingo.
fn main() {}
