//! Imaging-derived phenotypes of every visit, in the form that Nipoppy gathers: one table whose first columns are
//! `participant_id` and `session_id` without their keys, and a data dictionary beside it.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use cohort::{Entities, Entity};
use preprocess::{Measured, SeriesFacts};
use serde_json::{Map, Value, json};

use super::{
    call::BidsApp,
    dataset::entities,
    output::{put, put_json},
    series::Written,
};
use crate::{Result, plan::Plan};

/// Where the table and its dictionary lie, below the folder of the derivatives.
pub(super) const FOLDER: &str = "idp";

/// A quantity of a recording.
struct Measure {
    name: &'static str,
    description: &'static str,
    units: Option<&'static str>,
    of: fn(&Measured) -> Option<f64>,
}

const MEASURES: [Measure; 7] = [
    Measure {
        name: "n_volumes",
        description: "Volumes of the series.",
        units: None,
        of: |it| Some(it.n_frames as f64),
    },
    Measure {
        name: "repetition_time",
        description: "Time between two volumes.",
        units: Some("s"),
        of: |it| Some(it.t_r_s),
    },
    Measure {
        name: "fd_mean",
        description: "Mean framewise displacement over the volumes that have one, from the table of confounds.",
        units: Some("mm"),
        of: |it| it.fd_mean_mm,
    },
    Measure {
        name: "tsnr_median",
        description: "Median over parcels of the temporal signal-to-noise ratio of the extracted series, a linear trend taken out.",
        units: None,
        of: |it| it.median_tsnr,
    },
    Measure {
        name: "dvars_median",
        description: "Median over volumes of DVARS of the extracted series, in percent of each parcel's mean.",
        units: Some("%"),
        of: |it| it.median_dvars_percent,
    },
    Measure {
        name: "coverage_mean",
        description: "Mean over parcels of the share that has data, from 0 to 1.",
        units: None,
        of: |it| it.coverage,
    },
    Measure {
        name: "n_parcels_lost",
        description: "Parcels of which the scan has no data.",
        units: None,
        of: |it| it.n_lost.map(|n| n as f64),
    },
];

/// Writes the table and its dictionary.
pub(super) fn write(app: &BidsApp, plan: &Plan, written: &[Written]) -> Result<()> {
    let recordings = written
        .iter()
        .filter_map(|it| Some((entities(plan, it.idx)?, &it.facts)))
        .collect::<Vec<_>>();
    if recordings.is_empty() {
        return Ok(());
    }
    let (table, dictionary) = of_recordings(&recordings);
    let name = format!("neuroflamingo_{}", plan.spec().name);
    let folder = app.out_dir.join(FOLDER);
    put(&folder.join(format!("{name}.tsv")), table.as_bytes())?;
    put_json(&folder.join(format!("{name}.json")), &dictionary)
}

/// A row a visit, a column a quantity of each kind of recording: `task-rest_run-1_fd_mean`.
fn of_recordings(recordings: &[(Entities, &SeriesFacts)]) -> (String, Value) {
    let mut visits: BTreeMap<(&str, &str), BTreeMap<String, Measured>> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for (entities, facts) in recordings {
        let label = |entity| entities.get(entity).unwrap_or_default();
        let kind = kind(entities);
        kinds.insert(kind.clone());
        let visit = (label(Entity::Subject), label(Entity::Session));
        visits.entry(visit).or_default().insert(kind, Measured::of_series(facts));
    }
    let mut dictionary = Map::new();
    let described = |text: &str| json!({ "Description": text });
    dictionary
        .insert("participant_id".to_owned(), described("Label of the participant, without sub-."));
    dictionary.insert(
        "session_id".to_owned(),
        described("Label of the session, without ses-; empty where the dataset has none."),
    );
    let mut table = "participant_id\tsession_id".to_owned();
    for kind in &kinds {
        for measure in &MEASURES {
            let column = format!("{kind}_{}", measure.name);
            let _ = write!(table, "\t{column}");
            let mut about = described(&format!("{} Of the recording {kind}.", measure.description));
            if let Some(units) = measure.units {
                about["Units"] = json!(units);
            }
            dictionary.insert(column, about);
        }
    }
    table.push('\n');
    for ((subject, session), of_visit) in &visits {
        let _ = write!(table, "{subject}\t{session}");
        for kind in &kinds {
            for measure in &MEASURES {
                match of_visit.get(kind).and_then(measure.of) {
                    Some(value) if value.is_finite() => _ = write!(table, "\t{value}"),
                    _ => table.push_str("\tn/a"),
                }
            }
        }
        table.push('\n');
    }
    (table, Value::Object(dictionary))
}

/// What tells the recordings of one visit apart.
fn kind(entities: &Entities) -> String {
    const OF_VISIT: [Entity; 2] = [Entity::Subject, Entity::Session];
    const OF_IMAGES: [Entity; 6] = [
        Entity::Space,
        Entity::Cohort,
        Entity::Resolution,
        Entity::Density,
        Entity::Hemisphere,
        Entity::Description,
    ];
    let own = entities.iter().filter(|(it, _)| !OF_VISIT.contains(it) && !OF_IMAGES.contains(it));
    let own: Vec<String> = own.map(|(it, label)| format!("{}-{label}", it.key())).collect();
    if own.is_empty() { "scan".to_owned() } else { own.join("_") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(n_frames: usize, fd_mean_mm: Option<f64>) -> SeriesFacts {
        let quality = json!({ "n_frames": n_frames, "n_voxels": 3, "t_r": 2.0, "median_tsnr": 80.5, "median_dvars_percent": null });
        let facts = json!({
            "t_r_s": 2.0, "n_frames": n_frames, "lost": [3], "coverage": [1.0, 0.5, 0.0],
            "quality": quality, "fd_mean_mm": fd_mean_mm,
        });
        serde_json::from_value(facts).unwrap()
    }

    #[test]
    fn a_visit_is_a_row_and_every_column_is_described() {
        let (first, second) = (facts(40, Some(0.25)), facts(38, None));
        let of = |name: &str| cohort::entities_of(name).unwrap();
        let recordings = [
            (of("sub-02_ses-1_task-rest_run-1_space-T1w_desc-preproc_bold.nii.gz"), &second),
            (of("sub-01_ses-1_task-rest_run-1_bold.nii.gz"), &first),
            (of("sub-01_ses-1_task-rest_run-2_bold.nii.gz"), &second),
        ];
        let (table, dictionary) = of_recordings(&recordings);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(&lines[0][..3], ["participant_id", "session_id", "task-rest_run-1_n_volumes"]);
        assert_eq!(&lines[1][..9], ["01", "1", "40", "2", "0.25", "80.5", "n/a", "0.5", "1"]);
        assert_eq!(&lines[2][..9], ["02", "1", "38", "2", "n/a", "80.5", "n/a", "0.5", "1"]);
        assert!(lines[2][9..].iter().all(|cell| *cell == "n/a"), "{table}");
        let described: Vec<&str> =
            dictionary.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, lines[0]);
        assert_eq!(dictionary["task-rest_run-2_fd_mean"]["Units"], "mm");
    }
}
