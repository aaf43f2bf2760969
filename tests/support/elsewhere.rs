//! A run's model package on what might be another machine: run folder, cache and pipeline are out of
//! sight.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{Ran, Synthetic, files_below, run};

/// A package that was carried away, and the reports that its run wrote; the run is put back when the
/// value goes.
pub struct Elsewhere<'a> {
    cohort: &'a Synthetic,
    package: PathBuf,
    reports: Vec<Value>,
}

impl<'a> Elsewhere<'a> {
    /// Carries the package of pipeline `name` away, and hides everything else that was written.
    pub fn new(cohort: &'a Synthetic, name: &str) -> Self {
        let folder = cohort.dir().join("runs").join(name);
        let package = cohort.dir().join("elsewhere/model");
        let _ = fs::remove_dir_all(cohort.dir().join("elsewhere"));
        for path in files_below(&folder.join("model")) {
            let inside = path.strip_prefix(folder.join("model")).expect("a file of the package");
            let copy = package.join(inside);
            fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            fs::copy(&path, copy).expect("a file is copied");
        }
        let files = files_below(&folder).into_iter();
        let reports = files.filter(|path| path.to_string_lossy().ends_with("report.json"));
        let read = |path: PathBuf| {
            serde_json::from_str(&fs::read_to_string(path).expect("a report")).expect("JSON")
        };
        let reports = reports.map(read).collect();
        for hidden in Self::HIDDEN {
            let path = cohort.dir().join(hidden);
            fs::rename(&path, path.with_extension("hidden")).expect("it is out of sight");
        }
        Self { cohort, package, reports }
    }

    const HIDDEN: [&'static str; 3] = ["runs", "atlas", "pipeline.yaml"];

    /// Where it lies now.
    pub fn package(&self) -> &Path {
        &self.package
    }

    /// The scan that a report is of.
    pub fn scan(&self, report: &Value) -> PathBuf {
        let name = report["window"]["scan"].as_str().expect("a file name");
        let scans = files_below(&self.cohort.dir().join("bids"));
        scans.into_iter().find(|path| path.ends_with(name)).expect("a scan of the cohort")
    }

    /// The first of the run's reports.
    pub fn first(&self) -> &Value {
        &self.reports[0]
    }

    /// `neuroflamingo generate` of a scan with the package.
    pub fn generate(&self, scan: &Path, more: &[&str]) -> Ran {
        let (package, scan) = (self.package.display().to_string(), scan.display().to_string());
        let args = ["generate", "--model", &package, "--scan", &scan, "--max-new-tokens", "48"];
        run(&[&args[..], more].concat()).naming(self.cohort.dir(), "[cohort]")
    }

    /// What it says of a scan that it refuses.
    pub fn refuses(&self, scan: &Path, more: &[&str]) -> String {
        let ran = self.generate(scan, more).exits_with(2);
        assert_eq!(ran.stdout, "", "{ran}");
        ran.one_error()
    }

    /// The first `n` reports, written again: they must be those of the run.
    pub fn writes_the_same(&self, n: usize, more: &[&str]) {
        for report in &self.reports[..n] {
            let more = [&["--window", "1", "--json"], more].concat();
            let ran = self.generate(&self.scan(report), &more).exits_with(0);
            let again = serde_json::from_str(&ran.stdout).expect("a report");
            assert!(near(&again, report), "{again:#}\nis not\n{report:#}");
        }
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        for hidden in Self::HIDDEN {
            let path = self.cohort.dir().join(hidden);
            // a test that failed says why, not this
            let _ = fs::rename(path.with_extension("hidden"), path);
        }
    }
}

/// Whether two records say the same, with probabilities as near as sums of another batch are.
fn near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, it)| b.get(key).is_some_and(|b| near(it, b)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b))
        }
        (Value::Number(a), Value::Number(b)) => {
            let apart = a.as_f64().expect("a number") - b.as_f64().expect("a number");
            apart.abs() < 1e-5
        }
        _ => a == b,
    }
}
