//! Numbers that no run could do anything with are refused by `check`, in one sentence.

use tests::{Cohort, run};

use crate::study::{ATLAS, BIDS, Study, denoise};

#[test]
fn the_edges_of_a_filter_are_frequencies_that_the_series_have() {
    let study = Study::new();
    study.runs(|_, _, value| value);
    for (filter, said) in [
        (
            "butterworth: { high_pass: 0.1, low_pass: 0.01 }",
            "0.1, expected below low_pass, which is 0.01 Hz",
        ),
        (
            "butterworth: { high_pass: -0.01 }",
            "high_pass is -0.01, expected a frequency above 0 Hz",
        ),
        ("butterworth: { low_pass: 0 }", "low_pass is 0, expected a frequency above 0 Hz"),
        ("cosine: { high_pass: 0 }", "high_pass is 0, expected a frequency above 0 Hz"),
        // frames are 2 s apart
        (
            "butterworth: { low_pass: 0.25 }",
            "0.25, expected below 0.25 Hz, half the sampling rate at 2 s",
        ),
        (
            "cosine: { high_pass: 0.3 }",
            "0.3, expected below 0.25 Hz, half the sampling rate at 2 s",
        ),
    ] {
        let stage = denoise("none").replace("filter: none", &format!("filter: {{ {filter} }}"));
        study.pipeline(BIDS, ATLAS, &stage, "mean");
        let told = study.check().exits_with(2);
        assert!(told.stderr.contains(said), "{filter}: {told}");
    }
    // where frames are made 4 s apart before, half of that rate is the limit
    let slower = "  - resample_time: { t_r_s: 4.0, tolerance_s: 0.0, how: linear }\n";
    let filter = "filter: { butterworth: { low_pass: 0.2 } }";
    let stage = slower.to_owned() + &denoise("none").replace("filter: none", filter);
    study.pipeline(BIDS, ATLAS, &stage, "mean");
    let told = study.check().exits_with(2);
    assert!(told.stderr.contains("expected below 0.125 Hz"), "{told}");
}

/// What `check` says of a shipped pipeline with these changes, which it refuses.
fn refused(pipeline: &str, sets: &[&str]) -> String {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["check", pipeline].into_iter().chain(sets).collect();
    run(&args).exits_with(2).stderr
}

#[test]
fn an_encoder_of_absurd_size_is_refused_before_memory_is_taken_for_it() {
    let size = "n_heads: 2, n_parcels: 424, n_frames: 20, patch: 10";
    let of = |size: String| {
        let set = format!(
            "model.encoder={{ cortex_mae: {{ weights: {{ seed: 1 }}, size: {size}, tokens: time_mean }} }}"
        );
        refused("pipelines/encode-cohort.yaml", &[&set])
    };
    let deep = of(format!("{{ dim: 16, depth: 1000000000, {size} }}"));
    assert!(deep.contains("`depth` is 1000000000, expected at most 1000"), "{deep}");
    let wide = of(format!("{{ dim: 1000000000, depth: 2, {size} }}"));
    assert!(wide.contains("`dim` is 1000000000, expected at most 131072"), "{wide}");
    // each size for itself is one that there could be
    let both = of(format!("{{ dim: 65536, depth: 1000, {size} }}"));
    assert!(both.contains("of memory, the machine has"), "{both}");
}

#[test]
fn a_batch_that_no_memory_holds_is_refused() {
    let pipeline = "pipelines/pretrain-tiny-lm.yaml";
    let large = ["stages.pretrain.dim=16384", "stages.pretrain.hidden_dim=16384"];
    let said = refused(pipeline, &[&large[..], &["stages.pretrain.n_layers=200"]].concat());
    assert!(said.contains("the language model is too large: its "), "{said}");
    // the weights would take 3.4 GB, the texts above 100 GB
    if engine::memory_of_machine().is_some_and(|n_bytes| (5..60).contains(&(n_bytes >> 30))) {
        let sets = ["dim=512", "n_layers=200", "n_heads=8", "batch_size=4096", "held_out=1"];
        let sets = sets.map(|set| format!("stages.pretrain.{set}"));
        let said = refused(pipeline, &sets.each_ref().map(String::as_str));
        assert!(said.contains("batch_size is 4096, expected at most "), "{said}");
    }
}

#[test]
fn noise_that_has_no_inverse_is_refused() {
    let cohort = Cohort::new();
    cohort.edit_pipeline("fixed: 0.3", "fixed: 0");
    let told = run(&["check", &cohort.pipeline().display().to_string()]).exits_with(2);
    let said = "shrinkage.fixed is 0, expected above 8e-10, such as 0.01:";
    assert!(told.stderr.contains(said), "{told}");
}
