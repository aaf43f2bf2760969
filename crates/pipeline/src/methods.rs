//! How results were made, in words for a paper, and what to cite.
use preprocess::Step;

use crate::{
    plan::Plan,
    stage::{Artifact, Stage},
};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A publication.
pub(crate) struct Reference {
    key: &'static str,
    pub(crate) authors: &'static [(&'static str, &'static str)],
    pub(crate) year: u16,
    pub(crate) title: &'static str,
    pub(crate) venue: &'static str,
    pub(crate) doi: Option<&'static str>,
}

impl Reference {
    /// As lists of references have it; `quoted` stands on both sides of the venue.
    pub(crate) fn cited(&self, quoted: &str) -> String {
        let names = self.authors.iter().map(|(family, given)| format!("{family}, {given}"));
        let names = names.collect::<Vec<_>>().join("; ");
        let doi = self.doi.map_or_else(String::new, |doi| format!(" https://doi.org/{doi}"));
        let Self { key, year, title, venue, .. } = self;
        format!("{key}: {names}, et al. ({year}). {title}. {quoted}{venue}{quoted}.{doi}")
    }
}

/// What a step or an encoder rests on, by its name in the pipeline file.
const REFERENCES: &[(&[&str], Reference)] = &[
    (
        &["finetune", "generate"],
        Reference {
            key: "Alayrac et al., 2022",
            authors: &[("Alayrac", "Jean-Baptiste"), ("Donahue", "Jeff"), ("Luc", "Pauline")],
            year: 2022,
            title: "Flamingo: a Visual Language Model for Few-Shot Learning",
            venue: "Advances in Neural Information Processing Systems 35",
            doi: Some("10.48550/arXiv.2204.14198"),
        },
    ),
    (
        &["finetune", "generate"],
        Reference {
            key: "Awadalla et al., 2023",
            authors: &[("Awadalla", "Anas"), ("Gao", "Irena"), ("Gardner", "Josh")],
            year: 2023,
            title: "OpenFlamingo: An Open-Source Framework for Training Large Autoregressive Vision-Language Models",
            venue: "arXiv",
            doi: Some("10.48550/arXiv.2308.01390"),
        },
    ),
    (
        &["whiten"],
        Reference {
            key: "Walther et al., 2016",
            authors: &[("Walther", "Alexander"), ("Nili", "Hamed"), ("Ejaz", "Naveed")],
            year: 2016,
            title: "Reliability of dissimilarity measures for multi-voxel pattern analysis",
            venue: "NeuroImage 137",
            doi: Some("10.1016/j.neuroimage.2015.12.012"),
        },
    ),
    (
        &["combat"],
        Reference {
            key: "Johnson et al., 2007",
            authors: &[("Johnson", "W. Evan"), ("Li", "Cheng"), ("Rabinovic", "Ariel")],
            year: 2007,
            title: "Adjusting batch effects in microarray expression data using empirical Bayes methods",
            venue: "Biostatistics 8",
            doi: Some("10.1093/biostatistics/kxj037"),
        },
    ),
    (
        &["framewise_displacement"],
        Reference {
            key: "Power et al., 2012",
            authors: &[("Power", "Jonathan D."), ("Barnes", "Kelly A."), ("Snyder", "Abraham Z.")],
            year: 2012,
            title: "Spurious but systematic correlations in functional connectivity MRI networks arise from subject motion",
            venue: "NeuroImage 59",
            doi: Some("10.1016/j.neuroimage.2011.10.018"),
        },
    ),
    (
        &["bids"],
        Reference {
            key: "Gorgolewski et al., 2016",
            authors: &[("Gorgolewski", "Krzysztof J."), ("Auer", "Tibor"), ("Calhoun", "Vince D.")],
            year: 2016,
            title: "The brain imaging data structure, a format for organizing and describing outputs of neuroimaging experiments",
            venue: "Scientific Data 3",
            doi: Some("10.1038/sdata.2016.44"),
        },
    ),
];

/// What the pipeline rests on, each once.
pub(crate) fn references(plan: &Plan) -> Vec<&'static Reference> {
    let mut names = vec!["bids"];
    names.extend(plan.spec().stages().iter().map(Stage::name));
    let has_combat = |it: &Stage| matches!(it, Stage::Harmonise(config) if config.combat.is_some());
    if plan.spec().stages().iter().any(has_combat) {
        names.push("combat");
    }
    if plan.scans().iter().any(|it| it.confounds.is_some()) {
        names.push("framewise_displacement");
    }
    let is_used = |of: &[&str]| of.iter().any(|name| names.contains(name));
    REFERENCES.iter().filter(|(of, _)| is_used(of)).map(|(_, it)| it).collect()
}

/// What was done, from the name of the program on: `neuroflamingo 0.1.0, pipeline "rest", random seed 1. …`.
pub(crate) fn paragraph(plan: &Plan, seed: u64) -> String {
    let mut text =
        format!("neuroflamingo {VERSION}, pipeline \"{}\", random seed {seed}.", plan.spec().name);
    let is_trained = plan.encoder.as_ref().is_some_and(|it| it.trainable.moves());
    for stage in plan.spec().stages() {
        text.push(' ');
        text.push_str(&sentence(stage, is_trained));
    }
    if plan.scans().iter().any(|it| it.confounds.is_some()) {
        text.push_str(
            " Motion is summarised as mean framewise displacement (Power et al., 2012), as the tables of \
             confounds state it.",
        );
    }
    if let Some(model) = &plan.spec().model {
        text.push_str(" The encoder was `");
        text.push_str(model.encoder.get().name());
        text.push_str("`.");
    }
    text
}

/// What a stage did; the encoder may be trained with the model.
fn sentence(stage: &Stage, is_trained: bool) -> String {
    let settings = serde_json::to_value(stage).unwrap_or_default();
    let settings = &settings[stage.name()];
    if let Some(said) = stage.step().and_then(Step::in_methods) {
        return said;
    }
    match stage.name() {
        "encode" if is_trained => {
            "Windows were read by an encoder that was trained with the model.".to_owned()
        }
        "encode" => "A frozen encoder turned every window into tokens.".to_owned(),
        "embed" => "Tokens were pooled into one vector a participant.".to_owned(),
        "harmonise" if settings["combat"].is_null() => {
            "Linear effects of covariates, as fitted on the training participants, were taken out of these \
             vectors."
                .to_owned()
        }
        "harmonise" if settings["regress_out"].is_null() => {
            "Effects of site (ComBat; Johnson et al., 2007), as fitted on the training participants, were \
             taken out of these vectors."
                .to_owned()
        }
        "harmonise" => "Effects of site (ComBat; Johnson et al., 2007) and of covariates, as fitted on the \
                        training participants, were taken out of these vectors."
            .to_owned(),
        "finetune" => "A resampler and gated cross-attention between the encoder and a frozen language model \
                       (Alayrac et al., 2022; Awadalla et al., 2023) were fitted to the training reports."
            .to_owned(),
        "generate" => "The model wrote a report for every test window.".to_owned(),
        "evaluate" => "Reports were scored beside controls without a scan and with another person's scan."
            .to_owned(),
        name if stage.gives(Artifact::Pages) => format!("Pages were drawn (`{name}`)."),
        name => format!("The stage `{name}` followed."),
    }
}
