//! A step that lives in this file goes through a plan, a run, the package of its model and the report of one
//! scan, by the trait and a line of a pipeline alone.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use flamingo::PackageFile;
use pipeline::{Additions, Execution, Loaded, OneScan, Place, Plan, Silent, StepRegistry};
use preprocess::{Data, Fitted, Given, Inputs, Packing, Recording, Result, Step, StepId, Training};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tests::{Elsewhere, Stored, Synthetic, says};
use xtask::synthetic::Side;

const SWAP: &str = "swap-encoders";

/// Where a package keeps the number.
const PART: &str = "shift.json";

/// Adds the number in a file to every value of a series, `TIMES` times.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shift<const TIMES: usize> {
    by: PathBuf,
}

impl<const TIMES: usize> Step for Shift<TIMES> {
    fn id(&self) -> StepId {
        StepId { name: "shift", version: 1 }
    }

    fn said(&self) -> String {
        json!(self).to_string()
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        vec![&mut self.by]
    }

    fn decides(&self, _recording: &Recording, inputs: &dyn Inputs) -> Result<Option<Value>> {
        Ok(Some(json!(inputs.digest(&inputs.place(&self.by))?)))
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        let bytes = files::read_bytes(&(kept.place)(&self.by))?;
        self.by = PART.into();
        Ok(vec![PackageFile { name: PART.to_owned(), bytes, licence: None }])
    }

    fn parts(&self) -> Vec<PathBuf> {
        vec![PART.into()]
    }

    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        let by: f64 = files::read_json(&training.inputs.place(&self.by))?;
        Ok(Box::new(By(TIMES as f64 * by)))
    }
}

struct By(f64);

impl Fitted for By {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        given.map_or(0, |given| given.n_bytes(given.facts.n_frames))
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        let mut series = given.into_series();
        series.values += self.0;
        Ok(series.into())
    }
}

/// A cohort whose series are shifted by `0.25`.
fn cohort() -> Synthetic {
    let cohort = Synthetic::new(24, Stored::All(Side::Ras), SWAP);
    let step = "  - step: { name: shift, with: { by: by.json } }\n  - volumes: {";
    cohort.edit_pipeline("  - volumes: {", step);
    fs::write(cohort.dir().join("by.json"), "0.25").unwrap();
    cohort
}

fn steps() -> Additions {
    with(StepRegistry::default().with::<Shift<1>>("shift"))
}

fn with(steps: StepRegistry) -> Additions {
    Additions { steps, ..Additions::default() }
}

/// Plans and runs it with the step.
fn ran(cohort: &Synthetic) -> Plan {
    let sets = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];
    let loaded = Loaded::read_with(&cohort.pipeline(), &sets.map(str::to_owned), &steps()).unwrap();
    let plan = Plan::new(loaded).unwrap();
    let (mut silent, stop) = (Silent, AtomicBool::new(false));
    let outcome = pipeline::run(&plan, Execution::default(), &mut silent, &stop).unwrap();
    assert_eq!(outcome.n_failed, 0);
    plan
}

/// The report of a scan with a package alone.
fn report_of(scan: &Path, package: &Path, steps: &Additions) -> Result<Value, pipeline::Error> {
    let scan = OneScan {
        path: scan,
        place: Some(Place::Window(1)),
        confounds: None,
        t_r: None,
        labels: None,
        omics: None,
    };
    let config = json!({ "max_new_tokens": 48, "batch_size": 1 });
    let config = serde_json::from_value(config).unwrap();
    let opening = pipeline::Opening::of(pipeline::Precision::default(), pipeline::DeviceName::Cpu)?;
    let report = pipeline::generate(package, &opening, &scan, &config, steps)?;
    Ok(serde_json::to_value(report).unwrap())
}

#[test]
fn a_step_of_another_program_goes_the_whole_way() {
    let cohort = cohort();
    let plan = ran(&cohort);
    says(
        &plan.to_string(),
        &["parcellate → normalise → shift → volumes → sliding_windows → encode"],
    );
    let used = fs::read_to_string(cohort.result(SWAP, "config_used.yaml")).unwrap();
    says(&used, &["- step:", "name: shift", "by: ../../by.json"]);

    let elsewhere = Elsewhere::new(&cohort, SWAP);
    fs::remove_file(cohort.dir().join("by.json")).unwrap();
    let (first, package) = (elsewhere.first(), elsewhere.package());
    let scan = elsewhere.scan(first);
    let alone = report_of(&scan, package, &steps()).unwrap();
    assert_eq!(
        (&alone["text"], &alone["slots"][0]["value"]),
        (&first["text"], &first["slots"][0]["value"])
    );
    let probability = |report: &Value| {
        let all = report["slots"][0]["probabilities"].as_object().unwrap();
        all.values().map(|it| it.as_f64().unwrap()).fold(0.0, f64::max)
    };
    assert!((probability(&alone) - probability(first)).abs() < 1e-5, "{alone}\n{first}");
    let said = report_of(&scan, package, &Additions::default()).unwrap_err().to_string();
    says(
        &said,
        &["model: stages.step: `shift` is not a step that this program adds (it adds: none)"],
    );

    // another step of this name gives other probabilities
    let other = with(StepRegistry::default().with::<Shift<0>>("shift"));
    let other = report_of(&scan, package, &other).unwrap();
    assert!((probability(&other) - probability(first)).abs() > 1e-5, "{other}");
}

#[test]
fn a_step_that_is_not_there_is_refused_where_it_is_named() {
    let cohort = cohort();
    let ran = cohort.run(&[]).exits_with(2);
    says(
        &ran.one_error(),
        &[
            "pipeline.yaml:",
            "`shift` is not a step that this program adds (it adds: none)",
            "- step: {",
        ],
    );
    let set = "stages.step.with.bye=1".to_owned();
    let loaded = Loaded::read_with(&cohort.pipeline(), &[set], &steps()).unwrap();
    says(
        &Plan::new(loaded).unwrap_err().to_string(),
        &["shift: unknown field `bye`, expected `by`"],
    );
}
