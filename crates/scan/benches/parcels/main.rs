//! Seconds and memory from runs in files to their parcel series; see the README beside it.
//!
//! ```text
//! cargo bench -p scan --bench parcels -- make FOLDER
//! cargo bench -p scan --bench parcels -- one RUN ATLAS [clean]
//! cargo bench -p scan --bench parcels -- cohort RUN ATLAS N_RUNS N_WORKERS MEM_MB [clean]
//! ```

mod synthesise;

use std::{error::Error, path::Path, time::Instant};

use engine::Budget;
use ndarray::Array2;
use scan::{
    Atlas, BoldFile, Detrend, ExtractConfig, Filter, Frames, SignalConfig, Standardize,
    clean_signals,
};

const N_CONFOUNDS: usize = 24;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What becomes of a run on another thread.
type Worked = std::result::Result<Array2<f64>, Box<dyn Error + Send + Sync>>;

#[expect(clippy::print_stdout, reason = "the line is what this is for")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    let told = match words[..] {
        ["make", folder] => synthesise::write(Path::new(folder))?,
        ["one", run, atlas, ref rest @ ..] => {
            let series = series(&BoldFile::open(run)?, &Atlas::read(atlas)?, is_clean(rest))?;
            let (n_frames, n_parcels) = series.dim();
            format!("{n_frames} {n_parcels} {}", series.mapv(f64::abs).sum())
        }
        ["cohort", run, atlas, n_runs, n_workers, mem_mb, ref rest @ ..] => {
            let n_workers = n_workers.parse()?;
            let budget = Budget { n_workers, n_bytes: 0 }.with_mem_mb(mem_mb.parse()?);
            cohort(run, &Atlas::read(atlas)?, n_runs.parse()?, budget, is_clean(rest))?
        }
        // Called by `cargo test`: nothing to time.
        _ => return Ok(()),
    };
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{told} in {seconds:.2} s, at most {} kB",
        peak().map_or_else(String::new, |n| n.to_string())
    );
    Ok(())
}

/// The most memory that this process has had so far, in kB of 1024 bytes, where the system says it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn is_clean(rest: &[&str]) -> bool {
    rest == ["clean"]
}

/// `(n_frames, n_parcels)`; detrended, filtered, freed of 24 confounds and standardised if wished.
fn series(run: &BoldFile, atlas: &Atlas, clean: bool) -> scan::Result<Array2<f64>> {
    let values = atlas.extract(run, &ExtractConfig::default(), None)?.values;
    if !clean {
        return Ok(values);
    }
    let confounds = Array2::from_shape_fn((run.n_frames(), N_CONFOUNDS), |(t, c)| {
        ((t * t * (c + 3) + 7 * c * t) % 101) as f64
    });
    clean_signals(&values, run.t_r(), Some(&confounds), None, &cleaning())
}

fn cleaning() -> SignalConfig {
    SignalConfig {
        detrend: Detrend::Linear,
        filter: Filter::Butterworth { high_pass: Some(0.01), low_pass: Some(0.1) },
        standardize: Standardize::ZscoreSample,
        ..Default::default()
    }
}

/// The same run under many names, within cores and memory; no series is kept but the first.
fn cohort(run: &str, atlas: &Atlas, n_runs: usize, budget: Budget, clean: bool) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let run = std::fs::canonicalize(run)?;
    let links = (0..n_runs).map(|subject| {
        let link = folder.path().join(format!("sub-{subject:02}_bold.nii.gz"));
        std::os::unix::fs::symlink(&run, &link).map(|()| link)
    });
    let runs: Vec<BoldFile> =
        links.map(|link| Ok(BoldFile::open(link?)?)).collect::<Result<_>>()?;
    let config = ExtractConfig::default();
    let cost = |run: &BoldFile| {
        let extracted = atlas.extract_bytes(&run.footprint(), &config);
        let n = [run.n_frames(), atlas.n_parcels(), N_CONFOUNDS];
        extracted + if clean { cleaning().n_bytes(n[0], n[1], n[2], run.t_r()) } else { 0 }
    };
    let most = runs.iter().map(cost).max().unwrap_or(0);
    let before = peak();
    let mut first = None;
    let work = |_: usize, run: &BoldFile| Ok(series(run, atlas, clean)?);
    budget
        .each(&runs, cost, work, |_, series: Worked| {
            let series = series?;
            assert!(
                *first.get_or_insert_with(|| series.clone()) == series,
                "the same run, the same series"
            );
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        })
        .map_err(|error| -> Box<dyn Error> { error })?;
    if let (Some(before), Some(after)) = (before, peak()) {
        let taken = (after - before) * 1024;
        assert!(taken <= budget.n_bytes, "{taken} bytes taken, the budget is {}", budget.n_bytes);
    }
    let [most, before] = [most, 1024 * before.unwrap_or(0)].map(|n| n.div_ceil(1_000_000));
    Ok(format!("{n_runs} runs, {most} MB reckoned for each, {before} MB before the first"))
}
