//! What is said of the derivatives as a dataset.
use std::{fmt::Write as _, path::Path};

use cohort::Entities;
use serde_json::{Value, json};

use super::{
    call::BidsApp,
    methods,
    output::{put, put_json, refused},
    source::DESCRIPTION,
};
use crate::{
    Result,
    plan::{Plan, SourcePlan},
};

/// What the derivatives call the dataset that they were made of, in BIDS URIs.
pub(super) const SOURCE: &str = "source";

const BIDS_VERSION: &str = "1.10.1";

/// Files for which the BIDS schema has no rule, as a validator is told.
const IGNORED: &[&str] = &[
    "*_timeseries.tsv",
    "*_timeseries.json",
    "*_stat-coverage_bold.tsv",
    "*_stat-coverage_bold.json",
    "*_report.json",
    "atlases",
    "idp",
    "logs",
    "*.html",
    "figures",
    "embeddings*",
    "metrics.json",
    "composed",
    "export",
    "quality.*",
    "probe.json",
    "predictions.csv",
];

/// Writes what describes the derivatives.
pub(super) fn write(app: &BidsApp, plan: &Plan) -> Result<()> {
    let out = &app.out_dir;
    files::make_dir(&out.join("logs"))?;
    put_json(&out.join(DESCRIPTION), &description(app, plan))?;
    put(&out.join("README.md"), readme(app, plan).as_bytes())?;
    put(&out.join(".bidsignore"), (IGNORED.join("\n") + "\n").as_bytes())?;
    let used = plan.loaded.as_used(&out.join("logs"), &plan.runs[0]);
    put(&out.join("logs/config_used.yaml"), used.as_bytes())?;
    put(&out.join("logs/CITATION.md"), methods::boilerplate(app, plan).as_bytes())?;
    put(&out.join("CITATION.cff"), methods::citation(app, plan).as_bytes())
}

fn description(app: &BidsApp, plan: &Plan) -> Value {
    let mut generated = json!({
        "Name": "neuroflamingo",
        "Version": env!("CARGO_PKG_VERSION"),
        "Description": format!("Pipeline {}, whose settings are in logs/config_used.yaml.", plan.spec().name),
    });
    if !env!("CARGO_PKG_REPOSITORY").is_empty() {
        generated["CodeURL"] = json!(env!("CARGO_PKG_REPOSITORY"));
    }
    let link = link(app);
    let source = &app.source.description;
    let mut from = json!({ "URL": link });
    for (key, theirs) in [("DOI", "DatasetDOI"), ("Version", "DatasetVersion")] {
        if let Some(value) = source[theirs].as_str() {
            from[key] = json!(value);
        }
    }
    json!({
        "Name": name(app, plan),
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [generated],
        "SourceDatasets": [from],
        "DatasetLinks": { SOURCE: link },
    })
}

/// Where the dataset is, as a URI: relative to the derivatives where both are below one folder.
fn link(app: &BidsApp) -> String {
    let out_dir = app.out_dir.canonicalize().unwrap_or_else(|_| app.out_dir.clone());
    let relative = files::relative(&app.bids_dir, &out_dir).filter(|it| it.is_relative());
    let (start, path) = match &relative {
        Some(path) => ("", path),
        None => ("file://", &app.bids_dir),
    };
    start.to_owned() + &in_uri(&path.to_string_lossy())
}

/// A path as it stands in a URI: other characters than its own are written as `%20`.
fn in_uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// What the folder holds, for people.
fn readme(app: &BidsApp, plan: &Plan) -> String {
    format!(
        "# {}\n\nMade with neuroflamingo {}, pipeline `{}`.\n\n\
         - `logs/CITATION.md`: how it was made, in words for a paper, and what to cite\n\
         - `logs/config_used.yaml`: every setting\n\
         - `atlases/`: what the columns of the series are\n\
         - `.work/`: results that later calls go on with, and the folder of the run with its model\n\n\
         Research output, not for diagnosis.\n",
        name(app, plan),
        env!("CARGO_PKG_VERSION"),
        plan.spec().name,
    )
}

fn name(app: &BidsApp, plan: &Plan) -> String {
    format!("neuroflamingo {} of {}", plan.spec().name, app.source.name())
}

/// Copies what a finished run says of all participants.
pub(super) fn write_of_run(plan: &Plan, record: &Value, out_dir: &Path) -> Result<()> {
    let Some(published) = record["files"].as_object() else { return Ok(()) };
    let is_of_all = |name: &str| {
        name.starts_with("embeddings")
            || name == "metrics.json"
            || name.starts_with("figures/")
            || name.starts_with("composed/")
            || name.starts_with("export/")
            || ["quality.tsv", "quality.json", "probe.json", "predictions.csv"].contains(&name)
            || (Path::new(name).extension().is_some_and(|it| it == "html") && !name.contains('/'))
    };
    let earlier: Value = files::read_json(&out_dir.join("logs/record.json")).unwrap_or_default();
    let earlier = earlier["files"].as_object().into_iter().flat_map(|it| it.keys());
    for stale in earlier.filter(|it| is_of_all(it) && !published.contains_key(*it)) {
        files::remove_inside(out_dir, stale)?;
    }
    for (name, digest) in published.iter().filter(|(name, _)| is_of_all(name)) {
        let Some(digest) = digest.as_str() else { continue };
        let target = out_dir.join(name);
        if files::sha256_file(&target).is_ok_and(|it| it == digest) {
            continue;
        }
        if !files::copy_checked(&plan.run_dir.join(name), &target, digest)? {
            return Err(refused(
                &plan.run_dir.join(name),
                "changed since it was written: run again",
            ));
        }
    }
    for name in ["status.tsv", "record.json"] {
        let path = plan.run_dir.join(name);
        put(&out_dir.join("logs").join(name), &files::read_bytes(&path)?)?;
    }
    Ok(())
}

/// The entities of a recording; none where nothing says them.
pub(super) fn entities(plan: &Plan, idx: usize) -> Option<Entities> {
    match &plan.source {
        SourcePlan::Recordings(recordings) => Some(recordings.recordings()[idx].entities.clone()),
        SourcePlan::Cohort(cohort) => {
            cohort::entities_of(cohort.scans[idx].path.file_name()?.to_str()?)
                .filter(|it| it.get(cohort::Entity::Subject).is_some())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_a_uri() {
        assert_eq!(in_uri("../my data/fmriprep-25.2"), "../my%20data/fmriprep-25.2");
        assert_eq!(in_uri("/été"), "/%C3%A9t%C3%A9");
    }
}
