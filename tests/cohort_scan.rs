//! `cohort scan` of small folders as the tools of the field leave them: what it proposes, pasted into a
//! pipeline, is what `check` accepts, and what it leaves out it says.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use ndarray::{Array2, Array3, Array4};
use serde_json::Value;
use tempfile::TempDir;
use tests::{Ran, Stored, Synthetic, run, says};

/// A folder `data` for a made-up tree, and a pipeline beside it; gone with the value.
struct Tree {
    dir: PathBuf,
    _gone_with_the_value: TempDir,
}

/// So many frames have the made-up series.
const N_FRAMES: usize = 40;

impl Tree {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let dir = temporary.path().join("study");
        fs::create_dir_all(dir.join("data")).expect("a new folder");
        fs::write(dir.join("parcels.tsv"), "index\tname\n1\tA\n2\tB\n3\tC\n").expect("names");
        Self { dir, _gone_with_the_value: temporary }
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file is written");
    }

    /// A run of 2 × 2 × 2 voxels.
    fn run(&self, name: &str, t_r: f64) {
        self.write(name, "");
        let value = |(x, y, z, t): (usize, usize, usize, usize)| (x + 2 * y + 3 * z + 7 * t) as f32;
        let values = Array4::from_shape_fn((2, 2, 2, N_FRAMES), value);
        let bold = scan::Bold::new(values, identity(), t_r).unwrap();
        scan::write_bold(self.data().join(name), &bold).unwrap();
    }

    /// `cohort scan` of the folder, or of one inside.
    fn scan(&self, more: &[&str]) -> Ran {
        let data = self.data().display().to_string();
        let args: Vec<&str> =
            ["cohort", "scan", &data].into_iter().chain(more.iter().copied()).collect();
        run(&args)
    }

    /// What `check` says of a pipeline with this section and this stage.
    fn check(&self, section: &str, stage: &str) -> Ran {
        let pipeline = self.dir.join("pipeline.yaml");
        let text =
            format!("name: scanned\nseed: 1\n{section}\nstages:\n  - {stage}\noutputs: runs\n");
        fs::write(&pipeline, text).expect("a pipeline is written");
        run(&["check", &pipeline.display().to_string()])
    }

    /// The proposal passes the check with so many recordings; gives both.
    fn passes(&self, more: &[&str], counts: &str) -> (Ran, Ran) {
        let ran = self.scan(more).exits_with(0);
        assert!(ran.stdout.starts_with(&format!("# {counts}")), "{ran}");
        let checked = self.check(&ran.stdout, PARCELS).exits_with(0);
        let n = counts.split(" of ").next().expect("a count");
        assert!(checked.stdout.contains(n), "{checked}\nexpected {n}");
        // nobody is named
        for id in IDS {
            assert!(!ran.stderr.contains(id), "{ran}");
        }
        (ran, checked)
    }
}

/// Voxels of 1 mm that begin at 0.
fn identity() -> scan::Affine {
    let rows = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    scan::Affine::new(rows).unwrap()
}

/// Series of three parcels.
const PARCELS: &str = "parcellate: { atlas: { id: made-up, names: parcels.tsv } }";

/// Labels of made-up people.
const IDS: [&str; 4] = ["1000012", "100206", "x01", "x02"];

/// Lines of three numbers.
fn series(n_frames: usize, separator: &str, head: &str) -> String {
    let line = |t: usize| [1, 2, 3].map(|p| format!("{}.5", (t * 7 + p * 3) % 11)).join(separator);
    head.to_owned() + &(0..n_frames).map(|t| line(t) + "\n").collect::<String>()
}

#[test]
fn a_folder_of_fmriprep_gives_its_commonest_task_in_one_space() {
    let it = Synthetic::new(4, Stored::Mixed, "encode-cohort");
    let bids = it.dir().join("bids");
    let func = |person: usize| it.scan(person).parent().expect("a folder").to_path_buf();
    let scan_name = |person: usize, from: &str, to: &str| {
        let name = it.scan(person).file_name().unwrap().to_string_lossy().replace(from, to);
        func(person).join(name)
    };
    for person in 0..2 {
        fs::copy(it.scan(person), scan_name(person, "task-rest", "task-nback")).unwrap();
        fs::copy(it.scan(person), scan_name(person, "space-MNI152NLin6Asym", "space-T1w")).unwrap();
        for other in ["hemi-L_bold.func.gii", "desc-preproc_bold.nii.zst"] {
            fs::write(scan_name(person, "desc-preproc_bold.nii.gz", other), "").unwrap();
        }
    }
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n";
    fs::write(it.scan(3), pointer).unwrap();
    let confounds = func(2).join("sub-03_task-rest_desc-confounds_timeseries.tsv");
    fs::remove_file(confounds).unwrap();
    symlink(&bids, bids.join("sub-01/again")).unwrap();
    let ran = run(&["cohort", "scan", &bids.display().to_string()]).exits_with(0);
    assert!(
        ran.stdout.starts_with("# 3 recordings of 3 subjects, TR 0.735 s\ncohort:\n  bids:\n"),
        "{ran}"
    );
    says(
        &ran.stdout,
        &[
            "task: [rest]",
            "space: [MNI152NLin6Asym]",
            "desc: [preproc]",
            "# 2 recordings of 2 subjects:\n#   cohort: { bids: { dir: ",
            "task: [nback]",
            "space: [T1w]",
        ],
    );
    says(
        &ran.stderr,
        &[
            "left out:\n",
            "  2 × of task nback\n",
            "  2 × of space T1w\n",
            "  2 × of hemisphere L\n",
            "  2 × a series stored as .nii.zst, which no cohort lists\n",
            "  1 × a link to a folder, which is not followed\n",
            "  1 × scan cannot be read\n      the first: scan cannot be read: ",
            "Git LFS pointer",
            "to be known:\n",
            "  1 × taken without a confounds table, which others have\n",
        ],
    );
    assert!(!ran.stderr.contains("sub-"), "{ran}");
    let start = "cohort:\n  bids:\n    dir: bids\n    entities: { task: [rest] }\n";
    it.edit_pipeline(start, &ran.stdout);
    it.edit_pipeline("window: mean, run: inverse_fd", "window: mean, run: mean");
    let checked = run(&["check", &it.pipeline().display().to_string()]).exits_with(0);
    says(&checked.stdout, &["3 recordings, 3 subjects"]);
}

#[test]
fn a_folder_of_xcp_d_gives_one_atlas_without_joined_and_doubled_runs() {
    let tree = Tree::new();
    let name = |sub: &str, run: &str, atlas: &str, end: &str| {
        format!(
            "sub-{sub}/func/sub-{sub}_task-rest{run}_space-fsLR_atlas-{atlas}_den-91k_stat-mean_{end}"
        )
    };
    let write = |sub: &str, run: &str, n: usize| {
        for atlas in ["4S156Parcels", "Glasser"] {
            let text = series(n, "\t", "A\tB\tC\n");
            tree.write(&name(sub, run, atlas, "timeseries.tsv"), &text);
            tree.write(&name(sub, run, atlas, "timeseries.ptseries.nii"), "");
            tree.write(&name(sub, run, atlas, "coverage.tsv").replace("mean", "coverage"), "");
        }
        tree.write(
            &format!("sub-{sub}/func/sub-{sub}_task-rest{run}_outliers.tsv"),
            &("framewise_displacement\n".to_owned() + &"0\n".repeat(N_FRAMES)),
        );
        let sidecar = format!("sub-{sub}/func/sub-{sub}_task-rest{run}_desc-denoised_bold.json");
        tree.write(&sidecar, "{\"RepetitionTime\": 0.8}");
    };
    for sub in ["x01", "x02"] {
        write(sub, "_run-1", N_FRAMES);
        write(sub, "_run-2", N_FRAMES);
    }
    // all frames of both runs; the same bytes under two names; censored frames taken out
    let joined = name("x01", "", "Glasser", "timeseries.tsv");
    tree.write(&joined, &series(2 * N_FRAMES, "\t", "A\tB\tC\n"));
    tree.write(
        &joined.replace("Glasser", "4S156Parcels"),
        &series(2 * N_FRAMES, "\t", "A\tB\tC\n"),
    );
    write("x02", "_run-02", N_FRAMES);
    write("x03", "_run-1", N_FRAMES - 5);
    let (ran, _) = tree.passes(&[], "4 recordings of 2 subjects, TR 0.8 s");
    says(
        &ran.stdout,
        &[
            "suffix: timeseries",
            "atlas: [Glasser], den: [\"91k\"], stat: [mean] }, t_r: 0.8 }",
            "extension: \".tsv\"",
            "t_r: 0.8",
            "task: [rest]",
            "space: [fsLR]",
            "atlas: [\"4S156Parcels\"]",
            "stat: [mean]",
        ],
    );
    says(
        &ran.stderr,
        &[
            "13 × of atlas Glasser",
            "6 × stored as .ptseries.nii, not .tsv",
            "1 × joins runs that are there too",
            "1 × a copy under another number of its run",
            "1 × frames were removed, and which is not known",
            "4 × repetition time 0.8 s taken from the sidecars of the runs",
        ],
    );
}

#[test]
fn folders_of_halfpipe_lie_by_patterns_and_those_of_c_pac_are_bids() {
    let tree = Tree::new();
    for sub in ["x01", "x02", "x03"] {
        let name = format!("derivatives/halfpipe/sub-{sub}/func/task-rest/sub-{sub}_task-rest");
        let name = format!("{name}_feature-corr_atlas-made");
        tree.write(&format!("{name}_timeseries.tsv"), &series(N_FRAMES, "\t", ""));
        tree.write(&format!("{name}_timeseries.json"), "{\"RepetitionTime\": 2.0}");
        tree.write(&format!("{name}_desc-correlation_matrix.tsv"), &series(3, "\t", ""));
    }
    let (ran, _) = tree.passes(&[], "3 recordings of 3 subjects, TR 2 s");
    let scans = "scans: \"derivatives/halfpipe/sub-{subject}/func/task-rest/sub-{subject}_task-rest_feature-\
                 corr_atlas-made_timeseries.tsv\"";
    says(&ran.stdout, &["cohort:\n  files:\n", scans]);

    let tree = Tree::new();
    for (sub, session) in [("x01", "1"), ("x01", "2"), ("x02", "1")] {
        let who = format!("sub-{sub}_ses-{session}");
        let name =
            format!("output/pipeline_default/{who}/func/{who}_task-rest_run-1_reg-A_desc-Mean");
        tree.write(
            &format!("{name}_timeseries.1D"),
            &series(N_FRAMES, ",", "# 3dROIstats -1Dformat\n"),
        );
        tree.write(&format!("{name}_nuisance_regressors.1D"), &series(N_FRAMES, ",", ""));
    }
    let said = tree.scan(&[]).exits_with(2).one_error();
    says(&said, &["holds nothing that could be a cohort", "give it with --t-r SECONDS"]);
    let (ran, _) = tree.passes(&["--t-r", "2"], "3 recordings of 2 subjects, TR 2 s");
    says(&ran.stdout, &["cohort:\n  bids:\n", "{ task: [rest], reg: [A], desc: [Mean] }"]);
}

#[test]
fn folders_of_hcp_give_runs_of_one_repetition_time() {
    let tree = Tree::new();
    for (sub, t_r) in [("100206", 0.72), ("100307", 0.72), ("100408", 1.0)] {
        for run in ["rfMRI_REST1_LR", "rfMRI_REST2_RL", "tfMRI_MOTOR_LR"] {
            let folder = format!("{sub}/MNINonLinear/Results/{run}");
            tree.run(&format!("{folder}/{run}_hp2000_clean.nii.gz"), t_r);
            tree.write(&format!("{folder}/Movement_Regressors.txt"), "0 0\n");
        }
        tree.write(&format!("{sub}/MNINonLinear/T1w_restore.nii.gz"), "");
    }
    let ran = tree.scan(&[]).exits_with(0);
    assert!(ran.stdout.starts_with("# 4 recordings of 2 subjects, TR 0.72 s"), "{ran}");
    says(
        &ran.stdout,
        &[
            "where: \"t_r == 0.72\"",
            "rfMRI_REST{run}/rfMRI_REST{run}_hp2000_clean.nii.gz",
            "# 2 recordings of 1 subject:",
            "where: \"t_r == 1\"",
        ],
    );
    says(&ran.stderr, &["2 × with another repetition time", "3 × of another pattern"]);
    assert!(!ran.stderr.contains("100206"), "{ran}");
    // a parcel for each plane of the made-up voxels
    let values = Array3::from_shape_fn((2, 2, 2), |(x, _, _)| (x + 1) as f32);
    let atlas = scan::Volume::new(values, identity()).unwrap();
    scan::write_volume(tree.dir.join("atlas.nii.gz"), &atlas).unwrap();
    let stage = "parcellate: { atlas: { id: made-up, labels: atlas.nii.gz } }";
    let checked = tree.check(&ran.stdout, stage).exits_with(0);
    says(&checked.stdout, &["4 recordings, 2 subjects", "2 × `where` is not true"]);
}

#[test]
fn plain_files_and_files_of_many_subjects_are_proposed() {
    let tree = Tree::new();
    for id in ["1000012", "1000025", "1000038"] {
        tree.write(&format!("{id}_25753_2_0.txt"), &series(N_FRAMES, " ", ""));
    }
    tree.write("1000012_25753_3_0.txt", &series(N_FRAMES, " ", ""));
    tree.write("old/scan+orig.BRIK", "");
    let (ran, _) = tree.passes(&["--t-r", "0.735"], "3 recordings of 3 subjects, TR 0.735 s");
    says(&ran.stdout, &["scans: \"{subject}_25753_2_0.txt\"", "# 1 recording of 1 subject:"]);
    says(&ran.stderr, &["1 × AFNI (.HEAD, .BRIK): convert it with `3dAFNItoNIFTI`"]);

    let tree = Tree::new();
    let values = Array2::from_shape_fn((N_FRAMES, 3), |(t, p)| (t * 5 + p) as f64);
    let parcels = ["A", "B", "C"].into_iter().zip(1..);
    let parcels =
        parcels.map(|(name, label)| scan::Parcel { label, name: name.into(), centre_mm: None });
    let series = scan::ParcelSeries {
        values,
        t_r: 0.735,
        parcels: parcels.collect(),
        lost: Vec::new(),
        coverage: None,
        n_nonfinite_frames: 0,
    };
    let path = tree.data().join("cohort.h5");
    let mut writer = scan::CohortWriter::create(path, N_FRAMES, &series).unwrap();
    for id in ["x01", "x02", "x03"] {
        writer.push(id, &series).unwrap();
    }
    writer.finish().unwrap();
    let (ran, _) = tree.passes(&[], "3 recordings of 3 subjects, TR 0.735 s");
    says(&ran.stdout, &["cohort:\n  hdf5:\n    file: /", "cohort.h5"]);
}

#[test]
fn folders_of_brainmarks_and_files_of_brain_semantoks_are_proposed() {
    let five = "index\tname\n1\tA\n2\tB\n3\tC\n4\tD\n5\tE\n";
    let fixtures = tests::root().join("fixtures/scan");
    let tree = Tree::new();
    fs::write(tree.dir.join("parcels.tsv"), five).unwrap();
    for split in ["train", "test"] {
        let name = format!("rest.made.arrow/{split}/data-00000-of-00001.arrow");
        tree.write(&name, "");
        fs::copy(fixtures.join("arrow").join(&name), tree.data().join(&name)).unwrap();
    }
    let (ran, _) = tree.passes(&[], "4 recordings of 4 subjects, TR 0.72 s");
    says(&ran.stdout, &["cohort:\n  arrow:\n    dir: /", "rest.made.arrow\n"]);
    // a table of five parcels through a stage, and the rows of both folders with it
    let pipeline = tree.dir.join("pipeline.yaml").display().to_string();
    let ran = run(&["run", &pipeline]).exits_with(0);
    assert!(!ran.stderr.contains("failed"), "{ran}");

    let tree = Tree::new();
    fs::write(tree.dir.join("parcels.tsv"), format!("{five}6\tF\n7\tG\n")).unwrap();
    fs::copy(fixtures.join("brain_semantoks.h5"), tree.data().join("hcp.h5")).unwrap();
    let (ran, _) = tree.passes(&["--t-r", "2"], "3 recordings of 2 subjects, TR 2 s");
    says(
        &ran.stdout,
        &["dataset: timeseries/schaefer400", "join: [timeseries/tian3, timeseries/buckner7]"],
    );
    let pipeline = tree.dir.join("pipeline.yaml").display().to_string();
    let ran = run(&["run", &pipeline]).exits_with(0);
    assert!(!ran.stderr.contains("failed"), "{ran}");
}

#[test]
fn programs_get_the_proposal_as_json_and_an_empty_folder_is_refused() {
    let tree = Tree::new();
    for sub in 0..300 {
        let name = format!("site{}/{sub:05}.csv", sub % 3);
        tree.write(&name, &series(N_FRAMES, ",", "A,B,C\n"));
    }
    let ran = tree.scan(&["--t-r", "2", "--json"]).exits_with(0);
    let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&found["n_recordings"], &found["n_subjects"]), (&100.into(), &100.into()));
    assert_eq!(found["cohort"]["files"]["scans"], "site0/{subject}.csv");
    assert_eq!(found["alternatives"].as_array().unwrap().len(), 2);
    assert_eq!(ran.stderr, "");
    let empty = Tree::new();
    let said = empty.scan(&[]).exits_with(2).one_error();
    assert!(said.trim_end().ends_with("data: holds nothing that could be a cohort"), "{said}");
    let said = run(&["cohort", "scan", "no-such-folder"]).exits_with(2).one_error();
    says(&said, &["no-such-folder: cannot be read"]);
    assert!(!Path::new("no-such-folder").exists());
}
