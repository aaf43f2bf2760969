//! The integration tests: one binary, a module a subject.

mod architecture;
mod bad_input;
mod bad_pipeline;
mod bad_scans;
mod cli;
mod parity;
mod pipelines;
mod quickstart;
