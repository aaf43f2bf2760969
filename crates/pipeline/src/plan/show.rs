//! A plan in words, for `check`.
use std::{collections::BTreeSet, fmt};

use report::counted;
use scan::Split;
use serde_json::{Value, json};

use super::{AskPlan, BenchmarkPlan, CohortPlan, Plan, RunPlan, SourcePlan, trains::InWords};
use crate::{spec::CohortSpec, stage::Stage};

impl Plan {
    /// A plan for programs.
    pub fn to_json(&self) -> Value {
        let source = match &self.source {
            SourcePlan::Cohort(cohort) => json!({
                "table": files::shown(&cohort.table),
                "n_scans": cohort.scans.len(),
                "n_subjects": cohort.n_subjects(),
                "n_windows": cohort.rows.len(),
                "t_r_s": cohort.t_r_s,
                "grid": cohort.grid,
                "memory_mib": cohort.memory_mib(),
            }),
            SourcePlan::Pictures(pictures) => json!({
                "table": files::shown(&pictures.table),
                "n_pictures": pictures.pictures.len(),
                "package": files::shown(&pictures.package),
                "model_id": pictures.model_id,
            }),
            SourcePlan::Benchmark(it) => json!({
                "files": it.files.iter().map(|(path, _)| files::shown(path)).collect::<Vec<_>>(),
                "n_examples": it.train.len(),
                "n_items": it.test.len(),
                "package": files::shown(&it.package),
                "model_id": it.model_id,
            }),
            SourcePlan::Recordings(recordings) => json!({
                "cohort": files::shown(&recordings.cohort.path),
                "n_recordings": recordings.recordings().len(),
                "n_subjects": recordings.cohort.n_subjects(),
                "left_out": recordings.cohort.counts(),
                "warnings": recordings.cohort.warnings,
            }),
            SourcePlan::Corpus { path, texts, .. } => {
                json!({ "texts": files::shown(path), "n_texts": texts.len() })
            }
        };
        let runs = self.runs.iter().map(|run| {
            json!({
                "label": run.label,
                "seed": run.seed,
                "train": run.count(Split::Train),
                "validation": run.count(Split::Validation),
                "test": run.count(Split::Test),
            })
        });
        let mut plan = json!({
            "name": self.spec().name,
            "source": source,
            "encoder": self.encoder,
            "language_model": self.lm.as_ref().map(|lm| files::shown(&lm.dir)),
            "stages": self.stage_names(),
            "runs": runs.collect::<Vec<_>>(),
            "training": self.training.as_ref().map(|training| json!({
                "prompt_tokens": training.prompt_tokens,
                "report_tokens": training.histogram(),
                "notes": training.notes,
                "peak_memory_mb": training.peak_memory_mb,
            })),
            "disk": self.disk,
            "trained": self.trained,
            "run_dir": files::shown(&self.run_dir),
        });
        if let Some(ask) = &self.ask {
            plan["package"] = json!({
                "path": files::shown(&ask.package),
                "model_id": ask.model_id,
                "n_windows": ask.windows.len(),
            });
        }
        plan
    }

    fn stage_names(&self) -> Vec<&'static str> {
        self.spec().stages().iter().map(Stage::name).collect()
    }

    /// How many training examples a check of the recipe learns alone.
    fn overfit(&self) -> Option<usize> {
        self.spec().finetune()?.overfit
    }
}

impl RunPlan {
    /// Rows of a split.
    pub fn count(&self, split: Split) -> usize {
        self.splits.iter().filter(|it| **it == split).count()
    }
}

impl CohortPlan {
    fn n_subjects(&self) -> usize {
        self.scans.iter().map(|scan| &scan.subject).collect::<BTreeSet<_>>().len()
    }

    /// One whole scan, and the masked series of all of them, as `f32`; an upper bound.
    fn memory_mib(&self) -> f64 {
        let n_voxels: usize = self.grid.iter().product();
        let frames = || self.scans.iter().filter_map(|scan| scan.n_frames);
        let values = n_voxels * (frames().max().unwrap_or(0) + 2 * frames().sum::<usize>());
        (values * size_of::<f32>()) as f64 / f64::from(1 << 20)
    }
}

impl fmt::Display for CohortPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<String> = self.grid.iter().map(usize::to_string).collect();
        let grid =
            if sides.is_empty() { "no grid".into() } else { format!("grid {}", sides.join("×")) };
        writeln!(f, "cohort    {}", files::shown(&self.table))?;
        writeln!(
            f,
            "          {}, {}, {}; {grid}, TR {} s",
            counted(self.rows.len(), "window"),
            counted(self.scans.len(), "scan"),
            counted(self.n_subjects(), "subject"),
            scan::seconds(self.t_r_s),
        )?;
        writeln!(f, "memory    at most {:.0} MiB of scans at once", self.memory_mib().ceil())
    }
}

impl fmt::Display for BenchmarkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, (path, _)) in self.files.iter().enumerate() {
            let before = if idx == 0 { "data set " } else { "         " };
            writeln!(f, "{before} {}", files::shown(path))?;
        }
        let (test, train) =
            (counted(self.test.len(), "item"), counted(self.train.len(), "example"));
        writeln!(f, "          {test}, {train}")?;
        writeln!(f, "package   {}, {} (frozen)", files::shown(&self.package), self.model_id)
    }
}

impl fmt::Display for AskPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "package   {}, {} (frozen)", files::shown(&self.package), self.model_id)?;
        let windows = counted(self.windows.len(), "window");
        let questions = counted(self.n_questions, "question");
        writeln!(f, "          asked about {windows}: {questions}")
    }
}

impl Plan {
    /// A line for each of several media.
    fn media_in_words(&self, cohort: &CohortPlan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CohortSpec::Pairs(pairs) = &self.spec().cohort else { return Ok(()) };
        for (idx, line) in super::omics::in_words(cohort, pairs).iter().enumerate() {
            writeln!(f, "{} {line}", if idx == 0 { "media    " } else { "         " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pipeline  {}", self.spec().name)?;
        match &self.source {
            SourcePlan::Cohort(cohort) => {
                cohort.fmt(f)?;
                self.media_in_words(cohort, f)?;
            }
            SourcePlan::Pictures(pictures) => {
                let n = counted(pictures.pictures.len(), "picture");
                writeln!(f, "pictures  {}, {n}", files::shown(&pictures.table))?;
                let (package, id) = (files::shown(&pictures.package), &pictures.model_id);
                writeln!(f, "package   {package}, {id} (frozen)")?;
            }
            SourcePlan::Benchmark(benchmark) => benchmark.fmt(f)?,
            SourcePlan::Recordings(recordings) => {
                writeln!(f, "cohort    {}", files::shown(&recordings.cohort.path))?;
                writeln!(f, "          {}", recordings.in_words())?;
                for (idx, line) in recordings.left_out().iter().enumerate() {
                    writeln!(f, "{} {line}", if idx == 0 { "left out " } else { "         " })?;
                }
                for warning in &recordings.cohort.warnings {
                    writeln!(f, "warning   {warning}")?;
                }
            }
            SourcePlan::Corpus { path, texts, .. } => {
                writeln!(f, "corpus    {}, {}", files::shown(path), counted(texts.len(), "text"))?;
            }
        }
        if let Some(ask) = &self.ask {
            ask.fmt(f)?;
        }
        if let Some(lm) = &self.lm {
            writeln!(f, "model     {} (frozen)", files::shown(&lm.dir))?;
            lm.notes.iter().try_for_each(|note| writeln!(f, "          {note}"))?;
        }
        if let Some(encoder) = &self.encoder {
            let spec = &encoder.spec;
            let n_tokens = counted(spec.n_tokens(), "token");
            writeln!(f, "encoder   {}, {n_tokens} of {} numbers a window", spec.id, spec.vis_dim)?;
            if spec.licence.non_commercial {
                writeln!(f, "          weights for research only: {}", spec.licence.name)?;
            }
            if let Some(policy) = &encoder.policy {
                writeln!(f, "          prepared as {policy}")?;
            }
            if let Some(prepared) = &encoder.prepared {
                writeln!(f, "          {prepared}")?;
            }
            writeln!(f, "          {encoder}")?;
            if let Some(warning) = &encoder.warning {
                writeln!(f, "          {warning}")?;
            }
        }
        if let Some(trained) = &self.trained {
            write!(f, "{}", InWords(trained))?;
        }
        writeln!(f, "stages    {}", self.stage_names().join(" → "))?;
        for run in &self.runs {
            let label = run.label.as_deref().map_or(String::new(), |label| format!("{label}: "));
            write!(f, "run       {label}seed {}", run.seed)?;
            if !run.splits.is_empty() {
                let [train, validation, test] =
                    [Split::Train, Split::Validation, Split::Test].map(|split| run.count(split));
                let what = match &self.source {
                    SourcePlan::Recordings(_) => "recording",
                    _ => "window",
                };
                let train = counted(train, what);
                write!(
                    f,
                    "; {train} for training, {validation} for validation, {test} for the test"
                )?;
                if let Some(n) = self.overfit() {
                    let n = n.min(run.count(Split::Train));
                    write!(f, "; learns and is judged by the first {} alone", counted(n, what))?;
                }
            }
            writeln!(f)?;
        }
        if let Some(training) = &self.training {
            writeln!(f, "{training}")?;
        }
        if let Some(disk) = &self.disk {
            writeln!(f, "disk      {disk}")?;
        }
        write!(f, "writes    {}", files::shown(&self.run_dir))
    }
}
