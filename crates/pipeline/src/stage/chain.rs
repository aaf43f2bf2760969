//! Whether each stage can use what the stages before it give.
use preprocess::{Kind, Made, Recipe, Step};

use super::{Artifact, Stage};
use crate::{Error, Result, spec::CohortSpec};

/// Checks that each stage appears once, gets what it needs, and has a cohort that it can work on.
pub(crate) fn check_chain(stages: &[Stage], cohort: &CohortSpec) -> Result<()> {
    if stages.is_empty() {
        return Err(Error::NoStages);
    }
    let start = match cohort {
        CohortSpec::Pairs(_) => Artifact::Media(Kind::Scans),
        CohortSpec::Pictures(_) => Artifact::Pictures,
        CohortSpec::Benchmark(_) => Artifact::Benchmark,
        CohortSpec::Corpus(_) => Artifact::Texts,
        CohortSpec::Bids(_)
        | CohortSpec::Arrow(_)
        | CohortSpec::Files(_)
        | CohortSpec::Manifest(_)
        | CohortSpec::Hdf5(_) => Artifact::Media(Kind::Recordings),
    };
    let names: Vec<&str> = stages.iter().map(Stage::name).collect();
    let twice = (1..names.len()).find(|&at| names[..at].contains(&names[at]));
    follow_each_other(&stages[..twice.unwrap_or(names.len())], start)?;
    if let Some(at) = twice {
        return Err(Error::StageTwice { at, stage: names[at] });
    }
    has_events(stages, cohort)?;
    has_reports(stages, cohort)?;
    can_be_drawn(stages)?;
    can_be_exported(stages)?;
    // a policy finds the volumes or series that it reads
    let made = Recipe::made(stages.iter().filter_map(Stage::step), None)?;
    has_a_mask(stages, &made)
}

/// Refuses a stage that cannot use what comes before it. What steps make of recordings is asked of them.
fn follow_each_other(stages: &[Stage], start: Artifact) -> Result<()> {
    let refuse = |at: usize, have: Artifact| {
        let (stage, takes) = (stages[at].name(), stages[at].takes());
        Error::Chain { at, stage, takes, have, between: between(have, stage) }
    };
    let (mut at, mut have) = (0, start);
    while at < stages.len() {
        let steps: Vec<&dyn Step> = stages[at..].iter().map_while(Stage::step).collect();
        have = match have {
            Artifact::Media(kind) if !steps.is_empty() => {
                let kinds = Recipe::kinds(steps.iter().copied(), kind);
                let kinds = kinds.map_err(|it| refuse(at + it.at, Artifact::Media(it.have)))?;
                Artifact::Media(kinds.last().copied().unwrap_or(kind))
            }
            _ => stages[at].accepts(have).ok_or_else(|| refuse(at, have))?,
        };
        at += steps.len().max(1);
    }
    Ok(())
}

/// Refuses windows of events where no table says when they were.
fn has_events(stages: &[Stage], cohort: &CohortSpec) -> Result<()> {
    let cuts = |step: &&dyn Step| step.cut().is_some_and(|cut| cut.events().is_some());
    let step = stages.iter().filter_map(Stage::step).find(cuts);
    let (Some(step), false) = (step, matches!(cohort, CohortSpec::Pairs(_))) else { return Ok(()) };
    let problem = format!(
        "cuts windows at the events of a table, and cohort.{} has none: list scans and onsets under \
         cohort.pairs, or cut sliding_windows",
        cohort.name()
    );
    Err(Error::StageInput { stage: step.id().name, problem })
}

/// The stages that lead from `have` to `stage`, as words of a sentence; empty where there is no
/// single way.
fn between(have: Artifact, stage: &str) -> &'static str {
    let reads_tokens = ["finetune", "embed"].contains(&stage);
    match have {
        Artifact::Media(Kind::ScanWindows | Kind::VolumeWindows) if reads_tokens => {
            ": put `encode` between"
        }
        Artifact::Media(Kind::ParcelSeries | Kind::Volumes) if reads_tokens => {
            ": put `sliding_windows` and `encode` between"
        }
        Artifact::Media(Kind::Series | Kind::ParcelSeries | Kind::Volumes) if stage == "encode" => {
            ": put `sliding_windows` between"
        }
        Artifact::Media(Kind::Series) if stage == "finetune" => ": put `event_windows` between",
        Artifact::Media(Kind::ParcelSeries | Kind::ScanWindows | Kind::Tokens)
            if stage == "render" =>
        {
            ": with `people: true` it draws these"
        }
        _ => "",
    }
}

/// Refuses an export of what no stage before it makes.
fn can_be_exported(stages: &[Stage]) -> Result<()> {
    let found = stages.iter().enumerate().find_map(|(at, stage)| match stage {
        Stage::Export(config) => Some((&stages[..at], config)),
        _ => None,
    });
    let Some((before, config)) = found else { return Ok(()) };
    let has_parcels = before.iter().any(|it| it.gives(Artifact::Media(Kind::ParcelSeries)));
    let has_embeddings = before.iter().any(|it| matches!(it, Stage::Embed(_)));
    config.lacks(has_parcels, has_embeddings).map_or(Ok(()), |problem| {
        Err(Error::StageInput { stage: "export", problem: problem.to_owned() })
    })
}

/// Refuses to learn from recordings that have no reports.
fn has_reports(stages: &[Stage], cohort: &CohortSpec) -> Result<()> {
    let learns = stages.iter().any(|stage| matches!(stage, Stage::Finetune(_)));
    if !learns || matches!(cohort, CohortSpec::Pairs(_)) {
        return Ok(());
    }
    let problem = format!(
        "learns from reports, and the recordings of cohort.{} have none: list scans and their reports \
         in a table under cohort.pairs",
        cohort.name()
    );
    Err(Error::StageInput { stage: "finetune", problem })
}

/// Refuses maps where reports are not of windows of events of the voxels of a stage `mask`.
fn has_a_mask(stages: &[Stage], made: &Made) -> Result<()> {
    let draws = stages.iter().any(|it| matches!(it, Stage::Render(config) if config.window_maps));
    let of_events = made.cut.as_ref().is_some_and(|cut| cut.events().is_some());
    if !draws || (made.has_mask && of_events) {
        return Ok(());
    }
    let expected = "false, because maps are drawn of the voxels of a stage `mask` in windows of \
                    `event_windows`, and there are none";
    Err(Error::Setting {
        stage: "render",
        field: "window_maps",
        found: "true".to_owned(),
        expected: expected.to_owned(),
    })
}

/// Refuses pages of people where no series of parcels are read.
fn can_be_drawn(stages: &[Stage]) -> Result<()> {
    let asks = stages.iter().any(|it| matches!(it, Stage::Render(config) if config.people));
    if !asks || stages.iter().any(|it| it.gives(Artifact::Media(Kind::ParcelSeries))) {
        return Ok(());
    }
    let problem =
        "people: true draws series of parcels, expected the stage parcellate before it".to_owned();
    Err(Error::StageInput { stage: "render", problem })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PAIRS: &str =
        "pairs: { table: t.csv, split_unit: scan, slots: { file: s.yaml }, prompt: '{technique}' }";
    const MASK: &str = "- mask: { above_mean: 0.6 }\n";
    const WINDOW: &str = "- event_windows: { shift_s: 5.0, n_frames: 9 }\n";
    const WHITEN: &str = "- whiten: { shrinkage: ledoit_wolf }\n";
    const PARCELLATE: &str = "- parcellate: { atlas: { id: a, labels: a.nii } }\n";
    const WINDOWS: &str = "- sliding_windows: { n_frames: 9, policy: centre, pad: refuse }\n";
    const ENCODE: &str = "- encode: { precision: f32 }\n";
    const FINETUNE: &str = "- finetune: {}\n";
    const REST: &str = "- generate: { max_new_tokens: 9, batch_size: 1 }\n- evaluate: \
                        { bootstrap: 2000, permutations: 999, shuffles: 9, logistic_c: 1.0, batch_size: 1 }\n";

    fn of_cohort(cohort: &str, stages: &[&str]) -> Result<()> {
        let stages: Vec<Stage> = config::parse(Path::new("s.yaml"), &stages.concat()).unwrap();
        check_chain(&stages, &config::parse(Path::new("c.yaml"), cohort).unwrap())
    }

    fn refused(cohort: &str, stages: &[&str]) -> String {
        of_cohort(cohort, stages).unwrap_err().to_string()
    }

    #[test]
    fn each_stage_gets_what_it_takes() {
        assert!(of_cohort(PAIRS, &[MASK, WINDOW, WHITEN]).is_ok());
        assert_eq!(
            refused(PAIRS, &[MASK, WHITEN]),
            "stage whiten needs windows, but what comes before it gives voxel series"
        );
        assert_eq!(
            refused(PAIRS, &[WINDOW]),
            "stage event_windows needs voxel series, but what comes before it gives scans"
        );
    }

    #[test]
    fn stages_that_are_missing_between_two_are_named() {
        assert_eq!(
            refused(PAIRS, &[PARCELLATE, WINDOWS, FINETUNE]),
            "stage finetune needs windows, but what comes before it gives windows of whole scans: \
             put `encode` between"
        );
        let said = refused(PAIRS, &[PARCELLATE, FINETUNE]);
        assert!(
            said.ends_with("gives parcel series: put `sliding_windows` and `encode` between"),
            "{said}"
        );
        let said = refused(PAIRS, &[PARCELLATE, ENCODE]);
        assert!(said.ends_with("gives parcel series: put `sliding_windows` between"), "{said}");
        let said = refused(PAIRS, &[MASK, FINETUNE]);
        assert!(said.ends_with("gives voxel series: put `event_windows` between"), "{said}");
    }

    #[test]
    fn pages_of_people_are_drawn_from_parcel_series() {
        let bids = "bids: { dir: d }";
        let render = "- render: { people: true }\n";
        assert!(of_cohort(bids, &[PARCELLATE, render]).is_ok());
        assert!(of_cohort(bids, &[PARCELLATE, WINDOWS, ENCODE, render]).is_ok());
        let volumes =
            "- volumes: { shape: [4, 4, 4], axes: RAS, background: minimum, half: true }\n";
        let said = refused(bids, &[volumes, WINDOWS, ENCODE, render]);
        let expected = "stages.render: people: true draws series of parcels, expected the stage \
                        parcellate before it";
        assert_eq!(said, expected);
        let said = refused(bids, &[PARCELLATE, "- render: {}\n"]);
        assert_eq!(
            said,
            "stage render needs scores, but what comes before it gives parcel series: with \
             `people: true` it draws these"
        );
    }

    #[test]
    fn a_stage_comes_once_and_a_chain_is_not_empty() {
        let twice = refused(PAIRS, &[MASK, WINDOW, WHITEN, WHITEN]);
        assert_eq!(twice, "stage whiten is listed twice");
        assert_eq!(refused(PAIRS, &["[]"]), "there are no stages, expected at least one");
    }

    #[test]
    fn recordings_without_reports_cannot_be_learned_from() {
        let stages = [PARCELLATE, WINDOWS, ENCODE, FINETUNE];
        assert!(of_cohort(PAIRS, &stages).is_ok());
        for (kind, cohort) in [
            ("bids", "bids: { dir: d }"),
            ("arrow", "arrow: { dir: d }"),
            ("files", "files: { dir: d, scans: '{subject}.tsv' }"),
            ("manifest", "manifest: { table: t.csv }"),
            ("hdf5", "hdf5: { file: f.h5 }"),
        ] {
            assert!(of_cohort(cohort, &stages[..3]).is_ok(), "{kind}");
            let said = refused(cohort, &stages);
            let expected = format!(
                "stages.finetune: learns from reports, and the recordings of cohort.{kind} have none"
            );
            assert!(said.starts_with(&expected), "{said}");
        }
    }

    #[test]
    fn maps_are_drawn_of_masked_voxels_only() {
        let render = |maps: bool| format!("- render: {{ window_maps: {maps} }}\n");
        let parcels = [PARCELLATE, WINDOWS, ENCODE, FINETUNE, REST].concat();
        let voxels = [MASK, WINDOW, FINETUNE, REST].concat();
        assert!(of_cohort(PAIRS, &[&parcels, &render(false)]).is_ok());
        assert!(of_cohort(PAIRS, &[&voxels, &render(true)]).is_ok());
        let said = refused(PAIRS, &[&parcels, &render(true)]);
        assert!(said.starts_with("stages.render.window_maps is true, expected false"), "{said}");
        let sliding = [MASK, WINDOWS, ENCODE, FINETUNE, REST].concat();
        assert!(of_cohort(PAIRS, &[&sliding, &render(false)]).is_ok());
        let said = refused(PAIRS, &[&sliding, &render(true)]);
        assert!(said.contains("in windows of `event_windows`"), "{said}");
    }
}
