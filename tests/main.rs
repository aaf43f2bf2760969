//! The integration tests: one binary, a module a subject.

mod agreement;
mod architecture;
mod bad_encoders;
mod bad_input;
mod bad_models;
mod bad_pipeline;
mod bad_recordings;
mod bad_scans;
mod captions;
mod cli;
mod cohort_outputs;
mod cohorts;
mod covering;
mod encoder_check;
mod encoder_packages;
mod encoder_policies;
mod encoders;
mod language_models;
mod one_scan;
mod parity;
mod pipelines;
mod quickstart;
mod robustness;
mod seen;
mod signal;
mod tuning;
