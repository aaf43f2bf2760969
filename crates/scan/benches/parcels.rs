//! Seconds and peak memory from a run in a file to its parcel series:
//! `cargo bench -p scan --bench parcels -- RUN ATLAS [clean]`; see the README beside it.

use std::{error::Error, time::Instant};

use ndarray::Array2;
use scan::{
    Atlas, BoldFile, Detrend, ExtractConfig, Filter, Frames, SignalConfig, Standardize,
    clean_signals,
};

#[expect(clippy::print_stdout, reason = "the line is what this is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    // Called by `cargo test` without a run: nothing to time.
    let [run, atlas, rest @ ..] = arguments.as_slice() else { return Ok(()) };
    let start = Instant::now();
    let run = BoldFile::open(run)?;
    let series = Atlas::read(atlas)?.extract(&run, &ExtractConfig::default(), None)?;
    let extracted = start.elapsed().as_secs_f64();
    let mut values = series.values;
    if rest.first().is_some_and(|word| word == "clean") {
        let confounds = Array2::from_shape_fn((run.n_frames(), 24), |(t, c)| {
            ((t * t * (c + 3) + 7 * c * t) % 101) as f64
        });
        let config = SignalConfig {
            detrend: Detrend::Linear,
            filter: Filter::Butterworth { high_pass: Some(0.01), low_pass: Some(0.1) },
            standardize: Standardize::ZscoreSample,
            ..Default::default()
        };
        values = clean_signals(&values, run.t_r(), Some(&confounds), None, &config)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    let (n_frames, n_parcels) = values.dim();
    println!("{n_frames} × {n_parcels}: {seconds:.2} s ({extracted:.2} s to extract), {peak}");
    Ok(())
}
